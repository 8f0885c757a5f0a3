"""The three actions: body or query to what the engine is asked, and its answer to `Result`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.api import errors
from relay.api.auth import Caller
from relay.api.models import GetQuery, StartBody, StopBody, read, task_result
from relay.core.egress import ForbiddenAddress
from relay.core.ident import TaskKey
from relay.core.whep_source import NoSuchStream, WhepSource
from relay.engine.base import Engine, WorkerFull
from relay.net.destinations import Destinations

ALREADY_STARTED = "The task has been started. Please do not call the startup task interface repeatedly"


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and what an action works on."""

    engine: Engine
    caller: Caller
    destinations: Destinations
    source: WhepSource | None


Action = Callable[[Context, Mapping[str, Any]], Awaitable[Any]]


async def start_push_single_stream(context: Context, fields: Mapping[str, Any]) -> Any:
    body = read(StartBody, fields)
    context.caller.require(body.AppId)
    spec = body.spec()
    try:
        if context.source is not None:
            context.source.endpoint(spec.stream)
    except NoSuchStream as nowhere:
        raise errors.invalid_parameter("Stream", f"cannot be had here: {nowhere}") from None
    try:
        await context.destinations.check(spec.push_url.host)
    except ForbiddenAddress as forbidden:
        raise errors.invalid_rtmp_address(str(forbidden)) from None
    try:
        started = await context.engine.start_task(spec)
    except WorkerFull as full:
        raise errors.too_many_tasks(str(full)) from None
    return "ok" if started else ALREADY_STARTED


async def stop_push_stream(context: Context, fields: Mapping[str, Any]) -> Any:
    body = read(StopBody, fields)
    context.caller.require(body.AppId)
    if not await context.engine.stop_task(TaskKey(body.AppId, body.RoomId, body.TaskId)):
        raise errors.active_task_not_found()
    return "ok"


async def get_push_single_stream_task(context: Context, fields: Mapping[str, Any]) -> Any:
    query = read(GetQuery, fields)
    context.caller.require(query.AppId)
    if query.TaskId is None and query.UserId is None:
        raise errors.invalid_parameter("TaskId", "is missing: give TaskId, UserId or both")
    task = await context.engine.find_task(query.AppId, query.RoomId, task_id=query.TaskId, user_id=query.UserId)
    if task is None:
        raise errors.task_not_found()
    return task_result(task)


VERSION = "2023-11-01"
START, STOP, GET = "StartPushSingleStreamToCDN", "StopPushStreamToCDN", "GetPushSingleStreamToCDNTask"

ACTIONS: Mapping[str, Action] = {
    START: start_push_single_stream,
    STOP: stop_push_stream,
    GET: get_push_single_stream_task,
}
MIXED_STREAM_ACTIONS = frozenset(
    {"StartPushMixedStreamToCDN", "UpdatePushMixedStreamToCDN", "GetPushMixedStreamToCDNTask"}
)
