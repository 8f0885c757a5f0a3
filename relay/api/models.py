"""The wire: what the three actions take and what Get gives, as Pydantic models; a field that is wrong becomes the
documented error by name."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)

from relay.api import errors
from relay.core.ident import IDENT, StreamKey, StreamType, TaskKey, is_ident
from relay.core.push_url import MAX_LENGTH, PushUrl
from relay.core.snapshot import TaskSnapshot, wire_state
from relay.core.task import MediaType, TaskSpec

MIN_IDLE_TIME, MAX_IDLE_TIME, DEFAULT_IDLE_TIME = 10, 86400, 180


def _ident(value: str) -> str:
    if not is_ident(value):
        raise ValueError(errors.IDENT_RULE)
    return value


Ident = Annotated[
    StrictStr, AfterValidator(_ident), WithJsonSchema({"type": "string", "pattern": f"^{IDENT.pattern}$"})
]

PushAddress = Annotated[
    StrictStr,
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_LENGTH,
            "pattern": r"^[Rr][Tt][Mm][Pp][Ss]?://[^/\s]+/\S+/\S+$",
            "examples": ["rtmp://cdn.example/live/key"],
        }
    ),
]


def _default_for_null(default: object) -> BeforeValidator:
    """JSON null stands for "not given", as the SDKs' unset pointers are sent."""
    return BeforeValidator(lambda value: default if value is None else value)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class StreamBody(_Wire):
    UserId: Ident
    StreamType: Annotated[StrictInt, Field(ge=0, le=1), _default_for_null(0)] = 0


class ControlBody(_Wire):
    MediaType: Annotated[StrictInt, Field(ge=0, le=1), _default_for_null(0)] = 0
    MaxIdleTime: Annotated[
        StrictInt, Field(ge=MIN_IDLE_TIME, le=MAX_IDLE_TIME), _default_for_null(DEFAULT_IDLE_TIME)
    ] = DEFAULT_IDLE_TIME


class StartBody(_Wire):
    """`StartPushSingleStreamToCDN`."""

    AppId: Ident
    RoomId: Ident
    TaskId: Ident
    Stream: StreamBody
    PushURL: PushAddress
    Control: ControlBody
    BusinessId: Ident | None = None

    def spec(self) -> TaskSpec:
        try:
            push_url = PushUrl.parse(self.PushURL)
        except ValueError as error:
            raise errors.invalid_rtmp_address(str(error)) from None
        return TaskSpec(
            key=TaskKey(self.AppId, self.RoomId, self.TaskId),
            stream=StreamKey(self.AppId, self.RoomId, self.Stream.UserId, StreamType(self.Stream.StreamType)),
            push_url=push_url,
            media_type=MediaType(self.Control.MediaType),
            max_idle_time=float(self.Control.MaxIdleTime),
            business_id=self.BusinessId or "",
        )


class StopBody(_Wire):
    """`StopPushStreamToCDN`."""

    AppId: Ident
    RoomId: Ident
    TaskId: Ident


class GetQuery(_Wire):
    """`GetPushSingleStreamToCDNTask`."""

    AppId: Ident
    RoomId: Ident
    TaskId: Ident | None = None
    UserId: Ident | None = None


def task_result(task: TaskSnapshot) -> dict[str, Any]:
    """`Result` of Get. `PushStreamState` is a number: the documentation's "6" makes the official Go SDK fail."""
    status, push_state = wire_state(task.state, task.has_pushed)
    # The original has no field for it.
    more = {"CallbackError": task.callback_error} if task.callback_error else {}
    return {
        "PushSingleStreamToCDNTask": {
            "StartTime": task.start_time,
            "EndTime": task.end_time,
            "Status": int(status),
            "StopReason": task.stop_reason.value,
            "PushStreamState": int(push_state),
            "Stream": {"UserId": task.spec.stream.user_id, "StreamType": int(task.spec.stream.stream_type)},
            "PushURL": task.spec.push_url.secret,
            "Control": {"MediaType": int(task.spec.media_type), "MaxIdleTime": int(task.spec.max_idle_time)},
            **more,
        }
    }


Model = TypeVar("Model", bound=_Wire)

_MISSING: Mapping[tuple[str, ...], Callable[[], errors.ApiError]] = {
    ("AppId",): errors.missing_app_id,
    ("RoomId",): errors.missing_room_id,
    ("Stream", "UserId"): errors.missing_user_id,
}
_ILLEGAL: Mapping[tuple[str, ...], Callable[[], errors.ApiError]] = {
    ("AppId",): errors.illegal_app_id,
    ("RoomId",): errors.illegal_room_id,
}
_NUMBERS = frozenset({"StreamType", "MediaType", "MaxIdleTime"})
_RULES: Mapping[str, str] = {
    "PushURL": "must be a string with an RTMP address",
    "Stream": "must be an object with UserId and, where wanted, StreamType",
    "Control": "must be an object; {} takes the defaults",
    "StreamType": "must be an integer: 0 (camera and microphone) or 1 (screen)",
    "MediaType": "must be an integer: 0 (audio and video) or 1 (audio only)",
    "MaxIdleTime": f"must be an integer from {MIN_IDLE_TIME} to {MAX_IDLE_TIME} (seconds)",
}


def read(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """`fields` as `model`. Raises the `ApiError` of the first field that is wrong, in the model's order."""
    try:
        # Null and the empty string are how SDKs send a string that nobody set.
        return model.model_validate(_without_unset(fields))
    except ValidationError as error:
        raise _first_error(error) from None


def _without_unset(value: Any, depth: int = 2) -> Any:
    """As deep as the models go: what a stranger nests deeper is no field of theirs."""
    if not isinstance(value, Mapping) or depth == 0:
        return value
    return {
        name: _without_unset(item, depth - 1)
        for name, item in value.items()
        if item is not None and (item != "" or name in _NUMBERS)
    }


def _first_error(error: ValidationError) -> errors.ApiError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = tuple(str(part) for part in first["loc"])
    missing = first["type"] == "missing"
    named = (_MISSING if missing else _ILLEGAL).get(place)
    if named is not None:
        return named()
    field = ".".join(place)
    rule = _RULES.get(place[-1], errors.IDENT_RULE)
    return errors.invalid_parameter(field, f"is missing: it {rule}" if missing else rule)
