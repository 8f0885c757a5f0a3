"""Refusals as `application/problem+json` (RFC 9457), readable from any web page's origin."""

import http
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from relay.core.offer import SessionError

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After",
}
"""Whoever's page it is, it is served from anywhere; what it may do is the token's business, not the origin's."""
_RETRY_AFTER = {409: "1", 503: "5"}
"""Seconds, by status: until somebody may publish, until there may be room."""


class Problem(Exception):
    """An HTTP refusal with a sentence for the person at the other end."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class ProblemRoute(APIRoute):
    """Turns `Problem` and `SessionError` into their answers, and opens every answer to other origins."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except SessionError as error:
                headers = {"Retry-After": _RETRY_AFTER[error.status]} if error.status in _RETRY_AFTER else {}
                response = _answer(Problem(error.status, error.detail, headers))
            except Problem as problem:
                response = _answer(problem)
            response.headers.update(CORS)
            return response

        return handle


def _answer(problem: Problem) -> Response:
    title = http.HTTPStatus(problem.status).phrase
    body = json.dumps({"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail})
    return Response(body, problem.status, problem.headers, "application/problem+json")
