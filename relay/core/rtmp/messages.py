"""RTMP messages: types, bodies of control messages, commands (Adobe RTMP specification 1.0, sections 5.4, 6, 7)."""

import enum
from dataclasses import dataclass

from relay.core.rtmp import amf0


class Type(enum.IntEnum):
    """Message type ids. Audio, video and data are FLV's tag types too."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20


class ChunkStream(enum.IntEnum):
    """Chunk stream ids as FFmpeg and its like choose them; 2 is prescribed for control (5.4)."""

    CONTROL = 2
    COMMAND = 3
    AUDIO = 4
    VIDEO = 6
    DATA = 8


class UserControl(enum.IntEnum):
    """Event types of a user control message (7.1.7)."""

    STREAM_BEGIN = 0
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(slots=True)
class Message:
    type: int
    stream_id: int
    timestamp: int
    """Milliseconds, modulo 2^32."""
    body: bytes


@dataclass(slots=True)
class Command:
    """A command message, body decoded: name, transaction id, then the command object and the arguments (7.1.1)."""

    name: str
    transaction: float
    arguments: list[amf0.Value]

    def information(self) -> dict[str, str]:
        """The texts (`level`, `code`, `description` ...) of the last object among the arguments: what answers tell."""
        for argument in reversed(self.arguments):
            if isinstance(argument, dict):
                return {name: value for name, value in argument.items() if isinstance(value, str)}
        return {}


def parse_command(message: Message) -> Command:
    """`Amf0Error` when the body is not a command."""
    # The AMF3 form is AMF0 behind one byte of 0, as every encoder in use writes it.
    body = message.body[1:] if message.type == Type.COMMAND_AMF3 else message.body
    values = amf0.decode(body)
    if len(values) < 2 or not isinstance(values[0], str) or not isinstance(values[1], float):
        raise amf0.Amf0Error("a command has a name and a transaction id")
    return Command(values[0], values[1], values[2:])


def u32(value: int) -> bytes:
    """The body of Set Chunk Size, Acknowledgement and Window Acknowledgement Size."""
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def user_control(event: UserControl, payload: bytes) -> bytes:
    return event.to_bytes(2, "big") + payload
