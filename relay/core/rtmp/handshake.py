"""The simple RTMP handshake (Adobe RTMP specification 1.0, section 5.2), both halves.

C0/S0 is the version, C1/S1 a time, four zero bytes and 1528 random ones, C2/S2 the echo of what the other side sent.
The echo that comes back is not compared: servers that speak the digest variant answer the simple one with other bytes.
"""

NONCE_SIZE = 1528
_SIZE = 1536
_VERSION = 3


class HandshakeError(ValueError):
    """The peer does not speak RTMP."""


class Handshake:
    """One side: send `opening()`, the server once it hears the client; `receive` until `done`, then read `rest()`."""

    __slots__ = ("_answered", "_buffer", "_first", "done")

    def __init__(self, nonce: bytes) -> None:
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"the nonce takes {NONCE_SIZE} bytes")
        self._first = bytes(8) + nonce
        self._buffer = bytearray()
        self._answered = False
        self.done = False

    def opening(self) -> bytes:
        """C0 and C1, or S0 and S1."""
        return bytes((_VERSION,)) + self._first

    def receive(self, data: bytes) -> bytes:
        """Takes the peer's bytes and gives the echo (C2 or S2) once its first part is whole, else nothing.

        `HandshakeError` when the peer's version byte is not RTMP's.
        """
        self._buffer += data
        if self._buffer and self._buffer[0] != _VERSION:
            raise HandshakeError(f"the peer does not speak RTMP: its first byte is {self._buffer[0]}, not {_VERSION}")
        self.done = len(self._buffer) >= 1 + 2 * _SIZE
        if self._answered or len(self._buffer) < 1 + _SIZE:
            return b""
        self._answered = True
        return bytes(self._buffer[1 : 1 + _SIZE])

    def rest(self) -> bytes:
        """What came after the handshake: the first bytes of the chunk stream."""
        return bytes(self._buffer[1 + 2 * _SIZE :])
