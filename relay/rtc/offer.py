"""The offering side's SDP: what `Caster` offers, and what it needs of the answer."""

from dataclasses import dataclass

from aioice.candidate import Candidate

from relay.core.offer import OfferMalformed, OfferRefused
from relay.rtc import sdp
from relay.rtc.parameters import LocalParameters, RemoteParameters

OPUS, H264, RTX = 111, 102, 103
"""Payload types, as Chromium numbers them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One track that is offered."""

    kind: str
    ssrc: int
    rtx_ssrc: int | None
    """None: no retransmission stream (RFC 4588) is offered."""
    profile_level_id: str = "42e01f"


@dataclass(frozen=True, slots=True)
class Answer:
    remote: RemoteParameters
    role: str
    """Our own DTLS role."""
    candidates: tuple[Candidate, ...]
    taken: frozenset[str]
    """Kinds that the answer accepts."""


def write_offer(
    sources: tuple[Source, ...], local: LocalParameters, *, session_id: int, cname: str, candidates: bool = True
) -> str:
    """A sendonly, bundled offer; without `candidates` they have to be trickled."""
    mids = " ".join(str(i) for i in range(len(sources)))
    lines = ["v=0", f"o=- {session_id} 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
    for mid, source in enumerate(sources):
        lines += _codec_section(source)
        lines += [f"a=mid:{mid}", "a=sendonly", "a=rtcp-mux", "a=rtcp-rsize", f"a=msid:relay {source.kind}"]
        if source.rtx_ssrc is not None:
            lines += [f"a=ssrc-group:FID {source.ssrc} {source.rtx_ssrc}", f"a=ssrc:{source.rtx_ssrc} cname:{cname}"]
        lines += [f"a=ssrc:{source.ssrc} cname:{cname}"]
        lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}", "a=ice-options:trickle"]
        lines += [f"a=fingerprint:sha-256 {local.fingerprint}", "a=setup:actpass"]
        if mid == 0 and candidates:
            lines += [f"a=candidate:{candidate}" for candidate in local.candidates] + ["a=end-of-candidates"]
    return "\r\n".join(lines) + "\r\n"


def _codec_section(source: Source) -> list[str]:
    rtx = [f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={H264}"] if source.rtx_ssrc is not None else []
    if source.kind == "audio":
        return [
            f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}",
            "c=IN IP4 0.0.0.0",
            f"a=rtpmap:{OPUS} opus/48000/2",
            f"a=fmtp:{OPUS} minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
        ]
    return [
        f"m=video 9 UDP/TLS/RTP/SAVPF {H264}{f' {RTX}' if rtx else ''}",
        "c=IN IP4 0.0.0.0",
        f"a=rtpmap:{H264} H264/90000",
        *(f"a=rtcp-fb:{H264} {word}" for word in ("goog-remb", "ccm fir", "nack", "nack pli")),
        f"a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={source.profile_level_id}",
        *rtx,
    ]


def read_answer(text: str) -> Answer:
    """`OfferMalformed` where it cannot be read, `OfferRefused` where it takes nothing of what was offered."""
    answer = sdp.parse_session(text)
    taken = [section for section in answer.media if section.port and section.direction in ("recvonly", "sendrecv")]
    if not taken:
        raise OfferRefused("The answer takes neither audio nor video.")
    setup = next(iter(answer.attribute(taken[0], "setup")), None)
    if setup not in ("active", "passive"):
        raise OfferMalformed("The answer has no usable a=setup (RFC 8842).")
    return Answer(
        remote=answer.transport(taken[0]),
        role="server" if setup == "active" else "client",
        candidates=tuple(answer.candidates()),
        taken=frozenset(section.kind for section in taken),
    )
