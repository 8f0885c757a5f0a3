"""What a WHEP offer gets for an answer (draft-ietf-wish-whep): H.264 and Opus, sent only, on one transport.

`decide` reads and judges, `write_answer` puts the verdict into words; both are pure. Media is sent again as it was
published, so the offer has to take it: H.264 in a profile that is no less than the stream's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.offer import OfferRefused
from relay.rtc import bundle, sdp, video_codec
from relay.rtc.parameters import LocalParameters

_OPUS_PARAMETERS = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
_FEEDBACK = ("nack", "nack pli", "ccm fir")
"""What is answered where it is offered. No congestion control: what is sent is not ours to make smaller."""
_PROFILES = {0x42: 0, 0x4D: 1, 0x64: 2, 0xF4: 3}
"""By profile_idc; a decoder of one takes those before it, for no baseline in use has what main lacks. Chromium offers
no high profile (100) to receive, but high 4:4:4 (244)."""
_NAMES = ("baseline", "main", "high", "high 4:4:4")


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the stream's pictures are, as far as it is known."""

    codec: str = "h264"
    """A key of `relay.core.codecs.CODECS`."""
    profile: int | None = None
    """profile_idc of H.264."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """One media section that the answer sends on."""

    index: int
    section: sdp.Section
    codec: sdp.Codec
    rtx: sdp.Codec | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A readable offer that can be taken, and how."""

    transport: bundle.Agreement
    video: Outlet | None
    audio: Outlet | None

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        return tuple(outlet for outlet in (self.video, self.audio) if outlet is not None)


@dataclass(frozen=True, slots=True)
class Source:
    """What the answer says of one track."""

    ssrc: int
    rtx_ssrc: int | None


def decide(text: str, pictures: Pictures = Pictures()) -> Decision:
    """`OfferMalformed` (400) or `OfferRefused` (406), each with what to do about it.

    The first section of each kind is taken, whether or not the stream has that kind now: it may come later.
    """
    offer = sdp.parse_session(text)
    first: dict[str, tuple[int, sdp.Section]] = {}
    for index, section in enumerate(offer.media):
        if bundle.is_offered(section) and section.direction in ("recvonly", "sendrecv"):
            first.setdefault(section.kind, (index, section))
    if not first:
        raise OfferRefused(
            "The offer receives no audio and no video. This endpoint sends; add a transceiver with direction recvonly. "
            "To publish a stream, POST to /whip/ in place of /whep/."
        )
    outlets = {kind: _accept(index, section, pictures) for kind, (index, section) in first.items()}
    agreement = bundle.agree(offer, sorted(outlet.index for outlet in outlets.values()))
    return Decision(agreement, outlets.get("video"), outlets.get("audio"))


def _accept(index: int, section: sdp.Section, pictures: Pictures) -> Outlet:
    bundle.check(section)
    codecs = section.codecs()
    codec = _choose_h264(codecs, pictures) if section.kind == "video" else bundle.choose_opus(codecs)
    return Outlet(index, section, codec, bundle.rtx_of(codec, codecs))


def _choose_h264(codecs: list[sdp.Codec], pictures: Pictures) -> sdp.Codec:
    """RFC 6184 section 8.2.2: the profile is agreed on, the level is each side's own. Packets are of mode 1."""
    if pictures.codec != "h264":
        raise OfferRefused(
            f"The stream's video is {pictures.codec.upper()}, and viewers are sent H.264. Leave the video out of the "
            "offer to hear the sound, or have it published in H.264."
        )
    usable = [(rank, codec) for codec in codecs if (rank := _rank(codec)) is not None]
    if not usable:
        raise OfferRefused(
            "The offer's video has no H.264 with packetization-mode=1, in which this stream is sent. Offer it beside "
            "others; in Firefox, enable the OpenH264 plugin."
        )
    least = None if pictures.profile is None else _PROFILES.get(pictures.profile)
    if least is None:
        return usable[0][1]
    enough = [(rank, codec) for rank, codec in usable if rank >= least]
    if not enough:
        raise OfferRefused(
            f"The stream is H.264 in {_NAMES[least]} profile, and the offer takes less. Offer profile-level-id="
            f"{pictures.profile:02x}001f with packetization-mode=1, or have it published in baseline profile."
        )
    return min(enough, key=lambda found: found[0])[1]


def _rank(codec: sdp.Codec) -> int | None:
    if codec.name != "h264" or codec.clock_rate != 90000 or codec.parameters.get("packetization-mode") != "1":
        return None
    profile = codec.parameters.get("profile-level-id", "42000a")
    return _PROFILES.get(int(profile[:2], 16)) if re.fullmatch(r"[0-9A-Fa-f]{6}", profile) else None


def write_answer(
    decision: Decision, local: LocalParameters, sources: Mapping[int, Source], *, cname: str, session_id: int
) -> str:
    """The answer's text. `sources` by the outlets' indices; `session_id`: o= line, below 2^62."""
    replies = {outlet.index: _reply(outlet, sources[outlet.index], cname) for outlet in decision.outlets}
    return bundle.write(decision.transport, replies, local, session_id=session_id)


def _reply(outlet: Outlet, source: Source, cname: str) -> bundle.Reply:
    codec, rtx = outlet.codec, outlet.rtx
    number = codec.payload_type
    lines = [f"a=msid:relay {outlet.section.kind}", f"a=rtpmap:{number} {codec.rtpmap}"]
    if outlet.section.kind == "audio":
        # Browsers do not offer NACK for Opus, but use it when it is answered.
        lines += [f"a=rtcp-fb:{number} nack", f"a=fmtp:{number} {_OPUS_PARAMETERS}"]
    else:
        lines += [f"a=rtcp-fb:{number} {word}" for word in _FEEDBACK if word in codec.feedback]
        lines.append(f"a=fmtp:{number} {';'.join(video_codec.answered_parameters(codec))}")
    lines += bundle.rtx_lines(codec, rtx)
    sources = [source.ssrc]
    if source.rtx_ssrc is not None:
        sources.append(source.rtx_ssrc)
        lines.append(f"a=ssrc-group:FID {source.ssrc} {source.rtx_ssrc}")
    lines += [f"a=ssrc:{ssrc} cname:{cname}" for ssrc in sources]
    return bundle.Reply([c.payload_type for c in (codec, rtx) if c], "sendonly", lines)
