"""One path, `/`, where `Action` and `Version` of the query choose what is done."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from relay.api import errors
from relay.api.actions import ACTIONS, MIXED_STREAM_ACTIONS, VERSION, Action
from relay.api.envelope import failure, new_request_id, success
from relay.engine.base import Engine

log = structlog.get_logger(__name__)

MAX_BODY = 64 * 1024
"""Bytes."""
RESERVED = frozenset({"Action", "Version"})


def make_router(engine: Engine) -> APIRouter:
    """The control API over `engine`."""
    router = APIRouter()

    async def control(request: Request) -> JSONResponse:
        request_id = new_request_id()
        action = request.query_params.get("Action", "")
        version = request.query_params.get("Version", "")
        try:
            handler = _find(request.method, action, version)
            result = await handler(engine, await _fields(request))
        except errors.ApiError as error:
            log.info("request refused", request_id=request_id, action=action, code=error.code)
            return failure(error, request_id=request_id, action=action, version=version)
        except Exception:
            log.exception("request failed", request_id=request_id, action=action)
            return failure(errors.internal_error(), request_id=request_id, action=action, version=version)
        return success(result, request_id=request_id, action=action, version=version)

    router.add_api_route(
        "/",
        control,
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        response_class=JSONResponse,
        include_in_schema=False,
    )
    return router


def _find(method: str, action: str, version: str) -> Action:
    if not action:
        raise errors.missing_parameter("Action")
    if not version:
        raise errors.missing_parameter("Version")
    if method not in ("GET", "POST"):
        raise errors.method_not_allowed(method)
    if version == VERSION:
        if action in ACTIONS:
            return ACTIONS[action]
        if action in MIXED_STREAM_ACTIONS:
            raise errors.mixed_streams_not_offered(action)
    raise errors.invalid_action_or_version(action, version)


async def _fields(request: Request) -> Mapping[str, Any]:
    """The parameters: a POST's JSON body; of a GET, or of a POST that brings only its query, the query."""
    query = {name: value for name, value in request.query_params.items() if name not in RESERVED}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise errors.body_too_large(MAX_BODY)
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
    return fields
