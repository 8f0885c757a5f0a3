"""How much a publisher's server may say: commands, acknowledgements and pings are little, and reading costs our CPU."""

CHUNKS = 4000
"""At once; an answer is one to three, a server that acknowledges each 16 KiB of 10 Mbit/s sends 76 a second."""
CHUNKS_PER_SECOND = 400
BYTES = 512 * 1024
BYTES_PER_SECOND = 32 * 1024
FLOOD = "the peer floods: it sends more than commands and acknowledgements need"


class Allowance:
    """A bucket that fills up with time; `now` is seconds on one monotonic clock."""

    __slots__ = ("_burst", "_filled", "_rate", "left")

    def __init__(self, burst: int, rate: float) -> None:
        """`rate`: a second."""
        self.left: float = burst
        self._burst = burst
        self._rate = rate
        self._filled: float | None = None

    def fill(self, now: float) -> float:
        """What is left at `now`."""
        if self._filled is not None:
            self.left = min(self._burst, self.left + (now - self._filled) * self._rate)
        self._filled = now
        return self.left
