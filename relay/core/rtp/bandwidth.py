"""What a sender may send, by the receiver's estimate (REMB), for one that does not know transport-wide feedback.

Loss decides, with the thresholds of draft-ietf-rmcat-gcc-02 section 6. What is received caps only the growth and
the depth of a cut: a sender whose picture is easy to code sends little, and still may send more at any moment.
"""

START = 3_000_000
"""Bits per second to begin with: above what senders begin with, sound included."""
FLOOR = 150_000
CEILING = 10_000_000
_HIGH_LOSS, _LOW_LOSS = 0.10, 0.02
_GROWTH = 1.08


class BandwidthEstimate:
    """Bits per second, from `FLOOR` to the ceiling; a ceiling below `FLOOR` holds all the same."""

    __slots__ = ("_ceiling", "bitrate")

    def __init__(self, ceiling: int | None) -> None:
        self._ceiling = CEILING if ceiling is None else ceiling
        self.bitrate = min(START, self._ceiling)

    def update(self, received: float, loss: float) -> int:
        """Takes what came since the last update: bits per second, and the part lost, 0 to 1. Gives `bitrate`."""
        bitrate = float(self.bitrate)
        if loss > _HIGH_LOSS:
            bitrate = max(bitrate / 2, min(bitrate * (1 - loss / 2), received))
        elif loss < _LOW_LOSS and received > bitrate / 2:
            bitrate *= _GROWTH
        self.bitrate = min(max(int(bitrate), FLOOR), self._ceiling)
        return self.bitrate
