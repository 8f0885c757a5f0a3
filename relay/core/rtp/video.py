"""The video track: access units that can be decoded, and the word for when an IDR picture is needed."""

from collections.abc import Sequence

from relay.core.h264 import NalType, nal_type, parse_sps
from relay.core.media import AccessUnit, Frame
from relay.core.rtp.decoding_time import DecodingTimes
from relay.core.rtp.h264_payload import Assembled, H264Depacketizer, carries_idr, starts_access_unit
from relay.core.rtp.keyframes import KeyFrameRequests
from relay.core.rtp.stats import TrackStats
from relay.core.rtp.track import NO_FRAMES, TrackReceiver
from relay.core.timeline import TrackClock


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
        self._restart_decoding()

    def _restart_decoding(self) -> None:
        self._decoding = DecodingTimes()
        self._order_lost = False
        """Pictures up to the next IDR picture have no DTS."""
        self._sps = b""
        self._reorder_depth: int | None = None

    @property
    def awaiting_key(self) -> bool:
        return self._depacketizer.awaiting_key

    def start(self, sequence: int) -> None:
        super().start(sequence)
        self._restart_decoding()
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
            if unit.key:
                decoded = self._begin_decoding(unit, rtp_time)
            else:
                decoded = None if self._order_lost else self._decoding.next(rtp_time)
            stats.reordered = self._decoding.reordered
            if decoded is None:
                stats.dropped += 1
                self._order_lost = self._depacketizer.awaiting_key = True
                continue
            # DTS are placed, not PTS: pictures arrive as they are to be decoded, whatever they waited in the encoder.
            time = self._clock.place(decoded, unit.anchor, unit.arrival)
            composition = 0.0 if decoded == rtp_time else (rtp_time - decoded) / 90000
            frames.append(AccessUnit(unit.nals, unit.key, rtp_time, time, unit.arrival, composition))
        self._depacketizer.ready.clear()
        stats.frames += len(frames)
        return frames

    def _begin_decoding(self, unit: Assembled, rtp_time: int) -> int | None:
        """The DTS of an IDR picture."""
        decoded = self._decoding.begin(rtp_time, self._told_depth(unit.nals))
        if decoded is not None:
            self._order_lost = False
            self.stats.key_frames += 1
            self.key_frames.came(unit.arrival)
        return decoded

    def _told_depth(self, nals: list[bytes]) -> int | None:
        """max_num_reorder_frames, where the picture's SPS, or the last one before it, tells."""
        sps = next((nal for nal in nals if nal_type(nal) == NalType.SPS), self._sps)
        if sps != self._sps:
            self._sps = sps
            try:
                self._reorder_depth = parse_sps(sps).max_num_reorder_frames
            except ValueError:
                self._reorder_depth = None
        return self._reorder_depth

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
