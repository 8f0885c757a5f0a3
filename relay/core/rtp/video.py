"""The video track: access units that can be decoded, and the word for when a key picture is needed."""

import math
from collections.abc import Sequence

from relay.core.codec import VideoCodec
from relay.core.media import AccessUnit, Frame
from relay.core.rtp.decoding_time import DecodingTimes
from relay.core.rtp.keyframes import KeyFrameRequests
from relay.core.rtp.stats import TrackStats
from relay.core.rtp.track import NO_FRAMES, TrackReceiver
from relay.core.timeline import TrackClock

_MAX_PARAMETER_SETS = 8192  # bytes that are put before a key picture; what they are in practice fits one packet
_STEADY = 0.004  # seconds from picture to picture: above what the timeline slides, below the time of a picture


class VideoReceiver(TrackReceiver):
    """After a loss nothing comes out before the next whole key picture."""

    def __init__(
        self,
        codec: VideoCodec,
        clock_rate: int,
        clock: TrackClock,
        allowance: float,
        deadline: float,
        stats: TrackStats,
        key_frames: KeyFrameRequests,
    ) -> None:
        super().__init__(clock_rate, clock, allowance, deadline, stats)
        self.codec = codec
        self.key_frames = key_frames
        self.parameter_sets: Sequence[bytes] = ()
        """What the SDP gave (RFC 6184 8.1, RFC 7798 7.1), until the source brings its own."""
        self._latest_sets: Sequence[bytes] = ()
        self._depacketizer = codec.depacketizer(stats)
        self._shown_last = -math.inf
        """The latest time at which a picture so far is shown."""
        self._offset = 0.0
        self._restart_decoding()

    def _restart_decoding(self) -> None:
        self._decoding = DecodingTimes()
        self._order_lost = False
        """Pictures up to the next key picture cannot be told when to be decoded."""

    @property
    def awaiting_key(self) -> bool:
        return self._depacketizer.awaiting_key

    def start(self, sequence: int) -> None:
        super().start(sequence)
        self._restart_decoding()
        self._latest_sets = self.parameter_sets
        self._depacketizer = self.codec.depacketizer(self.stats)

    def _take(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> Sequence[Frame]:
        depacketizer = self._depacketizer
        depacketizer.push(data, start, end, timestamp, marker, arrival, anchor)
        return self._frames() if depacketizer.ready else NO_FRAMES

    def _frames(self) -> Sequence[Frame]:
        stats, decoding = self.stats, self._decoding
        frames: list[Frame] = []
        for unit in self._depacketizer.ready:
            rtp_time = self._timestamps.unwrap(unit.timestamp)
            parts = unit.parts
            if unit.key:
                parts = self._with_parameter_sets(parts)
                decoded = decoding.begin(rtp_time, self.codec.reorder_depth(parts))
            else:
                decoded = None if self._order_lost else decoding.next(rtp_time)
            time = composition = 0.0
            if decoded is not None:
                # DTS are placed, not PTS: pictures arrive as they are to be decoded, whatever they waited before that.
                time = self._clock.place(decoded, unit.anchor, unit.arrival, steady=decoding.depth > 0)
                if not decoding.depth:
                    self._shown_last = time
                else:
                    composition = (rtp_time - decoded) / 90000
                    if not self._keeps_order(unit.key, time, composition, decoded / 90000):
                        decoded = None
            if decoded is None:
                stats.dropped += 1
                stats.reordered = decoding.reordered
                self._order_lost = self._depacketizer.awaiting_key = True
                continue
            if unit.key:
                self._order_lost = False
                stats.key_frames += 1
                self.key_frames.came(unit.arrival)
            frames.append(AccessUnit(parts, unit.key, rtp_time, time, unit.arrival, composition, self.codec.name))
        self._depacketizer.ready.clear()
        stats.frames += len(frames)
        return frames

    def _keeps_order(self, key: bool, time: float, composition: float, decoded: float) -> bool:
        """B-frames stand between pictures that were sent before: where the timeline jumps or stands still amid them,
        they would be shown out of order."""
        self.stats.reordered = self._decoding.reordered
        offset, shown = time - decoded, time + composition
        last, self._offset = self._offset, offset
        kept = shown > self._shown_last if key else abs(offset - last) < _STEADY
        if kept:
            self._shown_last = max(self._shown_last, shown)
        return kept

    def _with_parameter_sets(self, parts: list[bytes]) -> list[bytes]:
        """Whoever begins with a key picture finds there how to decode it, also where the sender has told it once."""
        own = self.codec.parameter_sets(parts)
        if own:
            self._latest_sets = own if sum(map(len, own)) <= _MAX_PARAMETER_SETS else ()
            return parts
        return [*self._latest_sets, *parts]

    def _gap(self) -> None:
        self._depacketizer.gap()

    def _seek(self, number: int, frames: list[Frame]) -> None:
        """While a key picture is awaited, one that starts behind a hole makes the hole worthless."""
        buffer = self._buffer
        packet = buffer.packets.get(number)
        if packet is None or not self.awaiting_key or packet.start == packet.end:
            return
        if not self.codec.carries_key(packet.data, packet.start, packet.end):
            return
        first, start = packet, number
        while (before := buffer.packets.get(start - 1)) is not None and before.timestamp == packet.timestamp:
            first, start = before, start - 1
        if first.start == first.end or not self.codec.starts_picture(first.data, first.start, first.end):
            return
        # Some senders repeat the parameter sets before each slice: the hole may be amid the picture.
        earlier = max((n for n in buffer.packets if n < start), default=None)
        last = self._depacketizer.timestamp if earlier is None else buffer.packets[earlier].timestamp
        if last != packet.timestamp:
            self.stats.lost += buffer.skip_to(start)
            self._gap()
            self._drain(frames)
