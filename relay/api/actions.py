"""The three actions: body or query to what the engine is asked, and its answer to `Result`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from relay.api import errors
from relay.api.auth import Caller
from relay.api.models import GetQuery, StartBody, StopBody, read, task_result
from relay.core.ident import TaskKey
from relay.engine.base import Engine, WorkerFull

ALREADY_STARTED = "The task has been started. Please do not call the startup task interface repeatedly"

Action = Callable[[Engine, Caller, Mapping[str, Any]], Awaitable[Any]]


async def start_push_single_stream(engine: Engine, caller: Caller, fields: Mapping[str, Any]) -> Any:
    body = read(StartBody, fields)
    caller.require(body.AppId)
    try:
        started = await engine.start_task(body.spec())
    except WorkerFull as full:
        raise errors.too_many_tasks(str(full)) from None
    return "ok" if started else ALREADY_STARTED


async def stop_push_stream(engine: Engine, caller: Caller, fields: Mapping[str, Any]) -> Any:
    body = read(StopBody, fields)
    caller.require(body.AppId)
    if not await engine.stop_task(TaskKey(body.AppId, body.RoomId, body.TaskId)):
        raise errors.active_task_not_found()
    return "ok"


async def get_push_single_stream_task(engine: Engine, caller: Caller, fields: Mapping[str, Any]) -> Any:
    query = read(GetQuery, fields)
    caller.require(query.AppId)
    if query.TaskId is None and query.UserId is None:
        raise errors.invalid_parameter("TaskId", "is missing: give TaskId, UserId or both")
    task = await engine.find_task(query.AppId, query.RoomId, task_id=query.TaskId, user_id=query.UserId)
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
