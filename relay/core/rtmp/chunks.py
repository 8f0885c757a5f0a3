"""The RTMP chunk stream (Adobe RTMP specification 1.0, section 5.3): messages cut into chunks, and whole again."""

import math

from relay.core.rtmp.allowance import FLOOD
from relay.core.rtmp.messages import Message, Type

DEFAULT_CHUNK_SIZE = 128
MAX_CHUNK_SIZE = 0xFFFFFF
_EXTENDED = 0xFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)
_ACTED_ON = (int(Type.SET_CHUNK_SIZE), int(Type.ABORT))


class ChunkError(ValueError):
    """The bytes are no chunk stream, or pass a bound."""


class ChunkWriter:
    """Messages to chunks. Every message starts with a full (type 0) header, which no peer misreads."""

    __slots__ = ("chunk_size",)

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE

    def write(
        self, out: list[bytes | memoryview], chunk_stream: int, kind: int, stream_id: int, timestamp: int, body: bytes
    ) -> None:
        """Appends header and body to `out`; the body goes in as it is, or as views of it where it must be split.

        `timestamp`: milliseconds, any size, written modulo 2^32. `chunk_stream`: 2 to 63.
        """
        timestamp &= 0xFFFFFFFF
        size = len(body)
        tail = size.to_bytes(3, "big") + bytes((kind,)) + stream_id.to_bytes(4, "little")
        if timestamp < _EXTENDED:
            extended = b""
            out.append(bytes((chunk_stream,)) + timestamp.to_bytes(3, "big") + tail)
        else:
            extended = timestamp.to_bytes(4, "big")
            out.append(bytes((chunk_stream,)) + b"\xff\xff\xff" + tail + extended)
        if size <= self.chunk_size:
            out.append(body)
            return
        # The extended timestamp is repeated on every type 3 chunk (5.3.1.3).
        between = bytes((0xC0 | chunk_stream,)) + extended
        view = memoryview(body)
        out.append(view[: self.chunk_size])
        for at in range(self.chunk_size, size, self.chunk_size):
            out.append(between)
            out.append(view[at : at + self.chunk_size])


class _Stream:
    """What later headers of one chunk stream leave out, and the message under way on it."""

    __slots__ = ("body", "extended", "field", "kind", "size", "stream_id", "timestamp")

    def __init__(self) -> None:
        self.kind = 0
        self.size = 0
        self.stream_id = 0
        self.timestamp = 0
        self.field = 0
        """The last header's timestamp field: absolute after type 0, else a delta."""
        self.extended = False
        self.body: bytearray | None = None


class ChunkReader:
    """Chunks to messages. Set Chunk Size and Abort act here; they are not handed on.

    Holds at most one chunk not yet whole and `2 * max_message` bytes of messages under way, on `max_streams` chunk
    streams. Peers that leave out the extended timestamp on type 3 chunks are understood as well: a type 3 chunk carries
    it exactly when its next four bytes repeat it.
    """

    __slots__ = ("_buffer", "_max_message", "_max_streams", "_pending", "_streams", "chunk_size", "chunks_left")

    def __init__(self, *, max_message: int, max_streams: int = 32) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self.chunks_left = math.inf
        """Chunks that may still come; who sets it says how often."""
        self._buffer = bytearray()
        self._max_message = max_message
        self._max_streams = max_streams
        self._pending = 0
        self._streams: dict[int, _Stream] = {}

    def receive(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. `ChunkError` ends the stream: what follows cannot be understood."""
        held = self._buffer
        if held:
            held += data
        buffer = held or data
        messages: list[Message] = []
        at = 0
        while (end := self._chunk(buffer, at, messages)) is not None:
            at = end
            self.chunks_left -= 1
            if self.chunks_left < 0:
                raise ChunkError(FLOOD)
        if held:
            del held[:at]
        else:
            held += data[at:]
        return messages

    def _chunk(self, buffer: bytes | bytearray, at: int, messages: list[Message]) -> int | None:
        """Takes the chunk at `at` and gives its end, or `None` and no change while it is not whole."""
        available = len(buffer)
        if at >= available:
            return None
        form, identifier = buffer[at] >> 6, buffer[at] & 0x3F
        at += 1
        if identifier < 2:  # the two- and three-byte forms (5.3.1.1)
            if available < at + 1 + identifier:
                return None
            identifier = 64 + int.from_bytes(buffer[at : at + 1 + identifier], "little")
            at += 1 + (buffer[at - 1] & 0x3F)
        header = at
        at += _HEADER_SIZES[form]
        if available < at:
            return None
        stream = self._streams.get(identifier)
        if stream is None:
            if form == 3:
                raise ChunkError("a type 3 chunk opens a chunk stream")
            if len(self._streams) >= self._max_streams:
                raise ChunkError(f"more than {self._max_streams} chunk streams")
            # Kept only when the chunk is whole: nothing changes before.
            stream = _Stream()
        # A header inside a message abandons it, as FFmpeg reads that.
        begins = stream.body is None or form != 3

        field, extended, size = stream.field, stream.extended, stream.size
        if form < 3:
            field = int.from_bytes(buffer[header : header + 3], "big")
            extended = field == _EXTENDED
        if form < 2:
            size = int.from_bytes(buffer[header + 3 : header + 6], "big")
            if size > self._max_message:
                raise ChunkError(f"a message of {size} bytes, the bound is {self._max_message}")
        if extended:
            if begins:
                if available < at + 4:
                    return None
                field = int.from_bytes(buffer[at : at + 4], "big")
                at += 4
            else:
                seen = buffer[at : at + 4]
                repeated = field.to_bytes(4, "big")
                if seen == repeated:
                    at += 4
                elif len(seen) < 4 and repeated.startswith(seen):
                    return None
        part = min(self.chunk_size, size if begins or stream.body is None else size - len(stream.body))
        if available < at + part:
            return None

        end = at + part
        body = stream.body
        if begins or body is None:
            self._begin(stream, buffer, form, header, field, extended, size)
            self._streams[identifier] = stream
            if part == size:
                self._complete(stream, bytes(buffer[at:end]), messages)
                return end
            body = stream.body = bytearray()
        body += buffer[at:end]
        self._pending += part
        if len(body) == stream.size:
            self._pending -= stream.size
            stream.body = None
            self._complete(stream, bytes(body), messages)
        elif self._pending > 2 * self._max_message:
            raise ChunkError("too many messages under way")
        return end

    def _begin(
        self,
        stream: _Stream,
        buffer: bytes | bytearray,
        form: int,
        header: int,
        field: int,
        extended: bool,
        size: int,
    ) -> None:
        if form < 2:
            stream.kind = buffer[header + 6]
        if form == 0:
            stream.stream_id = int.from_bytes(buffer[header + 7 : header + 11], "little")
            stream.timestamp = field
        else:
            stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
        stream.field, stream.extended, stream.size = field, extended, size
        self._abandon(stream)

    def _abandon(self, stream: _Stream) -> None:
        if stream.body is not None:
            self._pending -= len(stream.body)
            stream.body = None

    def _complete(self, stream: _Stream, body: bytes, messages: list[Message]) -> None:
        kind = stream.kind
        if kind not in _ACTED_ON:
            messages.append(Message(kind, stream.stream_id, stream.timestamp, body))
        elif kind == Type.SET_CHUNK_SIZE:
            size = int.from_bytes(body[:4], "big")
            if len(body) < 4 or not 1 <= size <= 0x7FFFFFFF:
                raise ChunkError(f"chunk size {size}")
            self.chunk_size = min(size, MAX_CHUNK_SIZE)
        else:
            abandoned = self._streams.get(int.from_bytes(body[:4], "big"))
            if abandoned is not None:
                self._abandon(abandoned)
