"""The sources of a session's packets: for each, SRTP keeps a context for good, and looks for it among the others
(RFC 3711 3.2.3)."""

MOST = 1000
"""Far above what any peer has, its restarts and its RTCP included."""


class Sources:
    __slots__ = ("_met",)

    def __init__(self) -> None:
        self._met: set[int] = set()

    def meet(self, ssrc: int) -> None:
        if not self.too_many:
            self._met.add(ssrc)

    @property
    def too_many(self) -> bool:
        """The session had better end: each new source makes each packet of the others cost more."""
        return len(self._met) > MOST
