"""Bits of a bitstream header, most significant first."""


class Bits:
    """ValueError past the end."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        """Unsigned, `count` bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the data ends early")
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self, limit: int) -> int:
        """Exp-Golomb, unsigned (ITU-T H.264 9.1, AV1 4.10.3 uvlc); ValueError above `limit`."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("an Exp-Golomb code of more than 32 bits")
        value = (1 << zeros) - 1 + self.u(zeros)
        if value > limit:
            raise ValueError(f"a value of {value} where {limit} is the most")
        return value

    def se(self) -> int:
        """Exp-Golomb, signed (9.1.1)."""
        code = self.ue((1 << 32) - 1)
        return (code + 1) // 2 if code & 1 else -(code // 2)


def rbsp(nal: bytes) -> bytes:
    """What a NAL unit's bytes hold without emulation prevention (H.264 7.4.1, H.265 7.4.2)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")
