"""Targets of the two HTTP faces, request by request as ASGI hands them over, and of the names and URLs in them."""

import functools
import json
import string
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote, urlsplit

from fastapi import FastAPI

from relay.api.models import GetQuery, StartBody, StopBody, read
from relay.app.server import make_app
from relay.core.ident import StreamKey, StreamType, TaskKey, is_ident
from relay.core.offer import UnknownSession
from relay.core.push_url import PushUrl
from relay.core.task import TaskSpec
from relay.core.whep_source import NoSuchStream, WhepSource, WhepUrls
from relay.engine.fleet import Fleet
from relay.rtc.fragment import parse_fragment
from relay.worker.phases import TickTimes
from tests.fuzz import sdp
from tests.fuzz.tape import Tape

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@-.")


def ident(data: bytes) -> None:
    text = data.decode("utf-8", "surrogatepass" if data[:1] == b"\xed" else "replace")
    assert is_ident(text) == (1 <= len(text) <= 128 and set(text) <= _PLAIN)


def push_url(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    url = PushUrl.parse(text)
    assert repr(url) == f"PushUrl({url.redacted!r})"
    assert str(url) == url.redacted
    assert url.redacted.endswith("/***")
    assert url.app
    assert url.stream_name
    assert 1 <= url.port <= 65535
    assert url.host
    assert "@" not in url.host
    assert "?" not in url.redacted
    shown = url.scrub(f"refused: {url.secret}")
    assert len(shown) <= 200
    assert shown.isprintable()
    key = url.stream_name.partition("?")[0]
    # A key of the words around it, or of asterisks, says nothing.
    if len(key) > 2 and key not in "refused: " and "*" not in key:
        assert key not in url.scrub(key)
        assert key not in shown or key in f"refused: {url.tc_url}/***"
    assert PushUrl.parse(url.secret) == url


class _Engine:
    """The port's plain answers: what is under test lies before it."""

    def stats(self) -> Any:
        return SimpleNamespace(publishers=0, viewers=0, tasks={}, bytes_sent=0, tick=TickTimes())

    async def start_task(self, spec: TaskSpec) -> bool:
        assert repr(spec.push_url) == f"PushUrl({spec.push_url.redacted!r})"
        return len(spec.key.task_id) % 2 == 0

    async def stop_task(self, key: TaskKey) -> bool:
        return len(key.task_id) % 2 == 0

    async def find_task(self, *names: str, **wanted: str | None) -> None:
        return None

    async def publish(self, key: StreamKey, offer: str) -> Any:
        assert all(map(is_ident, key[:3]))
        return SimpleNamespace(session_id="s1", answer=sdp.answered(offer), etag="tag")

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        parse_fragment(fragment)

    async def subscribe(self, key: StreamKey, offer: str) -> Any:
        assert all(map(is_ident, key[:3]))
        return SimpleNamespace(session_id="s1", answer=sdp.watched(offer), etag="tag")

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self.trickle(key, session_id, fragment, etag)

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        return await self.unpublish(key, session_id)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        if len(session_id) % 2:
            raise UnknownSession("no such session")
        return len(session_id) % 4 == 0


@functools.cache
def _app() -> FastAPI:
    return make_app(cast(Fleet, _Engine()))


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs what never waits; so no event loop is needed."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("the request waits for something")


def request(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8080),
    }
    sent: list[dict[str, Any]] = []
    parts = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]

    async def receive() -> dict[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    _drive(_app()(scope, receive, send))  # type: ignore[arg-type]  # Starlette's own alias is of MutableMapping
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


_ACTIONS = (b"StartPushSingleStreamToCDN", b"StopPushStreamToCDN", b"GetPushSingleStreamToCDNTask")


def control_api(data: bytes) -> None:
    """First byte: 0 to 2, one of the models on a JSON body; else a request: method, query and body."""
    tape = Tape(data)
    kind = tape.number(1) % 6
    if kind < 3:
        try:
            fields = json.loads(tape.rest())
        except (ValueError, RecursionError):
            return
        if isinstance(fields, dict):
            body = read((StartBody, StopBody, GetQuery)[kind], fields)
            if isinstance(body, StartBody):
                body.spec()
        return
    method = tape.choose(("POST", "GET", "POST", "DELETE"))
    query = b"Action=" + _ACTIONS[kind - 3] + b"&Version=2023-11-01&" if tape.number(1) & 3 else b""
    query += tape.blob()
    status, headers, answer = request(method, b"/", query, [(b"content-type", b"application/json")], tape.rest())
    envelope = json.loads(answer)
    assert status in (200, 400, 404, 405, 429), envelope
    assert ("Result" in envelope) == (status == 200)
    assert headers[b"x-tt-logid"].decode() == envelope["ResponseMetadata"]["RequestId"]


_TYPES = (b"application/sdp", b"application/trickle-ice-sdpfrag")


def whip(data: bytes) -> None:
    _session_face(b"/whip/", data)


def whep(data: bytes) -> None:
    _session_face(b"/whep/", data)


def _session_face(root: bytes, data: bytes) -> None:
    """Method, content type, path, If-Match, Host, then the body."""
    tape = Tape(data)
    method = tape.choose(("POST", "PATCH", "DELETE", "OPTIONS", "GET", "HEAD", "PUT", "TRACE"))
    kind = tape.number(1)
    content_type = tape.blob() if kind & 8 else _TYPES[kind & 1]
    path = (root if kind & 4 else b"") + tape.blob()
    path, _, query = path.partition(b"?")
    query = quote(query, safe=string.punctuation).encode()  # h11 refuses what is not ASCII there
    headers = [(b"content-type", content_type), (b"if-match", tape.blob()), (b"host", tape.blob())]
    status, sent, answer = request(method, path, query, headers, tape.rest())
    assert status < 500, (status, answer)
    if sent.get(b"content-type") == b"application/problem+json":
        problem = json.loads(answer)
        assert problem["status"] == status
        assert problem["detail"]
        assert sent[b"access-control-allow-origin"] == b"*"
    if status == 201:
        assert sent[b"location"].startswith(root)


def whep_url(data: bytes) -> None:
    """A template that is taken gives each stream a URL on its own host, and shows no more than that."""
    urls = WhepUrls.parse(data.decode("utf-8", "replace"))
    for app_id in ("app", "h", "other"):
        for key in (StreamKey(app_id, "room", "user@1"), StreamKey(app_id, "..", "-", StreamType.SCREEN)):
            try:
                endpoint = WhepSource(urls).endpoint(key)
            except NoSuchStream:
                continue
            assert endpoint.url.startswith(("http://", "https://"))
            assert "{" not in endpoint.url
            assert endpoint.host == urlsplit(endpoint.url).netloc
            assert urlsplit(endpoint.url).hostname
