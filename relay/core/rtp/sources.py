"""The sources of a session's packets: for each, SRTP keeps a context for good, and looks for it among the others
(RFC 3711 3.2.3)."""

from relay.core.rtp.packet import is_rtcp

MOST = 1000
"""Far above what any peer has, its restarts and its RTCP included."""


class Sources:
    __slots__ = ("_met",)

    def __init__(self) -> None:
        self._met: set[int] = set()

    def meet(self, ssrc: int) -> None:
        if not self.too_many:
            self._met.add(ssrc)

    def meet_sender(self, packet: bytes) -> None:
        """Of an RTP or RTCP packet that SRTP let through."""
        at = 4 if is_rtcp(packet) else 8
        self.meet(int.from_bytes(packet[at : at + 4], "big"))

    @property
    def too_many(self) -> bool:
        """The session had better end: each new source makes each packet of the others cost more."""
        return len(self._met) > MOST
