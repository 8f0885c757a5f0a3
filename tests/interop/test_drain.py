"""A relay that is told to end lets running pushes end first, and nobody new in."""

import asyncio
from pathlib import Path

import psutil

from relay.push.sink import Sink
from tests.support.eventually import eventually
from tests.support.process import serving
from tests.support.publishing import publishing


async def test_sigterm_waits_for_the_push_that_runs(tmp_path: Path) -> None:
    sink = Sink()
    port = await sink.start()
    try:
        async with serving(tmp_path, workers="2", drain_seconds="60") as server:
            relay = server.relay
            assert len(server.process.children()) == 2
            assert await relay.start(f"rtmp://127.0.0.1:{port}/live/running") == "ok"
            async with publishing(relay):

                async def pushing() -> bool:
                    return (await relay.states())[:2] == (2, 5)

                await eventually(pushing, what="the push runs")
                server.process.terminate()

                async def refused() -> bool:
                    body = {
                        "AppId": "app",
                        "RoomId": "other",
                        "TaskId": "late",
                        "Stream": {"UserId": "user"},
                        "PushURL": "rtmp://127.0.0.1:9/live/key",
                        "Control": {},
                    }
                    response = await relay.call("StartPushSingleStreamToCDN", body)
                    if response.status_code == 200:
                        await relay.stop("late", room="other")
                        return False
                    return response.status_code == 429 and "about to end" in response.text

                await eventually(refused, what="nobody new is let in")
                assert await pushing(), "the push goes on"
                assert (await relay.stop()).status_code == 200
            children = server.process.children()
            await eventually(lambda: not server.process.is_running() or _is_zombie(server.process), within=15)
            assert not any(child.is_running() for child in children), "no worker process outlives its server"
    finally:
        await sink.close()


async def test_a_client_that_stops_amid_its_request_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        host, port = server.relay.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 100"), "the relay waits for the body"
        server.process.terminate()
        await eventually(lambda: _is_zombie(server.process), within=8, what="it ends all the same")
        writer.close()
        await writer.wait_closed()
    assert "the ledger was not left" not in server.log.read_text()


def _is_zombie(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_ZOMBIE
