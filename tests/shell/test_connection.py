import asyncio
import contextlib
import socket
import ssl
from typing import Any

import pytest

from relay.core import flv
from relay.core.flv import Tag
from relay.core.push_url import PushUrl
from relay.core.rtmp.publisher import Connected, PublishStarted, Refused
from relay.push.connection import HIGH_WATER, Connection, Lost
from relay.push.sink import Sink, SinkStream
from relay.push.stall import STALL_TIMEOUT, unacknowledged
from tests.support.certificate import certificate
from tests.support.clip import clip_tags
from tests.support.eventually import eventually
from tests.support.hostile import Behaviour, HostileServer
from tests.support.pushing import Ear, end, opened, publishing, push


async def outcome(url: str, **options: Any) -> Ear:
    """What becomes of a connection that never publishes."""
    ear = Ear()
    connection = opened(PushUrl.parse(url), ear, **options)
    await eventually(lambda: ear.lost, every=0.005)
    await connection.wait_closed()
    return ear


async def test_a_clip_arrives_as_it_is():
    got: list[Tag] = []
    ended: list[SinkStream] = []
    sink = Sink(on_tag=lambda stream, tag, arrival: got.append(tag), on_end=ended.append)
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key?token=1")
    assert sink.streams["live", "key"].name == "key?token=1"
    await push(connection, clip_tags())
    await eventually(lambda: len(got) == len(clip_tags()))
    assert connection.bytes_written > sum(len(tag.body) for tag in got)
    await end(connection, ear)
    assert got == clip_tags()
    assert ear.events == [Connected(), PublishStarted(), Lost("finished")]
    await eventually(lambda: ended)
    await sink.close()


async def test_finish_sends_what_is_queued():
    got: list[Tag] = []
    sink = Sink(on_tag=lambda stream, tag, arrival: got.append(tag))
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key")
    for tag in clip_tags():
        connection.send(tag.type, tag.timestamp, tag.body)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await end(connection, ear)
    assert loop.time() - begun < 1.0
    assert got == clip_tags()
    await sink.close()


async def test_a_name_that_cannot_be_resolved():
    ear = await outcome("rtmp://nowhere.invalid/live/sekret")
    assert ear.events == [Lost("connect: the host's name cannot be resolved")]


@pytest.mark.parametrize("host", ["x" * 80, ".x", "a..b"])
async def test_a_host_that_is_no_name(host):
    assert (await outcome(f"rtmp://{host}/live/sekret")).lost.startswith("connect: the host's name")


async def test_connection_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ear = await outcome(f"rtmp://127.0.0.1:{taken.getsockname()[1]}/live/sekret")
    assert ear.events == [Lost("connect: connection refused", unreachable=True)]


async def test_a_name_of_which_one_address_answers():
    sink = Sink()
    port = await sink.start("127.0.0.1")  # localhost is ::1 first, where the system has it
    connection, ear = await publishing(f"rtmp://localhost:{port}/live/key")
    await end(connection, ear)
    await sink.close()


async def test_ipv6():
    sink = Sink()
    port = await sink.start("::1")
    connection, ear = await publishing(f"rtmp://[::1]:{port}/live/key")
    await end(connection, ear)
    await sink.close()


@pytest.mark.parametrize(
    ("behaviour", "events"),
    [
        (Behaviour.SILENT, [Lost("publish: not begun within 0.2 s, last during the handshake", unreachable=True)]),
        (
            Behaviour.SILENT_AFTER_CONNECT,
            [
                Connected(),
                Lost(
                    "publish: not begun within 0.2 s, last after publish: "
                    "the stream key may be wrong, expired or in use"
                ),
            ],
        ),
        (
            Behaviour.HTTP,
            [Lost("protocol error: the peer does not speak RTMP: its first byte is 72, not 3")],
        ),
        (
            Behaviour.REFUSE_CONNECT,
            [
                Refused("NetStream.Publish.Denied", "no *** here", permanent=True),
                Lost("refused: NetStream.Publish.Denied"),
            ],
        ),
        (
            Behaviour.REFUSE_PUBLISH,
            [
                Connected(),
                Refused("NetStream.Publish.Denied", "no *** here", permanent=True),
                Lost("refused: NetStream.Publish.Denied"),
            ],
        ),
        (
            Behaviour.CLOSE_AFTER_PUBLISH,
            [
                Connected(),
                Lost("the server closed the connection after publish: the stream key may be wrong, expired or in use"),
            ],
        ),
        (
            Behaviour.RESET_AFTER_PUBLISH,
            [
                Connected(),
                Lost(
                    "the server broke the connection (connection reset) after publish: "
                    "the stream key may be wrong, expired or in use"
                ),
            ],
        ),
    ],
)
async def test_servers_that_do_not_take_it(behaviour, events):
    async with HostileServer(behaviour, code="NetStream.Publish.Denied", description="no sekret here") as server:
        ear = await outcome(server.url("sekret"), publish_timeout=0.2)
    assert ear.events == events
    assert "sekret" not in repr(ear.events)


async def test_a_second_publisher_of_the_same_name():
    sink = Sink()
    port = await sink.start()
    url = f"rtmp://127.0.0.1:{port}/live/key"
    first, first_ear = await publishing(url)
    second = await outcome(url)
    assert second.events[1:] == [
        Refused("NetStream.Publish.BadName", "Already publishing", permanent=False),
        Lost("refused: NetStream.Publish.BadName"),
    ]
    await end(first, first_ear)
    await eventually(lambda: not sink.streams)
    again, again_ear = await publishing(url)
    await end(again, again_ear)
    await sink.close()


async def test_reset_while_publishing():
    async with HostileServer(Behaviour.RESET_AFTER_TAG) as server:
        connection, ear = await publishing(server.url("key"))
        connection.send(flv.AUDIO, 0, b"\xaf\1sound")
        connection.flush()
        assert await eventually(lambda: ear.lost) == (
            "the server broke the connection (connection reset) while publishing"
        )
        connection.send(flv.AUDIO, 0, b"\xaf\1sound")
        connection.flush()
        await connection.wait_closed()
    assert ear.events == [Connected(), PublishStarted(), Lost(ear.lost)]


async def fill(connection: Connection) -> None:
    """Until the peer, which reads nothing, has been sent all that goes in anywhere."""
    for _ in range(200):
        if not connection.writable:
            return
        connection.send(flv.VIDEO, 0, b"\x17\1" + bytes(65536))
        connection.flush()
        await asyncio.sleep(0)
    raise AssertionError("a connection that takes everything")


async def test_a_peer_that_reads_nothing_is_found():
    async with HostileServer(Behaviour.READ_NOTHING) as server:
        connection, ear = await publishing(server.url("key"))
        await fill(connection)
        transport = connection._transport
        assert transport.get_write_buffer_size() < HIGH_WATER + 70_000
        connection.poll(100.0)
        connection.poll(114.0)
        await asyncio.sleep(0)
        assert ear.lost is None
        connection.poll(115.1)
        assert await eventually(lambda: ear.lost) == "stalled: the server has taken nothing for 15 s"
        await connection.wait_closed()


async def acknowledged(connection: Connection) -> bool:
    """Whether the peer's kernel still takes what was sent."""
    with contextlib.suppress(AssertionError):
        await eventually(lambda: unacknowledged(connection._transport) == 0, within=0.5, every=0.002)
        return True
    return False


async def test_a_slow_stream_into_a_peer_that_reads_nothing():
    """Sound alone fills no socket buffer in half a minute: what is not acknowledged tells."""
    async with HostileServer(Behaviour.READ_NOTHING) as server:
        connection, ear = await publishing(server.url("key"))
        seconds = 0
        while await acknowledged(connection):
            connection.send(flv.AUDIO, seconds * 1000, b"\xaf\1" + bytes(16000))  # 128 kbit/s
            connection.flush()
            seconds += 1
        assert connection.writable
        assert seconds + STALL_TIMEOUT < 30
        connection.poll(0.0)
        connection.poll(STALL_TIMEOUT)
        assert (await eventually(lambda: ear.lost)).startswith("stalled")
        await connection.wait_closed()


async def test_a_peer_that_floods_is_left():
    async with HostileServer(Behaviour.FLOOD) as server:
        connection, ear = await publishing(server.url("key"))
        transport = connection._transport
        assert await eventually(lambda: ear.lost) == (
            "protocol error: the peer floods: it sends more than commands and acknowledgements need"
        )
        assert transport.get_write_buffer_size() < HIGH_WATER + 300_000
        await connection.wait_closed()


async def test_no_stall_where_nothing_waits():
    sink = Sink()
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key")
    for now in (0.0, 100.0, 200.0):
        await eventually(lambda: unacknowledged(connection._transport) == 0)
        connection.poll(now)
    assert ear.lost is None
    await end(connection, ear)
    await sink.close()


async def test_finish_of_a_stalled_connection_is_cut():
    async with HostileServer(Behaviour.READ_NOTHING) as server:
        connection, ear = await publishing(server.url("key"))
        await fill(connection)
        connection.finish(deadline=0.1)
        assert await eventually(lambda: ear.lost, within=1.0) == "finished"
        await connection.wait_closed()


@pytest.mark.parametrize("how", ["finish", "abort"])
async def test_ended_while_it_opens(how):
    async with HostileServer(Behaviour.SILENT) as server:
        for turns in range(8):
            ear = Ear()
            connection = opened(PushUrl.parse(server.url("key")), ear)
            for _ in range(turns):
                await asyncio.sleep(0)
            getattr(connection, how)()
            await connection.wait_closed()
            await asyncio.sleep(0)
            assert ear.events == ([Lost("finished")] if how == "finish" else [])


async def test_abort_while_publishing_is_silent():
    sink = Sink()
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key")
    connection.abort()
    await connection.wait_closed()
    assert ear.events == [Connected(), PublishStarted()]
    await eventually(lambda: not sink.streams)
    await sink.close()


# rtmps


async def publishing_by_tls(tmp_path, **options):
    """A sink with a certificate and `options`, and a connection that publishes to it."""
    server, authority = certificate(tmp_path, "localhost")
    sink = Sink(tls=server, **options)
    port = await sink.start()
    client = ssl.create_default_context(cafile=authority)
    return sink, *await publishing(f"rtmps://localhost:{port}/live/key", tls=client)


async def test_rtmps(tmp_path):
    got: list[Tag] = []
    sink, connection, ear = await publishing_by_tls(tmp_path, on_tag=lambda stream, tag, arrival: got.append(tag))
    await push(connection, clip_tags())
    connection.poll(0.0)
    await end(connection, ear)
    assert ear.lost == "finished"
    await eventually(lambda: not sink.streams)
    assert got == clip_tags()
    await sink.close()


async def test_rtmps_holds_no_more_than_rtmp(tmp_path):
    """What waits below TLS can no more be dropped, and nobody counts it."""
    sink, connection, _ = await publishing_by_tls(tmp_path)
    (peer,) = sink._connections
    peer._transport._ssl_protocol._transport.pause_reading()
    below = connection._transport._ssl_protocol._transport
    full = 0
    while full < 50:
        full = 0 if connection.writable else full + 1
        if not full:
            connection.send(flv.VIDEO, 0, b"\x27\1" + bytes(5000))
            connection.flush()
        await asyncio.sleep(0)
    assert below.get_write_buffer_size() < HIGH_WATER
    connection.abort()
    await connection.wait_closed()
    await sink.close()


async def test_rtmps_polled_while_it_is_being_lost(tmp_path):
    """TLS tells of a connection's end one turn of the loop after its socket is closed."""
    sink, connection, ear = await publishing_by_tls(tmp_path)
    now = 0.0
    closing = asyncio.create_task(sink.close())
    while ear.lost is None:
        now += 1.0
        connection.poll(now)
        await asyncio.sleep(0)
    await closing
    await connection.wait_closed()
    assert ear.lost.startswith("the server ")


@pytest.mark.parametrize(("subject", "trusted"), [("localhost", False), ("other.example", True)])
async def test_a_certificate_that_is_not_accepted(tmp_path, subject, trusted):
    server, authority = certificate(tmp_path, subject)
    client = ssl.create_default_context(cafile=authority)

    sink = Sink(tls=server)
    port = await sink.start()
    ear = await outcome(f"rtmps://localhost:{port}/live/sekret", tls=client if trusted else None)
    assert ear.lost.startswith("connect: the server's certificate is not accepted: ")
    await sink.close()


async def test_rtmps_to_a_server_without_tls():
    sink = Sink()
    port = await sink.start()
    ear = await outcome(f"rtmps://127.0.0.1:{port}/live/key", connect_timeout=0.5)
    assert ear.lost.startswith("connect: ")
    await sink.close()
