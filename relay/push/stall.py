"""Whether the peer of a connection still takes what it is sent: bytes in the kernel tell before buffers are full."""

import asyncio
import fcntl
import math
import struct
import termios

STALL_TIMEOUT = 15.0
"""Seconds. A peer's kernel goes on taking for a while after its program has stopped reading: at 128 kbit/s for 9 s, as
measured, and both together stay within half a minute."""
_LOOK = 1.0
"""Seconds between looks: each is a system call."""


class StallDetector:
    __slots__ = ("_drained", "_drained_at", "_looked_at", "timeout")

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds without progress while data waits."""
        self.timeout = timeout
        self._drained = 0
        self._drained_at: float | None = None
        self._looked_at = -math.inf

    def stalled(self, transport: asyncio.Transport, queued: int, now: float) -> bool:
        """To be asked once a tick or so. `queued`: bytes handed to `transport` since it began."""
        if now - self._looked_at < min(_LOOK, self.timeout / 10):
            return False
        self._looked_at = now
        waiting = transport.get_write_buffer_size() + unacknowledged(transport)
        drained = queued - waiting
        if self._drained_at is None or waiting == 0 or drained > self._drained:
            self._drained, self._drained_at = max(drained, self._drained), now
            return False
        return now - self._drained_at >= self.timeout


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes in the kernel that the peer has not acknowledged: on a slow stream those alone can last a minute."""
    sock = transport.get_extra_info("socket")
    if sock is None:  # TLS has let go of it, and tells of that a turn of the loop later
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
