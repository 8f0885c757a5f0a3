"""One received track: packets put in order, holes asked for and given up, frames placed on the timeline."""

from collections.abc import Sequence

from relay.core.media import Frame, OpusPacket
from relay.core.rtp.packet import MARKER, payload_bounds
from relay.core.rtp.reorder import Packet, ReorderBuffer
from relay.core.rtp.rtcp import ReportBlock, SenderReport
from relay.core.rtp.stats import TrackStats
from relay.core.rtp.unwrap import Unwrapper, forward
from relay.core.timeline import TrackClock

NO_FRAMES: tuple[Frame, ...] = ()

MAX_WAITING = 1024
"""Packets behind a hole; one more, and the hole is given up."""
MAX_WAITING_BYTES = 4 << 20
MAX_HOLE = 512
"""Packets missing in a row that are worth waiting for: senders do not keep more."""
MAX_STALE_HOLE = 32
"""The same after a silence: what an outage took is too old to be of use, and asking for it fills the path anew."""
MAX_JUMP = 3000
"""Packets; two in a row from further away mean that the numbering began anew (RFC 3550 A.1, MAX_DROPOUT)."""
_SILENCE = 1.0
"""Seconds after which numbers that went back by less mean the same."""
_MAX_NACKS = 200  # sequence numbers in one datagram: 800 bytes at worst
_NACK_INTERVAL = (0.03, 0.06, 0.25)  # seconds: least, while the round-trip time is unknown, most
_PLAIN_HEADER = 0x80  # version 2; neither padding, nor extension, nor CSRC
_EXTENDED_HEADER = 0x90  # the same with an extension
_ONE_WORD = b"\xbe\xde\x00\x01"  # an extension of the usual size: the transport's sequence number (RFC 8285 4.2)


class TrackReceiver:
    """What the tracks of both kinds have in common. `_take` and `_gap` are the kind's own."""

    def __init__(
        self, clock_rate: int, clock: TrackClock, allowance: float, deadline: float, stats: TrackStats
    ) -> None:
        self.stats = stats
        self._rate = clock_rate
        self._clock = clock
        self._buffer = ReorderBuffer(allowance, deadline)
        self._timestamps = Unwrapper(32)
        self._suspect: tuple[int, Packet] | None = None
        self._jitter_timestamp = -1
        self._jitter_arrival = 0.0
        self._base = 0
        self._base_packets = 0
        self._expected_before = self._received_before = 0
        self._report: tuple[int, float] | None = None

    def start(self, sequence: int) -> None:
        """The next packet is `sequence` of a new source."""
        self._buffer.restart(sequence)
        self._suspect = None
        self._timestamps = Unwrapper(32)
        self._clock.restart()
        self._report = None
        self._restart_report(sequence)

    def _restart_report(self, sequence: int) -> None:
        self._base = sequence
        self._base_packets = self.stats.packets
        self._expected_before = self._received_before = 0
        self._jitter_timestamp = -1

    def receive(
        self, data: bytes, first: int, second: int, sequence: int, timestamp: int, now: float
    ) -> Sequence[Frame]:
        """A packet of the media SSRC with its header fields read; the common case, in order, ends here."""
        if first == _PLAIN_HEADER:
            start, end = 12, len(data)
        elif first == _EXTENDED_HEADER and data[12:16] == _ONE_WORD and len(data) > 20:
            start, end = 20, len(data)
        else:
            bounds = payload_bounds(data)
            if bounds is None:
                self.stats.malformed += 1
                return NO_FRAMES
            start, end = bounds
        buffer = self._buffer
        stats = self.stats
        stats.packets += 1
        stats.bytes += len(data)
        if buffer.packets or sequence != buffer.next & 0xFFFF:
            packet = Packet(data, start, end, timestamp, second & MARKER, now, now)
            return self._out_of_order(sequence, packet, now)
        buffer.next += 1
        if timestamp != self._jitter_timestamp:
            self._measure_jitter(timestamp, now)
        if start == end:
            return NO_FRAMES
        stats.last_media = now
        return self._take(data, start, end, timestamp, second & MARKER, now, now)

    def receive_retransmission(
        self, data: bytes, first: int, second: int, timestamp: int, now: float
    ) -> Sequence[Frame]:
        """A packet of the retransmission SSRC (RFC 4588 4); without a payload it is padding."""
        bounds = (12, len(data)) if first == _PLAIN_HEADER else payload_bounds(data)
        if bounds is None or bounds[1] == bounds[0] + 1:
            self.stats.malformed += 1
            return NO_FRAMES
        start, end = bounds
        if start == end:
            return NO_FRAMES
        original = data[start] << 8 | data[start + 1]
        packet = Packet(data, start + 2, end, timestamp, second & MARKER, now, now)
        number = self._buffer.next + forward(original, self._buffer.next, 16)
        # Also the packet after the last, whose loss is not known yet: senders probe with what they sent last.
        if number in self._buffer.missing or number == self._buffer.highest + 1:
            return self._insert(number, packet, now)
        self.stats.late += 1
        return NO_FRAMES

    def _take(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> Sequence[Frame]:
        """Frames that the payload data[start:end] of the next packet in order completes."""
        raise NotImplementedError

    def _gap(self) -> None:
        """Packets before the next one are lost."""
        raise NotImplementedError

    # The slow path.

    def _out_of_order(self, sequence: int, packet: Packet, now: float) -> Sequence[Frame]:
        ahead = forward(sequence, self._buffer.next, 16)
        if abs(ahead) > MAX_JUMP or (ahead < 0 and self._silent(now)):
            return self._jumped(sequence, packet)
        if ahead < 0:
            self.stats.late += 1
            return NO_FRAMES
        self._suspect = None
        number = self._buffer.next + ahead
        if number > self._buffer.highest:
            self._measure_jitter(packet.timestamp, now)
        return self._insert(number, packet, now)

    def _silent(self, now: float) -> bool:
        last = self.stats.last_media
        return last is not None and now - last > _SILENCE

    def _jumped(self, sequence: int, packet: Packet) -> Sequence[Frame]:
        suspect, self._suspect = self._suspect, (sequence, packet)
        if suspect is None or sequence != (suspect[0] + 1) & 0xFFFF:
            return NO_FRAMES
        self._suspect = None
        self.stats.restarts += 1
        self._buffer.restart(suspect[0] + 2)
        self._restart_report(suspect[0])
        self._base_packets -= 2
        self._gap()
        return [*self._take_packet(suspect[1]), *self._take_packet(packet)]

    def _insert(self, number: int, packet: Packet, now: float) -> Sequence[Frame]:
        buffer = self._buffer
        if number in buffer.packets:
            self.stats.late += 1
            return NO_FRAMES
        frames: list[Frame] = []
        if number - buffer.highest > (MAX_STALE_HOLE if self._silent(now) else MAX_HOLE):
            while buffer.packets:
                self._skip(frames)
            self.stats.lost += number - buffer.next
            buffer.next = number
            self._gap()
        if number <= buffer.highest:
            packet = packet._replace(anchor=None)
        hole = buffer.insert(number, packet, now)
        if hole is not None and hole.tries:
            self.stats.recovered += 1
            if hole.tries == 1:
                self._measure_rtt(now - hole.asked)
        self._drain(frames)
        self._seek(number, frames)
        while len(buffer.packets) > MAX_WAITING or buffer.size > MAX_WAITING_BYTES:
            self._skip(frames)
        return frames

    def _seek(self, number: int, frames: list[Frame]) -> None:
        """Whether the packet just put in makes what waits before it worthless."""

    def _drain(self, frames: list[Frame]) -> None:
        for packet in self._buffer.ready():
            frames.extend(self._take_packet(packet))

    def _take_packet(self, packet: Packet) -> Sequence[Frame]:
        if packet.start == packet.end:
            return NO_FRAMES
        self.stats.last_media = packet.arrival
        return self._take(*packet)

    def _skip(self, frames: list[Frame]) -> None:
        self.stats.lost += self._buffer.skip()
        self._gap()
        self._drain(frames)

    # Time.

    def poll(self, now: float) -> Sequence[Frame]:
        """Gives up the holes whose time is over."""
        if not self._buffer.packets:
            return NO_FRAMES
        frames: list[Frame] = []
        while (expiry := self._buffer.expires()) is not None and expiry <= now:
            self._skip(frames)
        return frames

    def deadline(self, nack: bool) -> float | None:
        """When `poll`, or `nacks` where they are sent, has something to do."""
        buffer = self._buffer
        times = (buffer.expires(), buffer.nack_deadline() if nack else None)
        return min((time for time in times if time is not None), default=None)

    # Feedback.

    def nacks(self, now: float) -> list[int]:
        """Extended sequence numbers to ask for now."""
        if not self._buffer.missing:
            return []
        least, usual, most = _NACK_INTERVAL
        rtt = self.stats.rtt
        interval = usual if rtt is None else max(least, min(1.1 * rtt, most))
        due = self._buffer.nacks(now, interval, _MAX_NACKS)
        self.stats.nacks += len(due)
        return due

    def sender_report(self, report: SenderReport, now: float) -> None:
        self._report = (report.ntp >> 16 & 0xFFFFFFFF, now)
        if self._timestamps.last is not None:
            self._clock.sender_report(self._timestamps.peek(report.rtp_time), report.ntp / 2**32, now)

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """RFC 3550 6.4.1, A.3. Retransmissions on their own SSRC do not hide the path's loss."""
        highest = self._buffer.highest
        expected = highest - self._base + 1
        received = self.stats.packets - self._base_packets
        expected_now = expected - self._expected_before
        lost_now = expected_now - (received - self._received_before)
        self._expected_before, self._received_before = expected, received
        fraction = min(255, (lost_now << 8) // expected_now) if expected_now > 0 and lost_now > 0 else 0
        last_report, delay = 0, 0
        if self._report is not None:
            # It may have come while the tick that began at `now` was reading.
            last_report, delay = self._report[0], max(0, int((now - self._report[1]) * 65536))
        jitter = int(self.stats.jitter * self._rate)
        return ReportBlock(ssrc, fraction, expected - received, highest, jitter, last_report, delay)

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        if timestamp == self._jitter_timestamp:
            return
        if self._jitter_timestamp >= 0:
            media = forward(timestamp, self._jitter_timestamp, 32) / self._rate
            difference = abs(now - self._jitter_arrival - media)
            # A jump of the timestamps is no jitter.
            if difference < 1.0:
                self.stats.jitter += (difference - self.stats.jitter) / 16
        self._jitter_timestamp = timestamp
        self._jitter_arrival = now

    def _measure_rtt(self, sample: float) -> None:
        rtt = self.stats.rtt
        self.stats.rtt = sample if rtt is None else rtt + (sample - rtt) / 8


class AudioReceiver(TrackReceiver):
    """Opus: one packet of the codec in each RTP packet (RFC 7587 4.2)."""

    def _take(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> Sequence[Frame]:
        rtp_time = self._timestamps.unwrap(timestamp)
        self.stats.frames += 1
        return (OpusPacket(data[start:end], rtp_time, self._clock.place(rtp_time, anchor, arrival), arrival),)

    def _gap(self) -> None:
        pass
