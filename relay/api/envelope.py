"""The envelope of every answer: `Result` or an error, and `ResponseMetadata` (control-api, section 2)."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi.responses import JSONResponse

from relay.api.errors import ApiError

SERVICE = "rtc"
REGION = "cn-north-1"


def new_request_id() -> str:
    """14 digits of time (yyyyMMddHHmmss) and 20 upper-case hex digits."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(10).upper()}"


def _respond(
    status: int, content: dict[str, Any], request_id: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(content, status, headers={**(headers or {}), "X-Tt-Logid": request_id})


def _metadata(request_id: str, action: str, version: str) -> dict[str, Any]:
    return {
        "RequestId": request_id,
        "Action": action,
        "Version": version,
        "Service": SERVICE,
        "Region": REGION,
    }


def success(result: object, *, request_id: str, action: str, version: str) -> JSONResponse:
    return _respond(200, {"Result": result, "ResponseMetadata": _metadata(request_id, action, version)}, request_id)


def failure(error: ApiError, *, request_id: str, action: str, version: str) -> JSONResponse:
    """An error; there is no `Result` then: an empty one makes the official Go SDK lose the whole answer."""
    body: dict[str, Any] = {"Code": error.code, "Message": error.message}
    if error.code_n is not None:
        body["CodeN"] = error.code_n
    metadata = _metadata(request_id, action, version) if action else {"RequestId": request_id}
    return _respond(error.status, {"ResponseMetadata": {**metadata, "Error": body}}, request_id, error.headers)
