"""Who may publish and who may watch: whoever brings a room token of the application that says so (RFC 9725 section
4.7). A publisher's is of the room and the user; a viewer's is of the room, and of whatever user watches."""

import time
from collections.abc import Callable

from relay.core.ident import StreamKey
from relay.core.token import Privilege, RoomToken, TokenError, is_over, verify
from relay.gateway.app_keys import AppKeys
from relay.gateway.problem import Problem

_ASK = {"WWW-Authenticate": "Bearer"}
_INVALID = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
_INSUFFICIENT = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
"""RFC 6750 section 3.1."""
_DOING = {Privilege.PUBLISH: "publishing", Privilege.SUBSCRIBE: "watching"}


class RoomTokens:
    """Checks every request of a publisher or a viewer; `now` gives seconds since 1970.

    Both methods are an `Authorize` of their router: 401 where the token proves nothing, 403 where it proves something
    else.
    """

    def __init__(self, keys: AppKeys, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now

    async def may_publish(self, token: str | None, key: StreamKey) -> None:
        self._authorize(token, key, Privilege.PUBLISH)

    async def may_watch(self, token: str | None, key: StreamKey) -> None:
        self._authorize(token, key, Privilege.SUBSCRIBE)

    def _authorize(self, token: str | None, key: StreamKey, privilege: Privilege) -> None:
        if token is None:
            doing = _DOING[privilege].capitalize()
            raise Problem(401, f"{doing} needs a room token: send it as Authorization: Bearer.", _ASK)
        app_key = self._keys.get(key.app_id)
        if app_key is None:
            detail = "This relay has no AppKey of this AppId: correct the AppId, or add its key to RELAY_APP_KEYS."
            raise Problem(401, detail, _INVALID)
        now = self._now()
        try:
            said = verify(token, app_id=key.app_id, app_key=app_key, now=now)
        except TokenError as error:
            raise Problem(401, str(error), _INVALID) from None
        if refusal := _refusal(said, key, privilege, now):
            raise Problem(403, refusal, _INSUFFICIENT)


def _refusal(token: RoomToken, key: StreamKey, privilege: Privilege, now: float) -> str | None:
    if token.room_id != key.room_id:
        return "The token is of another room: ask for one of this RoomId."
    if privilege is Privilege.PUBLISH and token.user_id != key.user_id:
        return "The token is of another user: ask for one of this UserId."
    expires = token.expiry_of(privilege)
    name = privilege.name.lower()
    if expires is None:
        doing = _DOING[privilege]
        return f"The token does not allow {doing}: ask for one with the {name} privilege ({int(privilege)})."
    if is_over(expires, now):
        return f"The token's {name} privilege has expired: ask for a new token."
    return None
