"""Media sessions as HTTP resources: what WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have in common.

A POST with an SDP offer to `/{face}/{AppId}/{RoomId}/{UserId}?StreamType=0|1` makes a session; PATCH on its Location
trickles candidates, DELETE ends it. The resource's path holds all that is needed to find it, so nothing is kept here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from relay.core.ident import StreamKey, StreamType, is_ident
from relay.core.offer import Answered, OfferMalformed, UnknownSession
from relay.gateway.problem import Problem, ProblemRoute

OFFER_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
_ACCEPT = {OFFER_TYPE: "Accept-Post", FRAGMENT_TYPE: "Accept-Patch"}
MAX_BODY = 64 * 1024
_ON_ENDPOINT = "GET, HEAD, POST, OPTIONS"
_ON_SESSION = "GET, HEAD, PATCH, DELETE, OPTIONS"


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server that clients are told of (RFC 9725 section 4.6)."""

    url: str
    """`stun:host:port` or `turn:host:port?transport=udp`."""
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"IceServer({self.url!r})"

    def link(self) -> str:
        """A value of the Link header."""
        value = f'<{self.url}>; rel="ice-server"'
        if self.username is not None and self.credential is not None:
            value += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return value


Authorize = Callable[[str | None, StreamKey], Awaitable[None]]
"""Gets the Bearer token, if any, and the stream; raises `Problem` (401, 403) to refuse."""


async def allow_everyone(token: str | None, key: StreamKey) -> None:
    """For a relay that asks nobody for a token."""


@dataclass(frozen=True, slots=True)
class Face:
    """One of the two protocols, and the engine's part of it. Each call may raise `SessionError`, which knows its HTTP
    status."""

    name: str
    """WHIP, WHEP; in lower case the path's first segment."""
    summary: str
    """What a POST does."""
    open: Callable[[StreamKey, str], Awaitable[Answered]]
    """Answers an SDP offer."""
    trickle: Callable[[StreamKey, str, str, str | None], Awaitable[None]]
    """Session id, SDP fragment, entity tag; the last is None where the client says `If-Match: *`."""
    end: Callable[[StreamKey, str], Awaitable[bool]]
    """False: there is no such session."""


def make_router(face: Face, *, ice_servers: Sequence[IceServer], authorize: Authorize) -> APIRouter:
    """The routes below `/whip` or `/whep`."""
    root = face.name.lower()
    endpoint = f"/{root}/{{app_id}}/{{room_id}}/{{user_id}}"
    session = endpoint + "/{stream_type}/{session_id}"
    router = APIRouter(route_class=ProblemRoute, tags=[face.name])
    links = ", ".join(server.link() for server in ice_servers)

    async def stream_key(request: Request) -> StreamKey:
        key = _stream_key(request)
        await authorize(_bearer(request), key)
        return key

    authorized = Annotated[StreamKey, Depends(stream_key)]

    @router.post(endpoint, status_code=201, summary=face.summary)
    async def make(request: Request, key: authorized) -> Response:
        offer = await _body(request, OFFER_TYPE)
        answered = await face.open(key, offer)
        names = (key.app_id, key.room_id, key.user_id, str(int(key.stream_type)), answered.session_id)
        location = f"{request.scope.get('root_path', '')}/{root}/{'/'.join(names)}"
        headers = {"Location": location, "ETag": f'"{answered.etag}"', "Accept-Patch": FRAGMENT_TYPE}
        if links:
            headers["Link"] = links
        return Response(answered.answer, 201, headers, OFFER_TYPE)

    @router.patch(session, status_code=204, summary="Trickle ICE candidates")
    async def trickle(request: Request, session_id: str, key: authorized) -> Response:
        etag = _if_match(request)
        fragment = await _body(request, FRAGMENT_TYPE)
        await face.trickle(key, session_id, fragment, etag)
        return Response(status_code=204)

    @router.delete(session, status_code=200, summary="End a session")
    async def end(session_id: str, key: authorized) -> Response:
        if not await face.end(key, session_id):
            raise UnknownSession("There is no such session; it may have ended.")
        return Response(status_code=200)

    @router.options(endpoint, include_in_schema=False)
    async def endpoint_options() -> Response:
        return Response(
            status_code=204, headers={"Allow": _ON_ENDPOINT, "Accept-Post": OFFER_TYPE} | _preflight(_ON_ENDPOINT)
        )

    @router.options(session, include_in_schema=False)
    async def session_options() -> Response:
        return Response(
            status_code=204, headers={"Allow": _ON_SESSION, "Accept-Patch": FRAGMENT_TYPE} | _preflight(_ON_SESSION)
        )

    @router.api_route(endpoint, methods=["GET", "HEAD"], status_code=204, include_in_schema=False)
    @router.api_route(session, methods=["GET", "HEAD"], status_code=204, include_in_schema=False)
    async def read() -> Response:
        """There is nothing to see, which is no error (RFC 9725 section 4.1)."""
        return Response(status_code=204)

    # What both leave open: 405, never a page or a wrong 404.
    @router.api_route(endpoint, methods=["PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def endpoint_reserved() -> Response:
        raise Problem(405, f"A {face.name} endpoint takes POST with an SDP offer.", {"Allow": _ON_ENDPOINT})

    @router.api_route(session, methods=["PUT", "POST"], include_in_schema=False)
    async def session_reserved() -> Response:
        raise Problem(405, f"A {face.name} session takes PATCH and DELETE.", {"Allow": _ON_SESSION})

    return router


def _preflight(methods: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match",
        "Access-Control-Max-Age": "86400",
    }


def _stream_key(request: Request) -> StreamKey:
    parts = request.path_params
    for field, name in (("AppId", "app_id"), ("RoomId", "room_id"), ("UserId", "user_id")):
        if not is_ident(parts[name]):
            raise Problem(400, f"{field} must match [a-zA-Z0-9_@-.]{{1,128}}.")
    stream_type = parts.get("stream_type", request.query_params.get("StreamType", "0"))
    if stream_type not in ("0", "1"):
        raise Problem(400, "StreamType must be 0 (camera and microphone) or 1 (screen).")
    return StreamKey(parts["app_id"], parts["room_id"], parts["user_id"], StreamType(int(stream_type)))


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _if_match(request: Request) -> str | None:
    """RFC 9725 section 4.3.1: trickling must name the ICE session; `*` means whichever, also in quotation marks, as
    that document's example has it."""
    value = request.headers.get("if-match", "").strip()
    if not value:
        raise Problem(428, "PATCH needs If-Match with the session's ETag.")
    tag = value.removeprefix('"').removesuffix('"')
    return None if tag == "*" else tag


async def _body(request: Request, content_type: str) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise Problem(415, f"Content-Type must be {content_type}.", {_ACCEPT[content_type]: content_type})
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise Problem(413, f"The body is longer than {MAX_BODY} bytes.")
    except ClientDisconnect:
        raise Problem(400, "The body ended before its time.") from None  # for the books: nobody hears it
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise OfferMalformed("The body is not UTF-8 text.") from None
