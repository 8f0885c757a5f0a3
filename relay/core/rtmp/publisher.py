"""The publishing client: connect, createStream, publish, tags, deleteStream (Adobe RTMP specification 1.0, 7.2).

`releaseStream`, `FCPublish` and `FCUnpublish` are not in the specification; Flash Media Live Encoder sends them, and
CDNs are made for it.
"""

import enum
from dataclasses import dataclass

from relay.core.push_url import PushUrl
from relay.core.rtmp import amf0
from relay.core.rtmp.allowance import BYTES, BYTES_PER_SECOND, CHUNKS, CHUNKS_PER_SECOND, FLOOD, Allowance
from relay.core.rtmp.authmod import authorized
from relay.core.rtmp.messages import Command, Message, Type, parse_command
from relay.core.rtmp.peer import Peer

FLASH_VERSION = "FMLE/3.0 (compatible; relay)"
MAX_MESSAGE = 256 * 1024
"""Bytes of one message from the server: it sends commands only."""
PERMANENT = frozenset(
    {
        "NetConnection.Connect.Rejected",
        "NetConnection.Connect.InvalidApp",
        "NetStream.Publish.Rejected",
        "NetStream.Publish.Denied",
        "NetStream.Publish.Unauthorized",
    }
)
_CONNECT, _RELEASE_STREAM, _FC_PUBLISH, _CREATE_STREAM, _PUBLISH, _FC_UNPUBLISH, _DELETE_STREAM = range(1, 8)


class State(enum.Enum):
    """How far it has come. The values complete the sentence "the server closed the connection ..."."""

    HANDSHAKE = "during the handshake"
    CONNECT = "after connect"
    CREATE_STREAM = "after createStream"
    PUBLISH = "after publish: the stream key may be wrong, expired or in use"
    LIVE = "while publishing"
    ENDED = "after the end"


@dataclass(frozen=True, slots=True)
class Connected:
    """The server has accepted `connect`."""

    interleaved: bool = False
    """It wants timestamps to rise over all tracks together: it is an SRS, and says so."""


@dataclass(frozen=True, slots=True)
class PublishStarted:
    """NetStream.Publish.Start: tags may be sent."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no, in words. Both texts are the server's, without the URL's secrets."""

    code: str
    """Such as `NetStream.Publish.BadName`; empty where the server gave none."""
    description: str
    permanent: bool
    """The same request will be refused again; False for "already publishing" and for codes not known."""
    authorized: PushUrl | None = None
    """The same with user and password, for which the server asks: to be tried next."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The server ended the stream in words."""

    code: str


@dataclass(frozen=True, slots=True)
class ProtocolFailed:
    """The server's bytes cannot be understood; nothing more will come of this connection."""

    reason: str


Event = Connected | PublishStarted | Refused | Closed | ProtocolFailed


class Publisher:
    """Sans-I/O: bytes in, events out; write what `data_to_send` gives after every call and at the start."""

    __slots__ = ("_bytes", "_challenge", "_chunk_size", "_chunks", "_fourccs", "_peer", "_stream_id", "_url", "state")

    def __init__(self, url: PushUrl, *, nonce: bytes, chunk_size: int = 65536, fourccs: tuple[str, ...] = ()) -> None:
        """`nonce`: 1528 random bytes. `chunk_size`: bytes; SRS takes 65536 at most. `fourccs`: of video that may be
        sent by Enhanced RTMP."""
        self._url = url
        self._fourccs = fourccs
        self._chunk_size = chunk_size
        self._challenge = nonce[:4].hex()
        self._peer = Peer(nonce, max_message=MAX_MESSAGE)
        self._bytes = Allowance(BYTES, BYTES_PER_SECOND)
        self._chunks = Allowance(CHUNKS, CHUNKS_PER_SECOND)
        self._stream_id = 0
        self.state = State.HANDSHAKE
        self._peer.start()

    def data_to_send(self) -> list[bytes | memoryview]:
        """Takes what is to be written, in order; suited for `writelines`."""
        return self._peer.data_to_send()

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Never raises: bytes that make no sense, or more than a server has to say, give `ProtocolFailed`, and later
        ones nothing. `now`: seconds on one monotonic clock."""
        if self.state is State.ENDED:
            return []
        events: list[Event] = []
        try:
            messages = self._messages(data, now)
            if self.state is State.HANDSHAKE and self._peer.open:
                self._connect()
            for message in messages:
                self._message(message, events)
        except ValueError as error:
            self.state = State.ENDED
            events.append(ProtocolFailed(self._url.scrub(str(error))))
        return events

    def send(self, tag_type: int, timestamp: int, body: bytes) -> None:
        """One FLV tag (8 audio, 9 video, 18 data, with `@setDataFrame` put before it). `timestamp`: ms, any size.

        `RuntimeError` unless the publishing has begun.
        """
        if self.state is not State.LIVE:
            raise RuntimeError("tags are sent between PublishStarted and the end")
        self._peer.tag(self._stream_id, tag_type, timestamp, body)

    def close(self) -> None:
        """FCUnpublish and deleteStream, if there is a stream; what comes later from the server is nothing any more."""
        if self.state in (State.PUBLISH, State.LIVE):
            self._peer.command(0, "FCUnpublish", _FC_UNPUBLISH, None, self._url.stream_name)
            self._peer.command(0, "deleteStream", _DELETE_STREAM, None, self._stream_id)
        self.state = State.ENDED

    def _messages(self, data: bytes, now: float) -> list[Message]:
        self._bytes.left = self._bytes.fill(now) - len(data)
        if self._bytes.left < 0:
            raise ValueError(FLOOD)
        self._peer.chunks_left = self._chunks.fill(now)
        messages = self._peer.receive(data)
        self._chunks.left = self._peer.chunks_left
        return messages

    def _connect(self) -> None:
        request: dict[str, amf0.Value] = {
            "app": self._url.app,
            "type": "nonprivate",
            "flashVer": FLASH_VERSION,
            "tcUrl": self._url.tc_url,
        }
        if self._fourccs:
            request["fourCcList"] = self._fourccs
        self._peer.command(0, "connect", _CONNECT, request)
        self.state = State.CONNECT

    def _message(self, message: Message, events: list[Event]) -> None:
        if message.type not in (Type.COMMAND, Type.COMMAND_AMF3) or self.state is State.ENDED:
            return
        try:
            command = parse_command(message)
        except amf0.Amf0Error:
            return  # no answer that is waited for; other clients pass over it too
        information = command.information()
        code = information.get("code", "")
        match command.name:
            case "_result":
                self._result(command, events)
            case "_error" if command.transaction in (_CONNECT, _CREATE_STREAM, _PUBLISH):
                # To releaseStream and FCPublish many servers answer so, and take the stream all the same.
                self._refused(information, events)
            case "onStatus" if code == "NetStream.Publish.Start":
                if self.state is State.PUBLISH:
                    self.state = State.LIVE
                    events.append(PublishStarted())
            case "onStatus" if information.get("level") == "error" or code.startswith("NetStream.Publish.Bad"):
                self._refused(information, events)
            case "onStatus" if code in ("NetStream.Unpublish.Success", "NetConnection.Connect.Closed"):
                self.state = State.ENDED
                events.append(Closed(self._url.scrub(code)))
            case "close":
                self.state = State.ENDED
                events.append(Closed("close"))

    def _result(self, command: Command, events: list[Event]) -> None:
        if command.transaction == _CONNECT and self.state is State.CONNECT:
            if (information := command.information()).get("level") == "error":
                self._refused(information, events)
                return
            name = self._url.stream_name
            self._peer.set_chunk_size(self._chunk_size)
            self._peer.command(0, "releaseStream", _RELEASE_STREAM, None, name)
            self._peer.command(0, "FCPublish", _FC_PUBLISH, None, name)
            self._peer.command(0, "createStream", _CREATE_STREAM, None)
            self.state = State.CREATE_STREAM
            events.append(Connected(interleaved=_is_srs(command)))
        elif command.transaction == _CREATE_STREAM and self.state is State.CREATE_STREAM:
            stream_id = command.arguments[-1] if command.arguments else None
            if not isinstance(stream_id, float) or not 0 <= stream_id <= 0xFFFFFFFF:
                raise ValueError("createStream was answered without a stream id")
            self._stream_id = int(stream_id)
            self._peer.command(self._stream_id, "publish", _PUBLISH, None, self._url.stream_name, "live")
            self.state = State.PUBLISH

    def _refused(self, information: dict[str, str], events: list[Event]) -> None:
        code, description = information.get("code", ""), information.get("description", "")
        in_use = "already" in description.lower() or "in use" in description.lower()
        url = self._url
        again = authorized(url, description, self._challenge) if self.state is State.CONNECT else None
        permanent = code in PERMANENT and not in_use and again is None
        self.state = State.ENDED
        events.append(Refused(url.scrub(code), url.scrub(description), permanent, again))


def _is_srs(connected: Command) -> bool:
    """Of the answer to `connect`: whether its information has SRS's signature among its `data`."""
    for argument in connected.arguments:
        data = argument.get("data") if isinstance(argument, dict) else None
        if isinstance(data, dict) and "srs_sig" in data:
            return True
    return False
