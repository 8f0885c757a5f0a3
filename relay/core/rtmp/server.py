"""The server half: takes one published stream a connection, for the sink and the tests (RTMP 1.0, section 7.2)."""

from dataclasses import dataclass

from relay.core.flv import Tag
from relay.core.rtmp.messages import Command, Message, Type, UserControl, parse_command, u32, user_control
from relay.core.rtmp.peer import WINDOW_SIZE, Peer, tag_of

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes of one message from the client: a key frame of 4K at any sane rate."""
CHUNK_SIZE = 4096
_STREAM_ID = 1


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """Answer with `accept_connect` or `refuse_connect`."""

    app: str
    tc_url: str


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Answer with `accept_publish` or `refuse_publish`."""

    app: str
    stream_name: str


@dataclass(frozen=True, slots=True)
class TagReceived:
    tag: Tag
    """Timestamp modulo 2^32; metadata without `@setDataFrame`."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The client ended its stream in words."""


@dataclass(frozen=True, slots=True)
class ProtocolFailed:
    """The client's bytes cannot be understood; close the connection."""

    reason: str


Event = ConnectRequested | PublishRequested | TagReceived | Unpublished | ProtocolFailed


class ServerSession:
    """Sans-I/O: bytes in, events out; write what `data_to_send` gives after every call."""

    __slots__ = ("_app", "_ended", "_greeted", "_peer", "_publishing", "_transaction")

    def __init__(self, *, nonce: bytes) -> None:
        """`nonce`: 1528 random bytes."""
        self._peer = Peer(nonce, max_message=MAX_MESSAGE)
        self._greeted = False
        self._ended = False
        self._app = ""
        self._transaction = 0.0
        self._publishing = False

    def data_to_send(self) -> list[bytes | memoryview]:
        """Takes what is to be written, in order; suited for `writelines`."""
        return self._peer.data_to_send()

    def receive(self, data: bytes) -> list[Event]:
        """Never raises: bytes that make no sense give `ProtocolFailed`, and later ones nothing."""
        if self._ended:
            return []
        events: list[Event] = []
        if not self._greeted:
            self._greeted = True
            self._peer.start()
        try:
            for message in self._peer.receive(data):
                self._message(message, events)
        except ValueError as error:
            self._ended = True
            events.append(ProtocolFailed(str(error)))
        return events

    def accept_connect(self) -> None:
        self._peer.set_window(WINDOW_SIZE)
        self._peer.control(Type.SET_PEER_BANDWIDTH, u32(WINDOW_SIZE) + b"\2")
        self._peer.set_chunk_size(CHUNK_SIZE)
        self._peer.command(
            0,
            "_result",
            self._transaction,
            {"fmsVer": "FMS/3,0,1,123", "capabilities": 31},
            _status("status", "NetConnection.Connect.Success", "Connection succeeded."),
        )

    def refuse_connect(self, code: str, description: str) -> None:
        self._peer.command(0, "_error", self._transaction, None, _status("error", code, description))

    def accept_publish(self) -> None:
        self._publishing = True
        self._peer.control(Type.USER_CONTROL, user_control(UserControl.STREAM_BEGIN, u32(_STREAM_ID)))
        self.status("status", "NetStream.Publish.Start", "Publishing has begun.")

    def refuse_publish(self, code: str, description: str) -> None:
        self.status("error", code, description)

    def status(self, level: str, code: str, description: str) -> None:
        """`onStatus` on the stream."""
        self._peer.command(_STREAM_ID, "onStatus", 0, None, _status(level, code, description))

    def ping(self, timestamp: int) -> None:
        self._peer.control(Type.USER_CONTROL, user_control(UserControl.PING_REQUEST, u32(timestamp)))

    def _message(self, message: Message, events: list[Event]) -> None:
        if self._publishing and (tag := tag_of(message)) is not None:
            events.append(TagReceived(tag))
        elif message.type in (Type.COMMAND, Type.COMMAND_AMF3):
            self._command(parse_command(message), events)

    def _command(self, command: Command, events: list[Event]) -> None:
        match command.name:
            case "connect":
                information = command.information()
                self._app = information.get("app", "")
                self._transaction = command.transaction
                events.append(ConnectRequested(self._app, information.get("tcUrl", "")))
            case "createStream":
                self._peer.command(0, "_result", command.transaction, None, _STREAM_ID)
            case "publish":
                name = command.arguments[1] if len(command.arguments) > 1 else None
                if not isinstance(name, str) or self._publishing:
                    self.refuse_publish("NetStream.Publish.BadName", "One stream a connection, and it has a name.")
                else:
                    events.append(PublishRequested(self._app, name))
            case "releaseStream" | "FCPublish":
                self._peer.command(0, "_result", command.transaction, None, None)
            case "FCUnpublish" | "deleteStream" | "closeStream" if self._publishing:
                self._publishing = False
                events.append(Unpublished())


def _status(level: str, code: str, description: str) -> dict[str, str]:
    return {"level": level, "code": code, "description": description}
