"""Who may publish: whoever brings a room token of the application, the room and the user (RFC 9725 section 4.7)."""

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


class RoomTokens:
    """Checks every request of a publisher; `now` gives seconds since 1970."""

    def __init__(self, keys: AppKeys, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now

    async def authorize(self, token: str | None, key: StreamKey) -> None:
        """An `Authorize` of the WHIP router: 401 where the token proves nothing, 403 where it proves something else."""
        if token is None:
            raise Problem(401, "Publishing needs a room token: send it as Authorization: Bearer.", _ASK)
        app_key = self._keys.get(key.app_id)
        if app_key is None:
            detail = "This relay has no AppKey of this AppId: correct the AppId, or add its key to RELAY_APP_KEYS."
            raise Problem(401, detail, _INVALID)
        now = self._now()
        try:
            said = verify(token, app_id=key.app_id, app_key=app_key, now=now)
        except TokenError as error:
            raise Problem(401, str(error), _INVALID) from None
        if refusal := _refusal(said, key, now):
            raise Problem(403, refusal, _INSUFFICIENT)


def _refusal(token: RoomToken, key: StreamKey, now: float) -> str | None:
    if token.room_id != key.room_id:
        return "The token is of another room: ask for one of this RoomId."
    if token.user_id != key.user_id:
        return "The token is of another user: ask for one of this UserId."
    expires = token.expiry_of(Privilege.PUBLISH)
    if expires is None:
        return "The token does not allow publishing: ask for one with the publish privilege (0)."
    if is_over(expires, now):
        return "The token's publish privilege has expired: ask for a new token."
    return None
