"""The video track: access units that can be decoded, and the word for when an IDR picture is needed."""

from collections.abc import Sequence

from relay.core.media import AccessUnit, Frame
from relay.core.rtp.h264_payload import H264Depacketizer, carries_idr, starts_access_unit
from relay.core.rtp.keyframes import KeyFrameRequests
from relay.core.rtp.stats import TrackStats
from relay.core.rtp.track import NO_FRAMES, TrackReceiver
from relay.core.timeline import TrackClock

_MAX_REORDER = 90000  # RTP units by which B-frames go back at most; what goes back further is a jump


class VideoReceiver(TrackReceiver):
    """H.264 (RFC 6184). After a loss nothing comes out before the next whole IDR picture."""

    def __init__(
        self,
        clock_rate: int,
        clock: TrackClock,
        allowance: float,
        deadline: float,
        stats: TrackStats,
        key_frames: KeyFrameRequests,
    ) -> None:
        super().__init__(clock_rate, clock, allowance, deadline, stats)
        self.key_frames = key_frames
        self._depacketizer = H264Depacketizer(stats)
        self._last_rtp_time: int | None = None

    @property
    def awaiting_key(self) -> bool:
        return self._depacketizer.awaiting_key

    def start(self, sequence: int) -> None:
        super().start(sequence)
        self._last_rtp_time = None
        self._depacketizer = H264Depacketizer(self.stats)

    def _take(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> Sequence[Frame]:
        depacketizer = self._depacketizer
        depacketizer.push(data, start, end, timestamp, marker, arrival, anchor)
        return self._frames() if depacketizer.ready else NO_FRAMES

    def _frames(self) -> Sequence[Frame]:
        stats = self.stats
        frames: list[Frame] = []
        for unit in self._depacketizer.ready:
            rtp_time = self._timestamps.unwrap(unit.timestamp)
            if self._last_rtp_time is not None and 0 < self._last_rtp_time - rtp_time < _MAX_REORDER:
                stats.reordered = True
            self._last_rtp_time = rtp_time
            if unit.key:
                stats.key_frames += 1
                self.key_frames.came(unit.arrival)
            time = self._clock.place(rtp_time, unit.anchor, unit.arrival)
            frames.append(AccessUnit(unit.nals, unit.key, rtp_time, time, unit.arrival))
        self._depacketizer.ready.clear()
        stats.frames += len(frames)
        return frames

    def _gap(self) -> None:
        self._depacketizer.gap()

    def _seek(self, number: int, frames: list[Frame]) -> None:
        """While an IDR picture is awaited, one that starts behind a hole makes the hole worthless."""
        buffer = self._buffer
        packet = buffer.packets.get(number)
        if packet is None or not self.awaiting_key or packet.start == packet.end:
            return
        if not carries_idr(packet.data, packet.start, packet.end):
            return
        first, start = packet, number
        while (before := buffer.packets.get(start - 1)) is not None and before.timestamp == packet.timestamp:
            first, start = before, start - 1
        if first.start < first.end and starts_access_unit(first.data, first.start, first.end):
            self.stats.lost += buffer.skip_to(start)
            self._gap()
            self._drain(frames)
