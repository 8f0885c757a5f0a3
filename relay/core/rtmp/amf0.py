"""AMF0, the value encoding of RTMP commands and FLV script data (Adobe "Action Message Format -- AMF 0", 2007).

Numbers are `float`, objects and typed objects `dict`, ECMA arrays `EcmaArray`, strict arrays `list`; null, undefined
and unsupported are `None`; dates come out as milliseconds (`float`), XML as its text.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "bool | float | str | Sequence[Value] | Mapping[str, Value] | None"

MAX_DEPTH = 16
MAX_VALUES = 4096
"""Values in one message: no real one has a hundred, and a one-byte value costs far more in memory than on the wire."""

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _ECMA_ARRAY, _STRICT_ARRAY, _LONG_STRING = 0, 1, 2, 3, 5, 8, 10, 12

_double = struct.Struct(">d")
_u16 = struct.Struct(">H")
_u32 = struct.Struct(">I")


class Amf0Error(ValueError):
    """The bytes are not AMF0, are cut short, or pass a bound."""


class EcmaArray(dict[str, Value]):
    """An object on the wire with its count in front: what `onMetaData` is made of."""


def encode(*values: Value) -> bytes:
    """The values one after the other. `Amf0Error` for a type or name that AMF0 has no form for."""
    out = bytearray()
    for value in values:
        _put(out, value)
    return bytes(out)


def _put(out: bytearray, value: Value) -> None:
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out += bytes((_BOOLEAN, value))
    elif isinstance(value, (int, float)):
        out.append(_NUMBER)
        out += _double.pack(value)
    elif isinstance(value, str):
        raw = value.encode()
        if len(raw) > 0xFFFF:
            out.append(_LONG_STRING)
            out += _u32.pack(len(raw))
        else:
            out.append(_STRING)
            out += _u16.pack(len(raw))
        out += raw
    elif isinstance(value, Mapping):
        if isinstance(value, EcmaArray):
            out.append(_ECMA_ARRAY)
            out += _u32.pack(len(value))
        else:
            out.append(_OBJECT)
        for name, member in value.items():
            raw = name.encode()
            if not 0 < len(raw) <= 0xFFFF:
                raise Amf0Error("a property name takes 1 to 65535 bytes")
            out += _u16.pack(len(raw))
            out += raw
            _put(out, member)
        out += b"\0\0\x09"
    elif isinstance(value, Sequence):
        out.append(_STRICT_ARRAY)
        out += _u32.pack(len(value))
        for member in value:
            _put(out, member)
    else:
        raise Amf0Error(f"AMF0 has no form for {type(value).__name__}")


def decode(data: bytes) -> list[Value]:
    """Every value in `data`. `Amf0Error` when it is malformed, nests beyond `MAX_DEPTH` or passes `MAX_VALUES`."""
    reader = _Reader(data)
    values = []
    while reader.at < len(data):
        values.append(reader.value(0))
    return values


class _Reader:
    __slots__ = ("_count", "_data", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = 0
        self.at = 0

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise Amf0Error("cut short")
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def _u16(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def _u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def _text(self, size: int) -> str:
        return self._take(size).decode("utf-8", "replace")

    def _number(self) -> float:
        number: float = _double.unpack(self._take(8))[0]
        return number

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise Amf0Error(f"nested deeper than {MAX_DEPTH}")
        self._count += 1
        if self._count > MAX_VALUES:
            raise Amf0Error(f"more than {MAX_VALUES} values")
        match self._take(1)[0]:
            case 0:
                return self._number()
            case 1:
                return self._take(1) != b"\0"
            case 2:
                return self._text(self._u16())
            case 3:
                return self._members({}, depth)
            case 5 | 6 | 13:
                return None
            case 8:
                # The count is a hint that many encoders set to 0: the end marker decides.
                self._u32()
                return self._members(EcmaArray(), depth)
            case 10:
                return [self.value(depth + 1) for _ in range(self._u32())]
            case 11:
                milliseconds = self._number()
                self._take(2)  # time zone, "should be 0"
                return milliseconds
            case 12 | 15:
                return self._text(self._u32())
            case 16:
                self._take(self._u16())  # class name
                return self._members({}, depth)
            case marker:
                raise Amf0Error(f"type marker {marker}")

    def _members(self, into: dict[str, Value], depth: int) -> dict[str, Value]:
        while True:
            name = self._text(self._u16())
            if not name and self._data[self.at : self.at + 1] == b"\x09":
                self.at += 1
                return into
            into[name] = self.value(depth + 1)
