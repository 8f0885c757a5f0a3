"""Reception of one publisher's RTP session: datagrams in, whole frames out, RTCP feedback when it is due.

The owner hands in decrypted datagrams as they come, calls `poll` and then `feedback` at least when `deadline` says
(or on each of its ticks), and sends what `feedback` returns. All times are seconds of one monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from relay.core.codecs import CODECS
from relay.core.media import Frame
from relay.core.rtp import rtcp
from relay.core.rtp.bandwidth import BandwidthEstimate
from relay.core.rtp.keyframes import KeyFrameRequests
from relay.core.rtp.packet import EXTENSION, FIXED_HEADER, VERSION_2, payload_bounds
from relay.core.rtp.sources import Sources
from relay.core.rtp.stats import ReceptionStats, TrackStats
from relay.core.rtp.track import NO_FRAMES, AudioReceiver, TrackReceiver
from relay.core.rtp.twcc import TransportFeedback
from relay.core.rtp.video import VideoReceiver
from relay.core.timeline import Timeline

_UNPACK = FIXED_HEADER.unpack_from
_MAX_COMPOUND = 1300  # bytes of RTCP in a datagram: with SRTCP, UDP and IPv6 headers it fits an MTU of 1400
_TAKEOVER = 1.0  # seconds that a source must be silent before another one may take its track


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """What the SDP answer agreed on for one media section."""

    kind: Literal["video", "audio"]
    payload_type: int
    clock_rate: int
    rtx_payload_type: int | None = None
    nack: bool = True
    ssrc: int | None = None
    """The offer's `a=ssrc`; a source with the payload type is adopted all the same."""
    rtx_ssrc: int | None = None
    """Never taken for a media source. Retransmissions are known by their payload type, whatever their SSRC."""
    codec: str = "h264"
    """Of video: a key of `CODECS`."""
    other_payload_types: tuple[int, ...] = ()
    """The same codec as `payload_type`: a peer may send by any of them, and change from one to another."""
    other_rtx_payload_types: tuple[int, ...] = ()
    parameter_sets: tuple[bytes, ...] = ()
    """Those of the SDP; they go before each IDR picture until the source has an SPS in band."""


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """Times in seconds."""

    reorder_allowance: float = 0.015
    """From a hole to its first NACK."""
    video_deadline: float = 0.5
    """From a hole to giving it up."""
    audio_deadline: float = 0.2
    reorder_deadline: float = 0.1
    """The same for a track without NACK, where only reordering can fill a hole."""
    pli_interval: float = 1.0
    """Between PLIs at least."""
    key_frame_interval: float = 2.0
    """The longest GOP wanted while `key_frames_wanted`."""
    report_interval: float = 1.0
    transport_interval: float = 0.1
    """Between reports of transport-wide feedback; libwebrtc's estimator is made for 50 to 250 ms."""
    max_bitrate: int | None = None
    """Bits per second that all tracks together may take, told by REMB; None: as the network allows."""


class _Track:
    """A track and its source."""

    __slots__ = ("bye_at", "receiver", "spec", "ssrc", "started_at", "video")

    def __init__(self, spec: TrackSpec, receiver: TrackReceiver, video: VideoReceiver | None) -> None:
        self.spec = spec
        self.receiver = receiver
        self.video = video
        """The same receiver where it is one of video."""
        self.ssrc = spec.ssrc
        self.started_at: float | None = None
        self.bye_at: float | None = None

    def free(self, ssrc: int, now: float) -> bool:
        """A source may take the track: nobody has it, or its owner has left or fallen silent."""
        if self.started_at is None:
            return True
        if self.bye_at is not None:
            # Packets may come after the BYE that they were sent before.
            return ssrc != self.ssrc or now - self.bye_at > _TAKEOVER
        return now - (self.receiver.stats.last_media or self.started_at) > _TAKEOVER


class Reception:
    """One publisher's tracks, at most one of a kind."""

    def __init__(
        self,
        tracks: Sequence[TrackSpec],
        *,
        ssrc: int,
        cname: str,
        settings: ReceptionSettings = ReceptionSettings(),
        transport_extension: int | None = None,
        remb: bool = False,
    ) -> None:
        """`ssrc` and `cname` are the receiver's own in what `feedback` builds.

        `transport_extension` is the identifier of the header extension for transport-wide feedback, where that is
        negotiated; `remb`: whether REMB is. With both, the estimate is the sender's, and REMB tells the cap, if any.
        """
        self.ended = False
        """Every source that ever sent has said BYE."""
        self.key_frames_wanted = False
        """Somebody watches: ask for a key frame when none came for `key_frame_interval`."""
        self.sources = Sources()
        """Of all RTP packets, retransmissions included. The owner adds RTCP's senders."""
        self.stats = ReceptionStats([TrackStats(spec.kind) for spec in tracks])
        self._ssrc = ssrc
        self._settings = settings
        self._description = rtcp.source_description(ssrc, cname)
        self._next_report: float | None = None
        self._remb = remb
        self._estimate = BandwidthEstimate(settings.max_bitrate) if remb and transport_extension is None else None
        self._measured: tuple[float, int] | None = None
        """When the estimate was last updated, and the bytes received by then."""
        self._transport = None if transport_extension is None else TransportFeedback(transport_extension)
        self._element = b"" if self._transport is None else self._transport.element
        self._next_transport = 0.0
        timeline = Timeline()
        self._tracks = [
            self._build(spec, stats, timeline) for spec, stats in zip(tracks, self.stats.tracks, strict=True)
        ]
        self._sources: dict[int, tuple[TrackReceiver, int]] = {}
        """Receiver and payload type by media SSRC, one for each track at most."""

    def _build(self, spec: TrackSpec, stats: TrackStats, timeline: Timeline) -> _Track:
        settings = self._settings
        clock = timeline.track(spec.clock_rate, leads=spec.kind == "audio")
        if spec.kind == "audio":
            deadline = settings.audio_deadline if spec.nack else settings.reorder_deadline
            audio = AudioReceiver(spec.clock_rate, clock, settings.reorder_allowance, deadline, stats)
            return _Track(spec, audio, None)
        deadline = settings.video_deadline if spec.nack else settings.reorder_deadline
        key_frames = KeyFrameRequests(settings.pli_interval, settings.key_frame_interval)
        codec = CODECS[spec.codec]
        video = VideoReceiver(codec, spec.clock_rate, clock, settings.reorder_allowance, deadline, stats, key_frames)
        video.parameter_sets = spec.parameter_sets
        return _Track(spec, video, video)

    def receive_rtp(self, data: bytes, now: float) -> Sequence[Frame]:
        """Takes a decrypted RTP datagram that arrived at `now`. Returns the frames it completes, mostly none."""
        if len(data) < 12 or data[0] & 0xC0 != VERSION_2:
            self.stats.malformed += 1
            return NO_FRAMES
        first, second, sequence, timestamp, ssrc = _UNPACK(data)
        if first & EXTENSION and (transport := self._transport) is not None:
            if data[12:17] == self._element and len(data) > 18:
                number = data[17] << 8 | data[18]
                if number not in transport.arrivals:
                    transport.arrivals[number] = now
            else:
                transport.receive(data, now)
        route = self._sources.get(ssrc)
        if route is not None and second & 0x7F == route[1]:
            return route[0].receive(data, first, second, sequence, timestamp, now)
        return self._receive_other(data, now)

    def _receive_other(self, data: bytes, now: float) -> Sequence[Frame]:
        """Retransmissions, and sources not met before."""
        first, second, sequence, timestamp, ssrc = _UNPACK(data)
        self.sources.meet(ssrc)
        payload_type = second & 0x7F
        for track in self._tracks:
            spec = track.spec
            again = payload_type == spec.rtx_payload_type or payload_type in spec.other_rtx_payload_types
            if again and track.started_at is not None:
                return track.receiver.receive_retransmission(data, first, second, timestamp, now)
            known = payload_type == spec.payload_type or payload_type in spec.other_payload_types
            if known and (self._changes(track, ssrc, payload_type) or self._adopt(track, ssrc, data, now)):
                return track.receiver.receive(data, first, second, sequence, timestamp, now)
        self.stats.foreign += 1
        return NO_FRAMES

    def _changes(self, track: _Track, ssrc: int, payload_type: int) -> bool:
        """The track's own source goes on by another of the payload types."""
        if track.ssrc != ssrc or ssrc not in self._sources:
            return False
        self._sources[ssrc] = track.receiver, payload_type
        return True

    def _adopt(self, track: _Track, ssrc: int, data: bytes, now: float) -> bool:
        """Whether the source of a packet with the track's payload type becomes the track's."""
        if ssrc in self._sources or any(ssrc == other.spec.rtx_ssrc for other in self._tracks):
            return False
        bounds = payload_bounds(data)
        if bounds is None or not track.free(ssrc, now):
            return False
        if track.started_at is not None:
            track.receiver.stats.restarts += 1
            self._sources = {known: source for known, source in self._sources.items() if known != track.ssrc}
        track.ssrc, track.started_at, track.bye_at = ssrc, now, None
        self.ended = False
        self._sources[ssrc] = track.receiver, data[1] & 0x7F
        track.receiver.start(data[2] << 8 | data[3])
        if track.video is not None:
            begins = bounds[0] < bounds[1] and track.video.codec.starts_picture(data, *bounds)
            track.video.key_frames.started(now, begins)
        if self._next_report is None:
            self._next_report = now
        return True

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """Takes a decrypted RTCP datagram that arrived at `now`."""
        messages = rtcp.parse(data)
        if messages is None:
            self.stats.malformed += 1
            return
        for message in messages:
            if isinstance(message, rtcp.SenderReport):
                for track in self._tracks:
                    if track.ssrc == message.ssrc and track.started_at is not None:
                        track.receiver.sender_report(message, now)
            elif isinstance(message, rtcp.Bye):
                self._leave(message.ssrcs, now)

    def _leave(self, ssrcs: Sequence[int], now: float) -> None:
        for track in self._tracks:
            if track.ssrc in ssrcs and track.ssrc in self._sources:
                del self._sources[track.ssrc]
                track.bye_at = now
        started = [track for track in self._tracks if track.started_at is not None]
        self.ended = bool(started) and all(track.bye_at is not None for track in started)

    def request_key_frame(self) -> None:
        """Asks for an IDR picture that comes after now; asked again until it has come, at most one PLI per interval."""
        for track in self._tracks:
            if track.video is not None:
                track.video.key_frames.ask()

    def poll(self, now: float) -> Sequence[Frame]:
        """Gives up what has not come in time. Returns the frames that waited behind it."""
        frames: Sequence[Frame] = NO_FRAMES
        for track in self._tracks:
            released = track.receiver.poll(now)
            if released:
                frames = [*frames, *released]
        return frames

    def deadline(self) -> float | None:
        """When `poll` or `feedback` next has something to do; None while only a datagram can change that."""
        times = [self._next_report]
        if self._transport is not None and self._transport.arrivals:
            times.append(self._next_transport)
        for track in self._tracks:
            times.append(track.receiver.deadline(track.spec.nack))
            times.append(self._pli_deadline(track))
        return min((time for time in times if time is not None), default=None)

    def _pli_deadline(self, track: _Track) -> float | None:
        video = track.video
        if video is None or track.ssrc is None or track.bye_at is not None:
            return None
        awaiting = track.started_at is not None and video.awaiting_key
        watched_media = video.stats.last_media if self.key_frames_wanted else None
        return video.key_frames.deadline(awaiting, watched_media)

    def feedback(self, now: float) -> list[bytes]:
        """RTCP that is due: plain compound datagrams (RFC 3550 6.1, RFC 4585 3.1) with a report, NACKs and PLIs."""
        parts: list[bytes] = []
        for track in self._tracks:
            if track.ssrc is None:
                continue
            stats = track.receiver.stats
            if track.spec.nack and (missing := track.receiver.nacks(now)):
                parts.append(rtcp.nack(self._ssrc, track.ssrc, missing))
            if track.video is not None and (due := self._pli_deadline(track)) is not None and due <= now:
                parts.append(rtcp.pli(self._ssrc, track.ssrc))
                track.video.key_frames.sent(now)
                stats.plis += 1
        blocks: list[rtcp.ReportBlock] = []
        if self._next_report is not None and now >= self._next_report:
            self._next_report = now + self._settings.report_interval
            sources = [track for track in self._tracks if track.ssrc in self._sources]
            blocks = [track.receiver.report_block(track.ssrc or 0, now) for track in sources]
            bitrate = self._allowed(blocks, now)
            if bitrate is not None:
                parts.append(rtcp.remb(self._ssrc, bitrate, [block.ssrc for block in blocks]))
        parts += self._transport_feedback(now)
        return self._compounds(blocks, parts) if parts or blocks else []

    def _compounds(self, blocks: Sequence[rtcp.ReportBlock], parts: Sequence[bytes]) -> list[bytes]:
        """`parts` in as many compound datagrams as it takes; the blocks in the first."""
        datagrams: list[bytes] = []
        report = rtcp.receiver_report(rtcp.ReceiverReport(self._ssrc, tuple(blocks))) + self._description
        for part in parts:
            if len(report) + len(part) > _MAX_COMPOUND:
                datagrams.append(report)
                # Without blocks: they would start a new interval of the fraction lost.
                report = rtcp.receiver_report(rtcp.ReceiverReport(self._ssrc)) + self._description
            report += part
        return [*datagrams, report]

    def _transport_feedback(self, now: float) -> list[bytes]:
        transport = self._transport
        if transport is None or not transport.arrivals or now < self._next_transport:
            return []
        self._next_transport = now + self._settings.transport_interval
        return transport.build(self._ssrc, next(iter(self._sources), 0))

    def _allowed(self, blocks: Sequence[rtcp.ReportBlock], now: float) -> int | None:
        """The bit rate that a REMB of now tells; None: none goes out."""
        if not self._remb or not blocks:
            return None
        if self._estimate is None:
            return self._settings.max_bitrate
        received = sum(track.bytes for track in self.stats.tracks)
        before, self._measured = self._measured, (now, received)
        if before is None:
            return self._estimate.bitrate
        rate = 8 * (received - before[1]) / (now - before[0])
        return self._estimate.update(rate, max(block.fraction_lost for block in blocks) / 256)
