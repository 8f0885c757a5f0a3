"""Our publisher against our server: one is the other's peer, byte for byte."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import flv
from relay.core.flv import Tag
from relay.core.push_url import PushUrl
from relay.core.rtmp import amf0, server
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.messages import Type, u32
from relay.core.rtmp.publisher import (
    Closed,
    Connected,
    ProtocolFailed,
    Publisher,
    PublishStarted,
    Refused,
    State,
)
from relay.core.rtmp.server import (
    ConnectRequested,
    PublishRequested,
    ServerSession,
    TagReceived,
    Unpublished,
)

URL = PushUrl.parse("rtmp://cdn.example/live/sekret?token=hush/42")
NONCE = bytes(NONCE_SIZE)


@dataclasses.dataclass
class Pair:
    """Client and server, and how many bytes go across at once."""

    sizes: Iterator[int]
    on_server: Callable[[ServerSession, server.Event], None]

    def __post_init__(self) -> None:
        self.client = Publisher(URL, nonce=NONCE)
        self.server = ServerSession(nonce=NONCE)
        self.client_events: list[object] = []
        self.server_events: list[object] = []
        self._to_server = self._to_client = b""

    def run(self) -> None:
        """Until both are quiet."""
        while True:
            self._to_server += b"".join(self.client.data_to_send())
            self._to_client += b"".join(self.server.data_to_send())
            if not self._to_server and not self._to_client:
                return
            size = next(self.sizes)
            for event in self.server.receive(self._to_server[:size]):
                self.server_events.append(event)
                self.on_server(self.server, event)
            self.client_events += self.client.receive(self._to_client[:size], 0.0)
            self._to_server, self._to_client = self._to_server[size:], self._to_client[size:]


def accept(session: ServerSession, event: server.Event) -> None:
    match event:
        case ConnectRequested():
            session.accept_connect()
        case PublishRequested():
            session.accept_publish()


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def test_a_publishing_byte_by_byte():
    pair = Pair(always(1), accept)
    pair.run()
    assert pair.client_events == [Connected(), PublishStarted()]
    assert pair.server_events == [
        ConnectRequested("live", "rtmp://cdn.example/live"),
        PublishRequested("live", "sekret?token=hush/42"),
    ]
    pair.server_events.clear()
    tags = [Tag(flv.DATA, 0, flv.metadata_body(width=16, height=16)), Tag(flv.VIDEO, 0, b"\x17\1" + bytes(300))]
    for tag in tags:
        pair.client.send(tag.type, tag.timestamp, tag.body)
    pair.client.close()
    pair.run()
    assert pair.server_events == [*map(TagReceived, tags), Unpublished()]


@given(st.data())
def test_any_tags_in_any_pieces(data):
    tags = data.draw(
        st.lists(
            st.builds(
                Tag,
                st.sampled_from([flv.AUDIO, flv.VIDEO]),
                st.sampled_from([0, 0xFFFFFE, 0xFFFFFF, 2**31, 2**32 - 1, 2**32 + 5]),
                st.binary(max_size=50) | st.just(bytes(150_000)),
            ),
            max_size=6,
        )
    )

    def sizes() -> Iterator[int]:
        while True:
            yield data.draw(st.sampled_from([1, 7, 128, 1536, 4096, 1 << 20, 1 << 20, 1 << 20]))

    pair = Pair(always(4096), accept)
    pair.run()
    pair.sizes = sizes()
    pair.server_events.clear()
    for tag in tags:
        pair.client.send(tag.type, tag.timestamp, tag.body)
    pair.run()
    assert pair.server_events == [
        TagReceived(dataclasses.replace(tag, timestamp=tag.timestamp % 2**32)) for tag in tags
    ]


def refusing(code: str, description: str, *, at_connect: bool = False) -> Pair:
    def refuse(session: ServerSession, event: server.Event) -> None:
        match event:
            case ConnectRequested() if at_connect:
                session.refuse_connect(code, description)
            case ConnectRequested():
                session.accept_connect()
            case PublishRequested():
                session.refuse_publish(code, description)

    pair = Pair(always(4096), refuse)
    pair.run()
    return pair


@pytest.mark.parametrize(
    ("code", "description", "permanent"),
    [
        ("NetStream.Publish.BadName", "Already publishing", False),
        ("NetStream.Publish.BadName", "Stream already publishing", False),
        ("NetStream.Publish.Denied", "Not you", True),
        ("NetStream.Publish.Rejected", "no", True),
        ("NetStream.Publish.Rejected", "Stream is already being published", False),
        ("NetStream.Something.New", "", False),
    ],
)
def test_refused_publish(code, description, permanent):
    pair = refusing(code, description)
    assert pair.client_events == [Connected(), Refused(code, description, permanent)]
    assert pair.client.state is State.ENDED


@pytest.mark.parametrize("code", ["NetConnection.Connect.Rejected", "NetConnection.Connect.InvalidApp"])
def test_refused_connect(code):
    assert refusing(code, "no", at_connect=True).client_events == [Refused(code, "no", permanent=True)]


def test_a_refusal_shows_no_secret():
    (_, refused) = refusing("NetStream.Publish.Denied", "bad key sekret with hush/42\nin live").client_events
    assert isinstance(refused, Refused)
    assert refused.description == "bad key *** with *** in live"


def live() -> Pair:
    pair = Pair(always(65536), accept)
    pair.run()
    return pair


def test_a_ping_is_answered():
    pair = live()
    pair.server.ping(77)
    pair.client.receive(b"".join(pair.server.data_to_send()), 0.0)
    header, body = pair.client.data_to_send()
    assert header[7] == Type.USER_CONTROL
    assert bytes(body) == bytes.fromhex("0007 0000004d")


def test_the_server_ends_the_stream_in_words():
    pair = live()
    pair.server.status("status", "NetStream.Unpublish.Success", "")
    pair.client_events.clear()
    pair.run()
    assert pair.client_events == [Closed("NetStream.Unpublish.Success")]


def test_an_error_while_publishing():
    pair = live()
    pair.client_events.clear()
    pair.server.status("error", "NetStream.Publish.Denied", "expired")
    pair.run()
    assert pair.client_events == [Refused("NetStream.Publish.Denied", "expired", permanent=True)]


@pytest.mark.parametrize(
    "body", [amf0.encode("onBWDone"), amf0.encode("onBWDone", None), amf0.encode("x", 0.0) + b"\x11"]
)
def test_a_command_that_cannot_be_read_costs_nobody_the_stream(body):
    """Without a transaction id, or with AMF3 in it: librtmp and FFmpeg pass over such, so servers have them."""
    pair = live()
    pair.server._peer._writer.write(pair.server._peer._out, 3, Type.COMMAND, 0, 0, body)
    pair.run()
    assert pair.client_events == [Connected(), PublishStarted()]
    pair.client.send(flv.AUDIO, 0, b"sound")


def test_errors_to_release_stream_are_no_refusal():
    pair = Pair(always(65536), lambda session, event: None)
    pair.run()
    pair.server.accept_connect()
    for transaction in (2, 3):
        pair.server._peer.command(
            0, "_error", transaction, None, {"level": "error", "code": "NetConnection.Call.Failed"}
        )
    pair.on_server = accept
    pair.run()
    assert pair.client_events == [Connected(), PublishStarted()]


def test_tags_before_the_start_are_the_callers_error():
    with pytest.raises(RuntimeError):
        Publisher(URL, nonce=NONCE).send(flv.AUDIO, 0, b"")


@given(st.binary(max_size=400))
def test_garbage_for_the_client(data):
    client = Publisher(URL, nonce=NONCE)
    events = client.receive(b"\3" + bytes(3072) + data, 0.0) + client.receive(data, 1.0)
    assert all(isinstance(event, (ProtocolFailed, Closed, Refused)) for event in events)


@given(st.binary(max_size=400))
def test_garbage_for_the_server(data):
    session = ServerSession(nonce=NONCE)
    events = session.receive(b"\3" + bytes(3072) + data) + session.receive(data)
    assert len([event for event in events if isinstance(event, server.ProtocolFailed)]) <= 1


def test_a_peer_of_another_protocol():
    (failed,) = Publisher(URL, nonce=NONCE).receive(b"HTTP/1.1 404 Not Found\r\n", 0.0)
    assert isinstance(failed, ProtocolFailed)
    assert "does not speak RTMP" in failed.reason


def test_amf3_commands_are_understood():
    pair = Pair(always(65536), lambda session, event: None)
    pair.run()
    body = b"\0" + amf0.encode("_result", 1, None, {"code": "NetConnection.Connect.Success"})
    pair.server._peer._writer.write(pair.server._peer._out, 3, Type.COMMAND_AMF3, 0, 0, body)
    pair.run()
    assert pair.client_events == [Connected()]


def test_a_window_of_the_peer_is_acknowledged():
    pair = live()
    pair.server._peer.control(Type.WINDOW_ACK_SIZE, u32(100))
    pair.client.receive(b"".join(pair.server.data_to_send()), 0.0)
    (header, body) = pair.client.data_to_send()
    assert header[7] == Type.ACKNOWLEDGEMENT
    assert int.from_bytes(body, "big") == pair.client._peer._received
