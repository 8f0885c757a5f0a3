"""FFmpeg and the server that wants user and password: what the relay's tests push to is as others know it."""

import asyncio
import subprocess

from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.server import ConnectRequested, PublishRequested, TagReceived
from tests.support.authmod import AuthSession
from tests.support.debian import need


async def test_ffmpeg_is_let_in() -> None:
    need("ffmpeg")
    tags = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tags
        session = AuthSession(nonce=bytes(NONCE_SIZE))
        while data := await reader.read(65536):
            for event in session.receive(data):
                match event:
                    case ConnectRequested():
                        session.accept_connect()
                    case PublishRequested():
                        session.accept_publish()
                    case TagReceived():
                        tags += 1
            writer.writelines(session.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = ["-f", "lavfi", "-i", "anullsrc=r=44100", "-t", "0.2", "-c:a", "aac"]
    ffmpeg = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", *source, "-f", "flv", f"rtmp://anna:pass:word@127.0.0.1:{port}/live/key",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert await asyncio.wait_for(ffmpeg.wait(), 20) == 0
    assert tags > 5
    server.close()
    await server.wait_closed()
