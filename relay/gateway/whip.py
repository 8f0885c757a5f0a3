"""WHIP (RFC 9725): publishers' sessions as HTTP resources, at `POST /whip/{AppId}/{RoomId}/{UserId}?StreamType=0|1`."""

from collections.abc import Sequence
from typing import Protocol

from fastapi import APIRouter

from relay.core.ident import StreamKey
from relay.core.offer import Answered
from relay.gateway import resources
from relay.gateway.resources import Authorize, IceServer, allow_everyone


class PublishPort(Protocol):
    """What this face needs of the engine; see `resources.Face`."""

    async def publish(self, key: StreamKey, offer: str) -> Answered: ...
    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None: ...
    async def unpublish(self, key: StreamKey, session_id: str) -> bool: ...


def make_router(
    engine: PublishPort, *, ice_servers: Sequence[IceServer] = (), authorize: Authorize = allow_everyone
) -> APIRouter:
    """The routes below `/whip`."""
    face = resources.Face("WHIP", "Publish a stream", engine.publish, engine.trickle, engine.unpublish)
    return resources.make_router(face, ice_servers=ice_servers, authorize=authorize)
