"""What client and server share: handshake, chunk streams, acknowledgement and pings (Adobe RTMP specification 1.0)."""

from relay.core.flv import DATA, Tag
from relay.core.rtmp import amf0
from relay.core.rtmp.chunks import ChunkReader, ChunkWriter
from relay.core.rtmp.handshake import Handshake
from relay.core.rtmp.messages import ChunkStream, Message, Type, UserControl, u32, user_control

WINDOW_SIZE = 2_500_000
"""Bytes after which we ask the peer for an acknowledgement, as FMS and its like do."""
_TAG_CHUNK_STREAMS = {
    int(Type.AUDIO): ChunkStream.AUDIO,
    int(Type.VIDEO): ChunkStream.VIDEO,
    int(Type.DATA): ChunkStream.DATA,
}
_SET_DATA_FRAME = amf0.encode("@setDataFrame")


class Peer:
    """One side of a connection. `receive` gives whole messages other than control; what it must answer, it answers."""

    __slots__ = ("_acknowledged", "_handshake", "_out", "_reader", "_received", "_told_window", "_window", "_writer")

    def __init__(self, nonce: bytes, *, max_message: int) -> None:
        self._handshake = Handshake(nonce)
        self._reader = ChunkReader(max_message=max_message)
        self._writer = ChunkWriter()
        self._out: list[bytes | memoryview] = []
        self._received = 0
        self._acknowledged = 0
        self._window = 0
        self._told_window = 0

    @property
    def open(self) -> bool:
        """The handshake is done."""
        return self._handshake.done

    @property
    def chunks_left(self) -> float:
        """Chunks that the other side may still send."""
        return self._reader.chunks_left

    @chunks_left.setter
    def chunks_left(self, count: float) -> None:
        self._reader.chunks_left = count

    def start(self) -> None:
        self._out.append(self._handshake.opening())

    def data_to_send(self) -> list[bytes | memoryview]:
        """Takes what is to be written, in order, as `writelines` wants it."""
        out, self._out = self._out, []
        return out

    def receive(self, data: bytes) -> list[Message]:
        """`ValueError` (of handshake, chunk stream or AMF0) ends the connection."""
        self._received += len(data)
        if not self._handshake.done:
            if echo := self._handshake.receive(data):
                self._out.append(echo)
            if not self._handshake.done:
                return []
            data = self._handshake.rest()
        messages = [
            message
            for message in self._reader.receive(data)
            if message.type in _TAG_CHUNK_STREAMS or not self._control(message)
        ]
        if self._window and self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self.control(Type.ACKNOWLEDGEMENT, u32(self._received))
        return messages

    def control(self, kind: Type, body: bytes) -> None:
        self._writer.write(self._out, ChunkStream.CONTROL, kind, 0, 0, body)

    def set_chunk_size(self, size: int) -> None:
        self.control(Type.SET_CHUNK_SIZE, u32(size))
        self._writer.chunk_size = size

    def set_window(self, size: int) -> None:
        self._told_window = size
        self.control(Type.WINDOW_ACK_SIZE, u32(size))

    def command(self, stream_id: int, *values: amf0.Value) -> None:
        """Name, transaction id, command object, arguments."""
        self._writer.write(self._out, ChunkStream.COMMAND, Type.COMMAND, stream_id, 0, amf0.encode(*values))

    def tag(self, stream_id: int, kind: int, timestamp: int, body: bytes) -> None:
        if kind == Type.DATA:
            body = _SET_DATA_FRAME + body
        self._writer.write(self._out, _TAG_CHUNK_STREAMS[kind], kind, stream_id, timestamp, body)

    def _control(self, message: Message) -> bool:
        """Whether it was a control message; those that want an answer get it."""
        body = message.body
        match message.type:
            case Type.WINDOW_ACK_SIZE:
                self._window = int.from_bytes(body[:4], "big")
            case Type.SET_PEER_BANDWIDTH:
                # To be answered when the size differs from the one last told (5.4.5).
                size = int.from_bytes(body[:4], "big")
                if size and size != self._told_window:
                    self.set_window(size)
            case Type.USER_CONTROL:
                if body[:2] == UserControl.PING_REQUEST.to_bytes(2, "big"):
                    self.control(Type.USER_CONTROL, user_control(UserControl.PING_RESPONSE, body[2:6]))
            case Type.ACKNOWLEDGEMENT:
                pass
            case _:
                return False
        return True


def tag_of(message: Message) -> Tag | None:
    """The FLV tag that an audio, video or data message carries; `None` for other messages."""
    kind, body = message.type, message.body
    if kind not in _TAG_CHUNK_STREAMS:
        return None
    if kind == DATA:
        body = body.removeprefix(_SET_DATA_FRAME)
    return Tag(kind, message.timestamp, body)
