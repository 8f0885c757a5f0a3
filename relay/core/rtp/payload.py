"""What the depacketizers of all video codecs have in common: access units out of consecutive payloads."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from relay.core.rtp.stats import TrackStats

MAX_ACCESS_UNIT = 4 << 20
"""Bytes of RTP that one access unit may take, and of what keeping its parts costs; a larger one is malformed."""
_PART = 32


class Assembled(NamedTuple):
    """A whole access unit, before its place on the timeline is known."""

    parts: list[bytes]
    """As `AccessUnit.parts`."""
    key: bool
    timestamp: int
    """As on the wire."""
    arrival: float
    """When its last packet came."""
    anchor: float | None
    """When its first packet came; None where that one was late, so that it says nothing about the path."""


class Depacketizer(Protocol):
    """Assembles access units out of consecutive packets; `gap` says where they were not consecutive.

    What comes out is decodable: it starts with a key picture, and after a gap, a malformed packet or a part that never
    came it starts with a key picture again. In the counters a gap stands for one dropped access unit.
    """

    awaiting_key: bool
    ready: list[Assembled]
    """Access units not fetched yet."""
    timestamp: int
    """Of the last packet, as on the wire; -1 behind a gap."""

    def push(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> None:
        """Takes the payload data[start:end], not empty, of the packet that follows the one before."""

    def gap(self) -> None:
        """What was sent before the next packet is lost: pictures from here on have lost a reference."""


class PictureDepacketizer:
    """The `Depacketizer` of a codec that says how a picture starts, what a payload adds, and what the whole is."""

    def __init__(self, stats: TrackStats, starts: Callable[[bytes, int, int], bool]) -> None:
        """`starts`: the payload data[start:end] is a picture's first."""
        self.awaiting_key = True
        self.ready: list[Assembled] = []
        self._stats = stats
        self._starts = starts
        self._synced = False
        """The next packet continues a picture whose start was seen, or starts one."""
        self.timestamp = -1
        self._arrival = 0.0
        self._anchor: float | None = None
        self._size = 0

    def _add(self, data: bytes, start: int, end: int) -> bool:
        """Takes one payload of the picture; False where it breaks the syntax."""
        raise NotImplementedError

    def _finish(self) -> tuple[list[bytes], bool] | None:
        """The picture's parts, and whether it is a key picture. None: not whole. No parts: no picture so far, only what
        belongs to the one that follows."""
        raise NotImplementedError

    def _clear(self) -> None:
        """Forgets the picture's payloads."""
        raise NotImplementedError

    def gap(self) -> None:
        self._stats.dropped += 1
        self._reset()
        self._synced = False
        self.timestamp = -1
        self.awaiting_key = True

    def push(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> None:
        if timestamp != self.timestamp:
            if self._synced and self._size:
                self._complete()  # its sender sets no markers
            if self.timestamp >= 0:
                self._synced = True
            self.timestamp = timestamp
            self._anchor = anchor
        if not self._synced:
            if not self._starts(data, start, end):
                return
            self._synced = True
        self._size += end - start + _PART
        self._arrival = arrival
        if self._size > MAX_ACCESS_UNIT or not self._add(data, start, end):
            self._break()
        elif marker:
            self._complete()

    def _complete(self) -> None:
        finished = self._finish()
        if finished is None:
            self._break()
            return
        parts, key = finished
        if not parts:
            return
        if self.awaiting_key and not key:
            self._stats.dropped += 1
        else:
            self.awaiting_key = False
            self.ready.append(Assembled(parts, key, self.timestamp, self._arrival, self._anchor))
        self._reset()

    def _break(self) -> None:
        """The picture is not whole. What has another timestamp is past it."""
        self._stats.malformed += 1
        timestamp = self.timestamp
        self.gap()
        self.timestamp = timestamp

    def _reset(self) -> None:
        self._size = 0
        self._clear()
