"""Targets of RTMP's two halves, AMF0 and FLV."""

from collections.abc import Callable
from typing import Any

from relay.core.flv import FlvError, Tag, TagReader, write_tag
from relay.core.push_url import PushUrl
from relay.core.rtmp import amf0, publisher, server
from relay.core.rtmp.chunks import ChunkWriter
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.messages import ChunkStream, Message, Type, parse_command
from relay.core.rtmp.publisher import Publisher, State
from relay.core.rtmp.server import ServerSession
from tests.fuzz.tape import pieces

KEY, TOKEN = "sekretkey7", "hushtoken42"
URL = PushUrl.parse(f"rtmp://cdn.example/live/{KEY}?token={TOKEN}")
NONCE = bytes(NONCE_SIZE)
GREETING = b"\3" + bytes(1536) * 2
"""Either side's handshake."""
_SPLITS = (0, 1, 7, 128, 1000)


def amf0_values(data: bytes) -> None:
    try:
        values = amf0.decode(data)
    except amf0.Amf0Error:
        values = []
    try:
        again = amf0.decode(amf0.encode(*values))
    except amf0.Amf0Error:
        return  # a name that is empty, or too long for AMF0 once it was made valid UTF-8
    # By their text, since NaN is not itself.
    assert repr(again) == repr(values)
    parse_command(Message(data[0] if data else Type.COMMAND, 0, 0, data))


def flv_tags(data: bytes) -> None:
    """However the file is cut, the tags are the same, and they write as they read."""
    runs = []
    for size in (0, 13, 1 if len(data) < 300 else 101):
        reader, tags, failed = TagReader(), list[Tag](), False
        try:
            for piece in pieces(data, size):
                tags += reader.receive(piece)
        except FlvError:
            failed = True
        runs.append((tags, failed))
    whole = runs[0]
    assert len({failed for _, failed in runs}) == 1
    assert whole[1] or all(run == whole for run in runs)
    for tag in whole[0]:
        _ = tag.is_header, tag.is_key
        assert TagReader().receive(b"FLV\1\5\0\0\0\x09\0\0\0\0" + write_tag(tag)) == [tag]


def command(*values: amf0.Value, stream_id: int = 0) -> bytes:
    """A command message as one peer writes it to the other."""
    out: list[bytes | memoryview] = []
    ChunkWriter().write(out, ChunkStream.COMMAND, Type.COMMAND, stream_id, 0, amf0.encode(*values))
    return b"".join(out)


_CONNECTED = command("_result", 1, None, {"level": "status", "code": "NetConnection.Connect.Success"})
_CREATED = command("_result", 4, None, 1)
_STARTED = command("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"}, stream_id=1)
_ANSWERS = (b"", GREETING, GREETING + _CONNECTED, GREETING + _CONNECTED + _CREATED + _STARTED)
"""How far the session has come before the fuzzed bytes."""


def publisher_answers(data: bytes) -> None:
    """A byte of how far it has come and how the bytes are cut, then the server's bytes."""
    _halves(data, _ANSWERS, _run_publisher)


def _run_publisher(received: list[bytes]) -> tuple[list[object], int]:
    session = Publisher(URL, nonce=NONCE, chunk_size=4096)
    events: list[object] = []
    written = sum(map(len, session.data_to_send()))
    for number, piece in enumerate(received):
        events += session.receive(piece, float(number))
        if session.state is State.LIVE and number < 20:
            session.send(8, 0x1000000, b"\xaf\1" + bytes(100))
        written += sum(map(len, session.data_to_send()))
        if session.state is State.ENDED:
            assert session.receive(piece, float(number)) == []
    for event in events:
        assert KEY not in repr(event)
        assert TOKEN not in repr(event)
    ends = [event for event in events if isinstance(event, publisher.Refused | publisher.Closed)]
    assert len(ends) + sum(isinstance(event, publisher.ProtocolFailed) for event in events) <= 1
    session.close()
    return events, written - 20 * 120


_CONNECT = command("connect", 1, {"app": "live", "tcUrl": "rtmp://relay/live"})
_PUBLISH = command("createStream", 2, None) + command("publish", 3, None, "name", "live", stream_id=1)
_REQUESTS = (b"", GREETING, GREETING + _CONNECT, GREETING + _CONNECT + _PUBLISH)


def server_requests(data: bytes) -> None:
    """The same for the client's bytes; the server takes what is asked for."""
    _halves(data, _REQUESTS, _run_server)


def _run_server(received: list[bytes]) -> tuple[list[object], int]:
    session = ServerSession(nonce=NONCE)
    events: list[object] = []
    written = 0
    for piece in received:
        for event in session.receive(piece):
            events.append(event)
            match event:
                case server.ConnectRequested():
                    session.accept_connect()
                case server.PublishRequested(name="taken"):
                    session.refuse_publish("NetStream.Publish.BadName", "taken")
                case server.PublishRequested():
                    session.accept_publish()
        written += sum(map(len, session.data_to_send()))
    return events, written


def _halves(data: bytes, preludes: tuple[bytes, ...], run: Callable[[list[bytes]], Any]) -> None:
    shape = data[0] if data else 0
    prelude, size = preludes[shape & 3], _SPLITS[(shape >> 2) % len(_SPLITS)]
    whole, written = run([prelude, data[1:]])
    cut, _ = run([prelude, *pieces(data[1:], size if len(data) < 300 else 10 * size)])
    # What the owner answers between two pieces, and what failed with a piece, makes a difference.
    apart = (publisher.ProtocolFailed, server.ProtocolFailed, server.PublishRequested)
    before, _ = run([prelude])
    if not any(isinstance(event, apart) for events in (whole, cut) for event in events[len(before) :]):
        assert whole == cut
    # A peer cannot make it say more than some times what it said itself: the answers have no room to pile up.
    assert written <= 12_000 + 160 * len(data), written
