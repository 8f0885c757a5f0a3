"""Every way the control API says no: code, HTTP status and words, in one place (control-api, section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiError(Exception):
    """An error as the envelope carries it. `code_n` stands on gateway errors only."""

    status: int
    code: str
    message: str
    code_n: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer."""


# Gateway errors: said before any service has seen the request.


def missing_parameter(name: str) -> ApiError:
    return ApiError(400, "MissingParameter", f"The request is missing {name} parameter.", 100002)


def missing_authentication_token() -> ApiError:
    return ApiError(401, "MissingAuthenticationToken", "Request is missing Authentication Token.", 100003)


def missing_timestamp() -> ApiError:
    return ApiError(400, "MissingRequestInfo", "The request is missing timestamp information.", 100004)


def missing_signature() -> ApiError:
    return ApiError(401, "MissingSignature", "The request is missing signature.", 100005)


def invalid_timestamp() -> ApiError:
    return ApiError(400, "InvalidTimestamp", "The Signature of the request is expired.", 100006)


def invalid_action_or_version(action: str, version: str) -> ApiError:
    message = f"Could not find operation {action} for version {version}."
    return ApiError(404, "InvalidActionOrVersion", message, 100008)


def invalid_access_key(key_id: str) -> ApiError:
    return ApiError(401, "InvalidAccessKey", f"The accesskey [{key_id}] included in the request is invalid.", 100009)


def signature_does_not_match() -> ApiError:
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your Secret Access Key and signing method. Consult the service documentation for details."
    )
    return ApiError(401, "SignatureDoesNotMatch", message, 100010)


def internal_error() -> ApiError:
    return ApiError(500, "InternalError", "Service has some internal Error. Pls Contact With Admin.", 100014)


def flow_limit_exceeded(action: str, rate: int, retry_after: int) -> ApiError:
    message = f"More than {rate} {action} requests a second: wait {retry_after} s before the next."
    return ApiError(429, "FlowLimitExceeded", message, 100018, {"Retry-After": str(retry_after)})


def method_not_allowed(method: str, allowed: str) -> ApiError:
    message = f"The method {method} is not allowed here: use POST or GET."
    return ApiError(405, "MethodNotAllowed", message, 100020, {"Allow": allowed})


def invalid_authorization() -> ApiError:
    message = "Invalid 'Authorization' header, Pls check your authorization header."
    return ApiError(400, "InvalidAuthorization", message, 100024)


def invalid_credential() -> ApiError:
    message = "Invalid credential in 'Authorization', Pls check credential in authorization header."
    return ApiError(400, "InvalidCredential", message, 100025)


# Service errors.


def invalid_parameter(field: str, remedy: str) -> ApiError:
    return ApiError(400, "InvalidParameter", f"{field} {remedy}.")


def body_is_empty() -> ApiError:
    return ApiError(400, "InvalidParameter.BodyIsEmpty", "The body is empty: send the parameters as a JSON object.")


def body_too_large(limit: int) -> ApiError:
    return ApiError(
        400, "InvalidParameter", f"The body is larger than {limit} bytes: send the documented parameters only."
    )


def not_json(why: str) -> ApiError:
    return ApiError(400, "InvalidParameter.Unmarshal", f"The body is not a JSON object: {why}.")


def missing_app_id() -> ApiError:
    return ApiError(400, "MissingParameter.NoAppId", "AppId is missing.")


def missing_room_id() -> ApiError:
    return ApiError(400, "MissingParameter.NoRoomId", "RoomId is missing.")


def missing_user_id() -> ApiError:
    return ApiError(400, "MissingParameter.NoUserId", "Stream.UserId is missing.")


IDENT_RULE = "must be 1 to 128 characters of a-z, A-Z, 0-9, _, @, - and ."


def illegal_app_id() -> ApiError:
    return ApiError(400, "InvalidParameter.IllegalAppId", f"AppId {IDENT_RULE}.")


def illegal_room_id() -> ApiError:
    return ApiError(400, "InvalidParameter.IllegalRoomID", f"RoomId {IDENT_RULE}.")


def invalid_rtmp_address(why: str) -> ApiError:
    return ApiError(400, "InvalidParameter.InvalidRtmpAddress", f"PushURL is refused: {why}.")


def active_task_not_found() -> ApiError:
    message = "There is no such active task: check AppId, RoomId and TaskId."
    return ApiError(400, "InvalidParameter.ErrorActiveTaskNotFound", message)


def task_not_found() -> ApiError:
    message = "There is no such task among those started in the last 72 hours: check AppId, RoomId, TaskId and UserId."
    return ApiError(400, "InvalidParameter.ErrorActiveTaskNotFound", message)


def mixed_streams_not_offered(action: str) -> ApiError:
    message = f"{action} is not offered by this relay: it pushes single streams, see StartPushSingleStreamToCDN."
    return ApiError(400, "InvalidParameter", message)


def no_permission_for_app(app_id: str) -> ApiError:
    message = f"This access key is not allowed to use AppId {app_id}."
    return ApiError(403, "AccessDenied.NoPermissionForApp", message)


def too_many_tasks(why: str) -> ApiError:
    return ApiError(429, "FlowLimitExceeded.TaskNumberOverLimit", f"{why[:1].upper()}{why[1:]}.")
