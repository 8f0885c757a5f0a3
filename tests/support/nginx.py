"""nginx with its RTMP module: a real CDN's edge on loopback, from Debian's packages."""

import contextlib
import http.server
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.debian import need
from tests.support.eventually import eventually_sync

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_CONFIG = """
load_module {module};
daemon off;
master_process off;
error_log {folder}/error.log info;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
rtmp {{
    server {{
        listen 127.0.0.1:{rtmp};
        # One request a notification, so that they come in order.
        notify_method get;
        application live {{
            live on;
            record all;
            record_path {folder}/recordings;
            on_publish http://127.0.0.1:{notify}/;
            on_publish_done http://127.0.0.1:{notify}/;
        }}
    }}
}}
http {{
    access_log off;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    server {{
        listen 127.0.0.1:{http};
        location / {{ rtmp_stat all; }}
    }}
}}
"""


@dataclass(frozen=True)
class Notification:
    """What nginx-rtmp told: `call` is `publish` or `publish_done`."""

    call: str
    name: str
    time: float
    """Seconds of the monotonic clock."""
    arguments: dict[str, str]
    """The stream name's query among them."""


@dataclass
class Nginx:
    folder: Path
    rtmp_port: int
    http_port: int
    events: list[Notification] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    """Names to which the publish callback says no."""

    def push_url(self, name: str) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/{name}"

    def recording(self, name: str) -> Path:
        """The FLV file; whole once `publish_done` is among the events."""
        return self.folder / "recordings" / f"{name}.flv"

    def calls(self, name: str) -> list[str]:
        return [event.call for event in self.events if event.name == name]

    def stats(self) -> ElementTree.Element:
        """nginx-rtmp's statistics page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/", timeout=5) as answer:
            return ElementTree.fromstring(answer.read())  # noqa: S314 -- nginx's own words

    def streams(self) -> list[str]:
        """Names that are published now."""
        return [
            stream.findtext("name", "")
            for stream in self.stats().iterfind(".//live/stream")
            if stream.find("publishing") is not None
        ]

    def log(self) -> str:
        return (self.folder / "error.log").read_text()


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Runs one in `folder`, on free ports of 127.0.0.1, until the block ends."""
    need("nginx")
    (folder / "recordings").mkdir()
    server = Nginx(folder, _free_port(), _free_port())
    with _notifications(server) as notify:
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(module=MODULE, folder=folder, rtmp=server.rtmp_port, http=server.http_port, notify=notify)
        )
        with (folder / "out.log").open("wb") as out:
            process = subprocess.Popen(
                ["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")],
                stdout=out,
                stderr=out,
            )
        try:
            eventually_sync(lambda: _listens(server, process), what="nginx listens")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(server: Nginx, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"nginx ended: {(server.folder / 'out.log').read_text()}")
    for port in (server.rtmp_port, server.http_port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _notifications(server: Nginx) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = urllib.parse.urlsplit(self.path).query
            arguments = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
            name = arguments.get("name", "")
            server.events.append(Notification(arguments.get("call", ""), name, time.monotonic(), arguments))
            self.send_response(403 if name in server.denied else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    receiver = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver.server_port
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
