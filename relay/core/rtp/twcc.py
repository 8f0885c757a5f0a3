"""Transport-wide congestion control, the receiver's side: which packets of a transport came, and when.

draft-holmer-rmcat-transport-wide-cc-extensions-01: senders number all packets of a transport in a header extension
(section 2); the receiver tells them the arrivals (section 3.1), and the estimate of the bandwidth is theirs.
"""

import struct
from collections.abc import Sequence

from relay.core.rtp import rtcp

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

MAX_SPAN = 2000
"""Sequence numbers in one report; where more have passed, the oldest are left out."""
_MAX_RECEIVED = 300  # received packets told of in one RTCP packet, which then fits an MTU whatever the rest is
_LATE = 500  # numbers before the last report that may still come and be told of
_TICKS = 4000  # of 250 us in a second
_REFERENCE = 256  # ticks in a unit of the reference time, 64 ms
_MAX_RUN = 0x1FFF
_LOST, _SMALL, _LARGE = 0, 1, 2
_ONE_BYTE, _TWO_BYTES = 0xBEDE, 0x1000
_HEAD = struct.Struct("!HHI")


def sequence_number(data: bytes, extension: int) -> int | None:
    """The transport's sequence number in an RTP packet whose X bit is set (RFC 8285 4.2, 4.3); None: none, or cut."""
    start = 12 + 4 * (data[0] & 0x0F)
    if start + 4 > len(data):
        return None
    profile = data[start] << 8 | data[start + 1]
    position = start + 4
    end = position + 4 * (data[start + 2] << 8 | data[start + 3])
    if end > len(data) or (profile != _ONE_BYTE and profile & 0xFFF0 != _TWO_BYTES):
        return None
    while position < end:
        head = data[position]
        position += 1
        if head == 0:  # padding
            continue
        if profile == _ONE_BYTE:
            identifier, size = head >> 4, (head & 15) + 1
            if identifier == 15:
                return None
        else:
            if position == end:
                return None
            identifier, size = head, data[position]
            position += 1
        if identifier == extension:
            return data[position] << 8 | data[position + 1] if size >= 2 and position + 2 <= end else None
        position += size
    return None


class TransportFeedback:
    """Arrivals since the last report, and the reports."""

    __slots__ = ("_count", "_last", "_next", "_told", "arrivals", "element", "extension")

    def __init__(self, extension: int) -> None:
        """`extension`: the identifier negotiated for it."""
        self.extension = extension
        self.element = struct.pack("!HHB", _ONE_BYTE, 1, extension << 4 | 1) if extension < 15 else b""
        """How the extension begins in a packet that has no other: the number follows."""
        self.arrivals: dict[int, float] = {}
        """Seconds by number on the wire, so 65536 at most. The hot path writes here."""
        self._last = 0
        """The last number, extended."""
        self._next: int | None = None
        """The number after the last told of."""
        self._told: dict[int, float] = {}
        """Arrivals that a packet that comes late makes us tell again."""
        self._count = 0

    def receive(self, data: bytes, now: float) -> None:
        """Notes an RTP packet with a header extension of any form."""
        number = sequence_number(data, self.extension)
        if number is not None:
            self.arrivals.setdefault(number, now)

    def build(self, sender: int, media: int) -> list[bytes]:
        """RTCP packets of at most 1.2 kB that tell of the arrivals since the last call; mostly one."""
        arrivals, self.arrivals = self.arrivals, {}
        told, following, last = self._told, self._next, self._last
        fresh: dict[int, float] = {}
        for number, arrival in arrivals.items():
            last += ((number - last + 0x8000) & 0xFFFF) - 0x8000
            if following is not None and last < following - _LATE:
                # So late does no packet come: the numbering began anew.
                following = None
                told.clear()
                fresh.clear()
            if last not in told:
                fresh[last] = arrival
        self._last = last
        if not fresh:
            return []
        end = max(fresh) + 1
        base = min(fresh) if following is None else min(following, *fresh)
        told |= fresh
        packets: list[bytes] = []
        begin: int | None = max(base, end - MAX_SPAN)
        while begin is not None:
            body, begin = self._write(range(begin, end), told)
            packets.append(rtcp.transport_feedback(sender, media, body))
        self._next = following = end if following is None else max(end, following)
        if len(told) > 2 * _LATE:
            self._told = {number: arrival for number, arrival in told.items() if number >= following - _LATE}
        return packets

    def _write(self, numbers: range, received: dict[int, float]) -> tuple[bytes, int | None]:
        """One packet's body, and where the next has to begin."""
        symbols: list[int] = []
        deltas = bytearray()
        reference, last, told = 0, 0, 0
        following: int | None = None
        for number in numbers:
            arrival = received.get(number)
            if arrival is None:
                symbols.append(_LOST)
                continue
            ticks = int(arrival * _TICKS)
            if not told:
                reference = ticks // _REFERENCE
                last = reference * _REFERENCE
            delta = ticks - last
            if told == _MAX_RECEIVED or not -0x8000 <= delta < 0x8000:
                following = number
                break
            if 0 <= delta < 256:
                symbols.append(_SMALL)
                deltas.append(delta)
            else:
                symbols.append(_LARGE)
                deltas += delta.to_bytes(2, "big", signed=True)
            last = ticks
            told += 1
        head = _HEAD.pack(numbers[0] & 0xFFFF, len(symbols), (reference & 0xFFFFFF) << 8 | self._count)
        self._count = (self._count + 1) & 0xFF
        body = head + _chunks(symbols) + deltas
        # Zeros to a whole word, without RTCP's own padding, whose length would have to be a multiple of four itself.
        return body + bytes(-len(body) % 4), following


def _chunks(symbols: Sequence[int]) -> bytes:
    """Packet status chunks (3.1.3, 3.1.4): runs where they are long, else 14 one-bit or 7 two-bit symbols."""
    chunks = bytearray()
    position, size = 0, len(symbols)
    while position < size:
        symbol = symbols[position]
        run = 1
        while position + run < size and symbols[position + run] == symbol and run < _MAX_RUN:
            run += 1
        if run >= 14 or position + run == size:
            chunk = symbol << 13 | run
            position += run
        elif _LARGE not in (part := symbols[position : position + 14]):
            chunk = 0x8000
            for place, value in enumerate(part):
                chunk |= value << 13 - place
            position += 14
        else:
            chunk = 0xC000
            for place, value in enumerate(symbols[position : position + 7]):
                chunk |= value << 12 - 2 * place
            position += 7
        chunks += chunk.to_bytes(2, "big")
    return bytes(chunks)
