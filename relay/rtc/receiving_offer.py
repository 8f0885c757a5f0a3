"""The subscribing side's SDP: an offer to receive H.264 and Opus, and what the answer to it comes to (RFC 9429)."""

from collections.abc import Collection, Iterator

from relay.core.offer import OfferMalformed, OfferRefused
from relay.core.rtp import twcc
from relay.rtc import sdp
from relay.rtc.answer import AcceptedSection, Decision
from relay.rtc.bundle import Agreement, Role, rtx_of
from relay.rtc.parameters import LocalParameters

_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
_OPUS = 111
_FIRST_VIDEO = 96
_H264 = tuple(
    f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}"
    for mode, profile in (
        (1, "42e01f"),
        (1, "42001f"),
        (1, "4d001f"),
        (1, "64001f"),
        (1, "640c1f"),
        (0, "42e01f"),
    )
)
"""fmtp of each that is offered. Servers that compare profiles (Pion, and so MediaMTX) find theirs; level 3.1 is what
all of them know, and `level-asymmetry-allowed` makes it no limit."""
_ENHANCED = {"h265": "H265", "av1": "AV1", "vp9": "VP9", "vp8": "VP8"}
_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")


def write_receiving_offer(
    local: LocalParameters, *, session_id: int, enhanced: Collection[str] = (), complete: bool = True
) -> str:
    """A recvonly, bundled offer of one stream. `session_id`: o= line, below 2^62; `enhanced`: video codecs taken
    besides H.264, names as in `relay.core.codecs`; `complete`: no more candidates are to be trickled."""
    lines = ["v=0", f"o=- {session_id} 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
    lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {_OPUS}", "c=IN IP4 0.0.0.0", *_transport(local, 0)]
    lines += [f"a=candidate:{candidate}" for candidate in local.candidates] + ["a=end-of-candidates"] * complete
    lines += [f"a=rtpmap:{_OPUS} opus/48000/2", f"a=rtcp-fb:{_OPUS} nack", f"a=rtcp-fb:{_OPUS} transport-cc"]
    # SRS, for one, sends mono to those who do not ask for stereo.
    lines += [f"a=fmtp:{_OPUS} minptime=10;useinbandfec=1;stereo=1"]
    codecs = list(_video_codecs(enhanced))
    numbers = " ".join(str(number) for number, _ in codecs)
    lines += [f"m=video 9 UDP/TLS/RTP/SAVPF {numbers}", "c=IN IP4 0.0.0.0", *_transport(local, 1)]
    lines += [line for _, codec in codecs for line in codec]
    return "\r\n".join(lines) + "\r\n"


def _transport(local: LocalParameters, mid: int) -> list[str]:
    return [
        *(f"a=mid:{mid}", "a=recvonly", "a=rtcp-mux", "a=rtcp-mux-only", "a=rtcp-rsize"),
        *(f"a=extmap:1 {_MID}", f"a=extmap:2 {twcc.URI}"),
        *(f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}", "a=ice-options:trickle"),
        *(f"a=fingerprint:sha-256 {local.fingerprint}", "a=setup:actpass"),
    ]


def _video_codecs(enhanced: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    """Payload types, each with its lines: a codec, then its retransmissions."""
    names = [("H264", fmtp) for fmtp in _H264]
    names += [(name, "") for word, name in _ENHANCED.items() if word in enhanced]
    for number, (name, fmtp) in zip(range(_FIRST_VIDEO, 127, 2), names, strict=False):
        if number >= _OPUS - 1:
            number += 2
        lines = [f"a=rtpmap:{number} {name}/90000", *(f"a=rtcp-fb:{number} {word}" for word in _FEEDBACK)]
        yield number, [*lines, f"a=fmtp:{number} {fmtp}"] if fmtp else lines
        yield number + 1, [f"a=rtpmap:{number + 1} rtx/90000", f"a=fmtp:{number + 1} apt={number}"]


def read_receiving_answer(text: str, enhanced: Collection[str] = ()) -> Decision:
    """`OfferMalformed` where it cannot be read, `OfferRefused` where nothing of it can be received."""
    answer = sdp.parse_session(text)
    accepted: dict[str, AcceptedSection] = {}
    for index, section in enumerate(answer.media):
        taken = section.port != 0 or section.has("bundle-only")
        if taken and section.kind in ("audio", "video") and section.direction in ("sendonly", "sendrecv"):
            found = _accept(index, section, ("h264", *enhanced) if section.kind == "video" else ("opus",))
            if found is not None:
                accepted.setdefault(section.kind, found)
    if not accepted:
        raise OfferRefused("The answer sends neither H.264 nor Opus.")
    sections = tuple(accepted.values())
    # In a BUNDLE group the transport may be described in its first section alone (RFC 9143 section 7.1.3).
    if len({ufrag for one in sections if (ufrag := one.section.first("ice-ufrag"))}) > 1:
        raise OfferRefused("The answer does not bundle its audio and video (a=group:BUNDLE, RFC 9143).")
    first = _transport_section(answer, sections)
    indices, candidates = tuple(one.index for one in sections), tuple(answer.candidates())
    return Decision(Agreement(answer, indices, _role(answer, first), answer.transport(first), candidates), sections)


def _transport_section(answer: sdp.Description, sections: tuple[AcceptedSection, ...]) -> sdp.Section:
    """The one that describes the transport."""
    described = (one.section for one in sections if one.section.has("ice-ufrag"))
    return next(described, next((s for s in answer.media if s.has("ice-ufrag")), sections[0].section))


def _accept(index: int, section: sdp.Section, names: Collection[str]) -> AcceptedSection | None:
    """The first codec of these names, and with it those of the same name."""
    codecs = section.codecs()
    codec = next((codec for codec in codecs if codec.name in names), None)
    if codec is None:
        return None
    others = tuple(other for other in codecs if other.name == codec.name and other is not codec)
    other_rtx = tuple(rtx for other in others if (rtx := rtx_of(other, codecs)))
    return AcceptedSection(index, section, codec, rtx_of(codec, codecs), others=others, other_rtx=other_rtx)


def _role(answer: sdp.Description, section: sdp.Section) -> Role:
    setup = next(iter(answer.attribute(section, "setup")), None)
    if setup == "active":
        return "server"
    if setup in ("passive", "actpass"):  # the second is no answer (RFC 8842), and what it means is clear
        return "client"
    raise OfferMalformed("The answer has no usable a=setup: it must be active or passive (RFC 8842).")
