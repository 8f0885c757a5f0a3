"""The server put together: engine, the faces, health and metrics on one HTTP port."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import prometheus_client
import structlog
import uvicorn
from fastapi import FastAPI, Response

from relay import __version__
from relay.api.auth import AccessKeys, Gate
from relay.api.callbacks import Dispatcher
from relay.api.description import add_control_api
from relay.api.rates import RateLimits
from relay.api.routes import make_router as make_control_router
from relay.app.metrics import CallbackCollector, EngineCollector
from relay.app.settings import Settings
from relay.app.workers import Workers
from relay.core.egress import ANY
from relay.core.whep_source import WhepSource
from relay.engine.database import Database
from relay.engine.database_url import DatabaseUrl
from relay.engine.fleet import Fleet
from relay.engine.outbox import Outbox
from relay.gateway.app_keys import AppKeys
from relay.gateway.resources import IceServer, allow_everyone
from relay.gateway.tokens import RoomTokens
from relay.gateway.whep import make_router as make_whep_router
from relay.gateway.whip import make_router as make_whip_router
from relay.net.destinations import Destinations
from relay.push.transcode import prepare

log = structlog.get_logger(__name__)

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept, as nginx does. Node closes its own after 5: a server that does so just then
meets requests on their way, and the SDK shows its caller "socket hang up"."""
REQUEST_TIME = 2
"""Seconds that requests on their way get at the end: a client that stops amid its body must not hold up goodbyes."""


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def make_engine(
    workers: Workers,
    database: Database | None = None,
    *,
    name: str | None = None,
    outbox: Outbox | None = None,
) -> Fleet:
    """Without `database` the ledger is in memory. `name` is of the place where this server runs, and no other can.
    `outbox` is in `database`, too."""
    return Fleet(
        lambda on_event: workers.make(on_event, wall_clock),
        wall_clock,
        database=database or Database(DatabaseUrl.memory()),
        name=name,
        outbox=outbox,
    )


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            add_control_api(super().openapi())
        return super().openapi()


def make_app(
    engine: Fleet,
    *,
    gate: Gate | None = None,
    rates: RateLimits | None = None,
    destinations: Destinations | None = None,
    source: WhepSource | None = None,
    room_keys: AppKeys | None = None,
    ice_servers: Sequence[IceServer] = (),
    callbacks: Dispatcher | None = None,
) -> FastAPI:
    """The HTTP application; it starts and closes `engine` and what delivers its `callbacks`.

    Without `gate` requests need no signature, without `rates` there may be any number of them, without `destinations`
    Start takes every host, without `source` every stream; without `room_keys` rooms are open.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        if callbacks is not None:
            await callbacks.start()
        try:
            yield
        finally:
            await engine.stop()
            if callbacks is not None:
                await callbacks.close()
            await engine.close()

    app = _App(title="relay", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    gate = gate or Gate(AccessKeys(), wall_clock)
    destinations = destinations or Destinations(ANY)
    app.include_router(make_control_router(engine, gate, rates or RateLimits(), destinations, source))
    tokens = RoomTokens(room_keys) if room_keys else None
    may_publish, may_watch = (tokens.may_publish, tokens.may_watch) if tokens else (allow_everyone, allow_everyone)
    app.include_router(make_whip_router(engine, ice_servers=ice_servers, authorize=may_publish))
    app.include_router(make_whep_router(engine, ice_servers=ice_servers, authorize=may_watch))

    registry = prometheus_client.CollectorRegistry()
    registry.register(EngineCollector(engine))
    if callbacks is not None:
        registry.register(CallbackCollector(callbacks.stats))
    prometheus_client.ProcessCollector(registry=registry)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return app


class _Server(uvicorn.Server):
    """Tells when it listens; inside another program it leaves the signals to that."""

    def __init__(
        self, app: FastAPI, listener: socket.socket, *, on_signal: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`on_signal` is waited for between SIGINT or SIGTERM and the end; a second signal ends it at once."""
        # One loop, asyncio's own, whatever else is installed: the one that all figures are of.
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=REQUEST_TIME,
            )
        )
        self._listener = listener
        self._on_signal = on_signal
        self._leaving: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # What is loaded by now stays: the collector's full runs then look at streams only, so they are short, and
        # come soon enough for what sessions leave. It takes a while, so it comes before the engine's ticks begin: late
        # ones would count as load, and the first publishers be sent away.
        gc.collect()
        gc.freeze()
        await super().startup(sockets)
        if self.lifespan.should_exit:
            sys.exit(1)  # the engine did not start; uvicorn itself ends so in its newer versions only
        log.info("serving", url=self.url, whip=f"{self.url}/whip/{{AppId}}/{{RoomId}}/{{UserId}}")
        self.listening.set()

    async def run_here(self) -> None:
        await self.serve(sockets=[self._listener])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn would raise them again at the end: a server that was asked to stop, and has, exits with 0.
        if self._on_signal is not None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._signalled, number)
        yield

    def _signalled(self, number: int) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(number))
        else:
            self._leaving.cancel()
            self.handle_exit(number, None)

    async def _leave(self, number: int) -> None:
        if self._on_signal is not None:
            await self._on_signal()
        self.handle_exit(number, None)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, its connections get TCP_NODELAY from asyncio: else an answer's body waits 40 ms for its head's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def place(listener: socket.socket, database: DatabaseUrl) -> str:
    """The name of the address that is bound: who binds it succeeds who had it.

    Hosts and containers that share a PostgreSQL may be called alike. There the name is also of this network namespace,
    since the machine's start.
    """
    name = f"{socket.gethostname()} {listener.getsockname()[:2]}"
    if database.is_sqlite:
        return name
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{name} {boot} {Path('/proc/self/ns/net').stat().st_ino}"


def serve(settings: Settings) -> None:
    """Runs the server until SIGINT or SIGTERM. `OSError` where it cannot bind, `DatabaseUnavailable`."""
    # Until the loop listens for them: process 1 of a container hears no signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with _bind(settings.host, settings.port) as listener:
        prepare(settings.audio_coder)
        asyncio.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    database = Database(settings.database)
    await database.open()
    workers = Workers(settings.worker(), settings.worker_count, settings.log_level, settings.log_format)
    outbox = Outbox(database, settings.receivers.wants, wall_clock) if settings.receivers else None
    engine = make_engine(workers, database, name=place(listener, settings.database), outbox=outbox)
    app = make_app(
        engine,
        gate=Gate(settings.request_keys, wall_clock),
        rates=settings.rates,
        destinations=Destinations(settings.egress_policy),
        source=settings.whep_source,
        room_keys=settings.room_keys,
        ice_servers=settings.ice_servers,
        callbacks=Dispatcher(outbox, settings.receivers) if outbox is not None else None,
    )
    server = _Server(app, listener, on_signal=lambda: engine.drain(settings.drain_seconds))
    await server.run_here()


@contextlib.asynccontextmanager
async def running(
    engine: Fleet,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    gate: Gate | None = None,
    rates: RateLimits | None = None,
    destinations: Destinations | None = None,
    source: WhepSource | None = None,
    room_keys: AppKeys | None = None,
    callbacks: Dispatcher | None = None,
) -> AsyncIterator[str]:
    """The server on the running loop, for as long as the context lasts; yields its base URL."""
    with _bind(host, port) as listener:
        faces: dict[str, Any] = {"gate": gate, "rates": rates, "destinations": destinations, "source": source}
        app = make_app(engine, **faces, room_keys=room_keys, callbacks=callbacks)
        server = _Server(app, listener)
        task = asyncio.create_task(server.run_here())
        listening = asyncio.create_task(server.listening.wait())
        try:
            await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                listening.cancel()
                await task
            yield server.url
        finally:
            server.should_exit = True
            await task
