"""Janus 1.1 as a peer: its VideoRoom forwards RTP to one FFmpeg a stream, which copies video and codes AAC."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from relay.cli.bench.peers import face

_START_TIME = 10.0
_CONFIG = """
general: {{ configs_folder = "{folder}" plugins_folder = "{library}/plugins" transports_folder = "{library}/transports"
    events_folder = "{folder}/none" loggers_folder = "{folder}/none" debug_level = 3 session_timeout = 0 }}
nat: {{ }}
media: {{ rtp_port_range = "40000-49999" }}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
"""
_HTTP = """
general: {{ json = "compact" base_path = "/janus" http = true port = {port} interface = "lo" https = false }}
admin: {{ admin_http = false }}
"""
_SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio {audio} RTP/AVP 111
a=rtpmap:111 opus/48000/2
m=video {video} RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
"""


class _Janus:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = os.environ["BENCH_PUSH_URL"]
        self._port = _free_port(socket.SOCK_STREAM)
        library = next(path for path in Path("/usr/lib").glob("*/janus") if path.is_dir())
        (folder / "none").mkdir()
        (folder / "janus.jcfg").write_text(
            _CONFIG.format(
                folder=folder,
                library=library,
                plugins=_others(library / "plugins", "libjanus_videoroom.so"),
                transports=_others(library / "transports", "libjanus_http.so"),
            )
        )
        (folder / "janus.transport.http.jcfg").write_text(_HTTP.format(port=self._port))
        (folder / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")
        with (folder / "janus.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  found on the path
                [_program("janus"), "-F", str(folder), "-C", str(folder / "janus.jcfg")], stdout=log, stderr=log
            )
        self._ffmpegs: list[subprocess.Popen[bytes]] = []
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}/janus", timeout=10)
        self._lock = threading.Lock()
        self._room = 0
        deadline = time.monotonic() + _START_TIME
        while True:
            try:
                self._client.get("/info")
                break
            except httpx.HTTPError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "janus.log").read_text()[-500:]) from None
                time.sleep(0.1)

    def answer(self, name: str, offer: str) -> str:
        with self._lock:
            self._room += 1
            room = self._room
        session = self._ask("", janus="create")["data"]["id"]
        handle = self._ask(f"/{session}", janus="attach", plugin="janus.plugin.videoroom")["data"]["id"]
        path = f"/{session}/{handle}"
        secret = secrets.token_hex(8)
        self._message(
            path, request="create", room=room, publishers=1, audiocodec="opus", videocodec="h264", secret=secret
        )
        joined = self._event(
            session,
            path,
            {"request": "joinandconfigure", "room": room, "ptype": "publisher", "display": name},
            {"type": "offer", "sdp": offer},
        )
        publisher = joined["plugindata"]["data"]["id"]
        self._forward(path, room, publisher, secret, joined["plugindata"]["data"].get("streams", []), name)
        return str(joined["jsep"]["sdp"])

    def _forward(
        self, path: str, room: int, publisher: int, secret: str, streams: list[dict[str, Any]], name: str
    ) -> None:
        audio, video = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_DGRAM)
        description = self._folder / f"{room}.sdp"
        description.write_text(_SDP.format(audio=audio, video=video))
        with (self._folder / f"{room}.log").open("wb") as log:
            self._ffmpegs.append(
                subprocess.Popen(  # noqa: S603  found on the path
                    [
                        *(_program("ffmpeg"), "-loglevel", "warning", "-protocol_whitelist", "file,udp,rtp"),
                        *("-fflags", "nobuffer", "-i", str(description), "-c:v", "copy"),
                        *("-c:a", "aac", "-b:a", "128k", "-ar", "44100", "-f", "flv"),
                        self._template.format(name=name),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        kinds = {stream["type"]: stream["mid"] for stream in streams}
        self._message(
            path,
            request="rtp_forward",
            room=room,
            publisher_id=publisher,
            secret=secret,
            host="127.0.0.1",
            host_family="ipv4",
            streams=[
                {"mid": kinds.get("audio", "0"), "port": audio, "pt": 111},
                {"mid": kinds.get("video", "1"), "port": video, "pt": 96, "rtcp_port": 0},
            ],
        )

    def close(self) -> None:
        for process in (*self._ffmpegs, self._process):
            process.terminate()
        for process in (*self._ffmpegs, self._process):
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._client.close()

    def _ask(self, path: str, **body: Any) -> dict[str, Any]:
        response = self._client.post(path, json={**body, "transaction": secrets.token_hex(6)})
        answer: dict[str, Any] = response.json()
        if answer.get("janus") == "error":
            raise RuntimeError(f"Janus: {answer['error']['reason']}")
        return answer

    def _message(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._ask(path, janus="message", body=body)
        data: dict[str, Any] = answer.get("plugindata", {}).get("data", {})
        if "error" in data:
            raise RuntimeError(f"Janus: {data['error']}")
        return data

    def _event(self, session: int, path: str, body: dict[str, Any], jsep: dict[str, str]) -> dict[str, Any]:
        """The event that answers an asynchronous request."""
        self._ask(path, janus="message", body=body, jsep=jsep)
        deadline = time.monotonic() + _START_TIME
        while time.monotonic() < deadline:
            event: dict[str, Any] = self._client.get(f"/{session}", params={"maxev": 1}).json()
            data = event.get("plugindata", {}).get("data", {}) if isinstance(event, dict) else {}
            if "error" in data:
                raise RuntimeError(f"Janus: {data['error']}")
            if "jsep" in event:
                return event
        raise RuntimeError("Janus did not answer the offer: " + json.dumps(event)[:300])


def _others(folder: Path, wanted: str) -> str:
    return ",".join(sorted(path.name for path in folder.glob("*.so") if path.name != wanted))


def _program(name: str) -> str:
    return shutil.which(name) or name


def _free_port(kind: socket.SocketKind) -> int:
    """An even one, as RTP's are (RFC 3550 11): Linux gives odd ones to those who do not say."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port + 1 if port % 2 else port


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with tempfile.TemporaryDirectory(prefix="relay-bench-janus-") as folder:
        janus = _Janus(Path(folder))
        face.serve(janus.answer, janus.close)


if __name__ == "__main__":
    main()
