"""One path, `/`, where `Action` and `Version` of the query choose what is done."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from relay.api import errors
from relay.api.actions import ACTIONS, GET, MIXED_STREAM_ACTIONS, VERSION, Action, Context
from relay.api.auth import Gate
from relay.api.envelope import failure, new_request_id, success
from relay.api.rates import RateLimits
from relay.core.whep_source import WhepSource
from relay.engine.base import Engine
from relay.net.destinations import Destinations

log = structlog.get_logger(__name__)

MAX_BODY = 64 * 1024
"""Bytes."""
MAX_UNREAD = 1024 * 1024
"""Bytes of a refused request's body that are still taken: a connection that closes with some unread is reset, and the
answer may be lost with it."""
ALLOWED = "GET, HEAD, POST, OPTIONS"
_RESERVED = frozenset({"Action", "Version"})
_SIGNATURE_PREFIX = "X-"
"""Parameters of a signed query; none of the actions' own begins so."""


def make_router(
    engine: Engine, gate: Gate, rates: RateLimits, destinations: Destinations, source: WhepSource | None = None
) -> APIRouter:
    """The control API over `engine`, for those that `gate` lets in, as often as `rates` has it, and for pushes to
    `destinations`, of streams that `source` has, where they come from one."""
    router = APIRouter()
    router.routes.append(Route("/", _Control(engine, gate, rates, destinations, source), include_in_schema=False))
    return router


class _Body:
    """A request's body, read once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def read(self) -> bytes:
        """Raises `ApiError` where it is too large."""
        body = bytearray()
        while not self._ended:
            body += await self._piece()
            if len(body) > MAX_BODY:
                raise errors.body_too_large(MAX_BODY)
        return bytes(body)

    async def drain(self) -> None:
        """Takes what has not been read."""
        size = 0
        while not self._ended and size < MAX_UNREAD:
            size += len(await self._piece())

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._ended = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece


class _Control:
    """An ASGI application, because those get every method: a strange one has its answer in the envelope, too."""

    def __init__(
        self, engine: Engine, gate: Gate, rates: RateLimits, destinations: Destinations, source: WhepSource | None
    ) -> None:
        self._engine = engine
        self._gate = gate
        self._rates = rates
        self._destinations = destinations
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: Response
        if request.method == "OPTIONS":
            response = Response(status_code=204, headers={"Allow": ALLOWED})
        else:
            try:
                response = await self._answer(request)
            except ClientDisconnect:
                return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> JSONResponse:
        request_id = new_request_id()
        action = request.query_params.get("Action", "")
        version = request.query_params.get("Version", "")
        body = _Body(request.receive)
        try:
            result = await self._result(request, body, action, version)
        except ClientDisconnect:
            raise
        except errors.ApiError as error:
            await body.drain()
            log.info("request refused", request_id=request_id, action=action[:64], code=error.code)
            return failure(error, request_id=request_id, action=action, version=version)
        except Exception:
            log.exception("request failed", request_id=request_id, action=action[:64])
            return failure(errors.internal_error(), request_id=request_id, action=action, version=version)
        return success(result, request_id=request_id, action=action, version=version)

    async def _result(self, request: Request, body: _Body, action: str, version: str) -> Any:
        """What can be wrong is looked for in the documented order of the gateway's errors."""
        if not action:
            raise errors.missing_parameter("Action")
        if not version:
            raise errors.missing_parameter("Version")
        claim = self._gate.claim(request)
        handler = _find(request.method, action, version)
        key = self._gate.key(claim)
        content = await body.read()
        caller = self._gate.prove(claim, key, content)
        # Only now: a stranger must not use up what a key may ask.
        await self._rates.admit(action, caller)
        return await handler(Context(self._engine, caller, self._destinations, self._source), _fields(request, content))


def _find(method: str, action: str, version: str) -> Action:
    if method not in ("GET", "POST") and not (method == "HEAD" and action == GET):
        raise errors.method_not_allowed(method, ALLOWED)
    if version == VERSION:
        if action in ACTIONS:
            return ACTIONS[action]
        if action in MIXED_STREAM_ACTIONS:
            raise errors.mixed_streams_not_offered(action)
    raise errors.invalid_action_or_version(action, version)


def _fields(request: Request, body: bytes) -> Mapping[str, Any]:
    """The parameters: those of the query, whichever the method, and for the rest those of a JSON body.

    Clients that make every request alike send `{}` with a GET; and what a signature in the query covers is not
    overruled by a body that it does not cover.
    """
    query = {
        name: value
        for name, value in request.query_params.items()
        if name not in _RESERVED and not name.startswith(_SIGNATURE_PREFIX)
    }
    if not body.strip():
        if not query and request.method == "POST":
            raise errors.body_is_empty()
        return query
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.not_json(error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read") from None
    if not isinstance(fields, dict):
        raise errors.not_json("its outermost value is of another kind")
    return {**fields, **query}
