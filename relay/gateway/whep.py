"""WHEP (draft-ietf-wish-whep): viewers' sessions as HTTP resources, at
`POST /whep/{AppId}/{RoomId}/{UserId}?StreamType=0|1`, where the names are those of the stream that is watched."""

from collections.abc import Sequence
from typing import Protocol

from fastapi import APIRouter

from relay.core.ident import StreamKey
from relay.core.offer import Answered
from relay.gateway import resources
from relay.gateway.resources import Authorize, IceServer, allow_everyone


class SubscribePort(Protocol):
    """What this face needs of the engine; see `resources.Face`."""

    async def subscribe(self, key: StreamKey, offer: str) -> Answered: ...
    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None: ...
    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool: ...


def make_router(
    engine: SubscribePort, *, ice_servers: Sequence[IceServer] = (), authorize: Authorize = allow_everyone
) -> APIRouter:
    """The routes below `/whep`."""
    face = resources.Face("WHEP", "Watch a stream", engine.subscribe, engine.trickle_viewer, engine.unsubscribe)
    return resources.make_router(face, ice_servers=ice_servers, authorize=authorize)
