"""What a WHIP offer gets for an answer (RFC 9725, RFC 9429): one video codec and Opus, received only, on one transport.

`decide` reads and judges, `write_answer` puts the verdict into words; both are pure. The choices are those of the
media contract: what lets real publishers send good pictures to a CDN that takes H.264; see `video_codec` for
the others.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass

from relay.core.codecs import CODECS
from relay.core.offer import OfferRefused
from relay.core.rtp import twcc
from relay.core.rtp.reception import TrackSpec
from relay.rtc import bundle, sdp, video_codec
from relay.rtc.parameters import LocalParameters
from relay.rtc.simulcast import highest_rid

START_BITRATE = 2500
"""kbit/s that Chromium begins with instead of feeling its way up from 300."""
_OPUS_PARAMETERS = "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=128000"
_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_REPAIRED_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"


@dataclass(frozen=True, slots=True)
class AcceptedSection:
    """One media section that the answer takes."""

    index: int
    section: sdp.Section
    codec: sdp.Codec
    rtx: sdp.Codec | None
    rid: str | None = None
    """The one simulcast layer that is asked for (RFC 8851)."""
    others: tuple[sdp.Codec, ...] = ()
    """Of the same name, in an answer: the peer may send by their payload types as well."""
    other_rtx: tuple[sdp.Codec, ...] = ()

    @property
    def track(self) -> TrackSpec:
        # A simulcast offer's SSRCs, where given at all, do not say which layer they are.
        ssrc, rtx_ssrc = self.section.ssrcs() if self.rid is None else (None, None)
        return TrackSpec(
            kind="video" if self.section.kind == "video" else "audio",
            payload_type=self.codec.payload_type,
            clock_rate=self.codec.clock_rate,
            rtx_payload_type=self.rtx.payload_type if self.rtx else None,
            other_payload_types=tuple(other.payload_type for other in self.others),
            other_rtx_payload_types=tuple(rtx.payload_type for rtx in self.other_rtx),
            nack=self.section.kind == "audio" or "nack" in self.codec.feedback,
            ssrc=ssrc,
            rtx_ssrc=rtx_ssrc if self.rtx else None,
            codec=self.codec.name if self.section.kind == "video" else "",
            parameter_sets=_parameter_sets(self.codec),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """A readable offer that can be taken, and how; or the answer that an offer of ours got, and what it comes to."""

    transport: bundle.Agreement
    accepted: tuple[AcceptedSection, ...]

    @property
    def tracks(self) -> tuple[TrackSpec, ...]:
        return tuple(section.track for section in self.accepted)

    @property
    def transport_extension(self) -> int | None:
        """The header extension of transport-wide feedback: one number for the BUNDLE group (RFC 9143 section 9);
        None where no section has both it and its rtcp-fb."""
        return next((number for section in self.accepted if (number := _transport_extension(section))), None)

    @property
    def remb(self) -> bool:
        return any("goog-remb" in section.codec.feedback for section in self.accepted)


def _transport_extension(accepted: AcceptedSection) -> int | None:
    return accepted.section.extension(twcc.URI) if "transport-cc" in accepted.codec.feedback else None


def decide(text: str, enhanced: Collection[str] = (), *, choosing: bool = False) -> Decision:
    """`OfferMalformed` (400) or `OfferRefused` (406), each with what to do about it. `enhanced`: video codecs taken
    besides H.264, names as in `relay.core.codecs`. `choosing`: of several sections of a kind, the first is taken."""
    offer = sdp.parse_session(text)
    sent = [
        (index, section)
        for index, section in enumerate(offer.media)
        if bundle.is_offered(section) and section.direction in ("sendonly", "sendrecv")
    ]
    if choosing:
        first: dict[str, tuple[int, sdp.Section]] = {}
        for index, section in sent:
            first.setdefault(section.kind, (index, section))
        sent = list(first.values())
    accepted = tuple(_accept(index, section, enhanced) for index, section in sent)
    if not accepted:
        _refuse_nothing_sent(offer)
    for kind, source in (("video", "camera"), ("audio", "microphone")):
        if sum(a.section.kind == kind for a in accepted) > 1:
            raise OfferRefused(
                f"The offer has more than one {kind} section; a session carries one (RFC 9725 section 4.4.1). Publish "
                f"the second {source} or the screen in a session of its own, with StreamType=1 for the screen."
            )
    return Decision(bundle.agree(offer, [a.index for a in accepted]), accepted)


def _refuse_nothing_sent(offer: sdp.Description) -> None:
    if all(section.kind == "application" for section in offer.media):
        raise OfferRefused("The offer has only a data channel. Add an audio or video track before making the offer.")
    raise OfferRefused(
        "The offer sends no audio and no video: every section is recvonly, inactive or rejected. This endpoint "
        "receives; add a track with direction sendonly. To watch a stream, POST to /whep/ in place of /whip/."
    )


def _accept(index: int, section: sdp.Section, enhanced: Collection[str]) -> AcceptedSection:
    bundle.check(section)
    codecs = section.codecs()
    codec = video_codec.choose(codecs, enhanced) if section.kind == "video" else bundle.choose_opus(codecs)
    return AcceptedSection(index, section, codec, bundle.rtx_of(codec, codecs), highest_rid(section))


_MAX_PARAMETER_SETS = 8


_SPROP = {"h264": ("sprop-parameter-sets",), "h265": ("sprop-vps", "sprop-sps", "sprop-pps")}


def _parameter_sets(codec: sdp.Codec) -> tuple[bytes, ...]:
    """Those that an offer gives (RFC 6184 section 8.1, RFC 7798 section 7.1), as GStreamer does, whose IDR pictures may
    then lack them; none where they are not one of each kind at least, and readable."""
    words = [word for name in _SPROP.get(codec.name, ()) for word in codec.parameters.get(name, "").split(",") if word]
    if not words:
        return ()
    video = CODECS[codec.name]
    try:
        found = [base64.b64decode(word, validate=True) for word in words[:_MAX_PARAMETER_SETS]]
        whole = video.parameter_sets(found) == found and video.describe(found) is not None
    except (ValueError, IndexError):
        return ()
    return tuple(found) if whole else ()


def write_answer(
    decision: Decision, local: LocalParameters, *, session_id: int, max_video_bitrate: int | None = None
) -> str:
    """The answer's text. `session_id`: o= line, below 2^62; `max_video_bitrate`: kbit/s."""
    replies = {a.index: _reply(a, decision, max_video_bitrate) for a in decision.accepted}
    return bundle.write(decision.transport, replies, local, session_id=session_id)


def _reply(accepted: AcceptedSection, decision: Decision, max_video_bitrate: int | None) -> bundle.Reply:
    section, codec, rtx = accepted.section, accepted.codec, accepted.rtx
    uris = (_MID, _STREAM_ID, _REPAIRED_ID) if accepted.rid is not None else (_MID,)
    lines = [f"a=extmap:{number} {uri}" for uri in uris if (number := section.extension(uri))]
    number = _transport_extension(accepted)
    transport_wide = number is not None and number == decision.transport_extension
    if transport_wide:
        lines.append(f"a=extmap:{number} {twcc.URI}")
    lines += _codec_lines(section.kind, codec, max_video_bitrate)
    if transport_wide:
        lines.append(f"a=rtcp-fb:{codec.payload_type} transport-cc")
    lines += bundle.rtx_lines(codec, rtx)
    if accepted.rid is not None:
        lines += [f"a=rid:{accepted.rid} recv", f"a=simulcast:recv {accepted.rid}"]
    bandwidth: list[str] = []
    if section.kind == "video" and max_video_bitrate is not None:
        bandwidth = [f"b=AS:{max_video_bitrate}", f"b=TIAS:{max_video_bitrate * 1000}"]
    return bundle.Reply([c.payload_type for c in (codec, rtx) if c], "recvonly", lines, bandwidth)


def _codec_lines(kind: str, codec: sdp.Codec, max_video_bitrate: int | None) -> list[str]:
    number = codec.payload_type
    lines = [f"a=rtpmap:{number} {codec.rtpmap}"]
    if kind == "audio":
        # Browsers do not offer NACK for Opus, but honour it when it is answered: it repairs most losses.
        return [*lines, f"a=rtcp-fb:{number} nack", f"a=fmtp:{number} {_OPUS_PARAMETERS}"]
    lines += [f"a=rtcp-fb:{number} {word}" for word in _FEEDBACK if word in codec.feedback]
    start = START_BITRATE if max_video_bitrate is None else min(START_BITRATE, max_video_bitrate)
    return [
        *lines,
        f"a=fmtp:{number} {';'.join([*video_codec.answered_parameters(codec), f'x-google-start-bitrate={start}'])}",
    ]


_FEEDBACK = ("goog-remb", "ccm fir", "nack", "nack pli")
"""What is answered where it is offered; transport-cc where its header extension is, too."""
