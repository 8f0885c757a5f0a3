"""Room tokens: Volcengine's AccessToken, which application servers issue for their users.

A token's text is `"001"`, the AppId, and the base64 (RFC 4648 section 4) of {u16 length, message}{u16 length,
signature}, little-endian. The message is nonce u32, issued u32, expires u32, RoomId, UserId, and a map of u16 privilege
to u32 expiry; a string is u16 length and bytes, a map u16 count and its pairs. The signature is HMAC-SHA256 over the
message with the AppKey. Times are whole seconds since 1970; 0 as an expiry is never.

The format fixes the AppId at 24 characters and gives it no length of its own. Whoever checks a token here knows which
AppId it must be of, so that AppId's length is the field's: other AppIds than 24 characters work as well. Where one
AppId is the beginning of another, a token of the longer one read as the shorter one's leaves a text that is not base64
of a signed message, or one whose signature is wrong. The signature does not cover the AppId: applications that share an
AppKey share their tokens.
"""

import base64
import enum
import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "001"
MAX_LENGTH = 2048
"""Characters of a token's text; the longest that our rule for names gives is below 700."""
_SIGNATURE_SIZE = hashlib.sha256().digest_size


class Privilege(enum.IntEnum):
    """What a token may allow. PUBLISH implies AUDIO, VIDEO and DATA."""

    PUBLISH = 0
    AUDIO = 1
    VIDEO = 2
    DATA = 3
    SUBSCRIBE = 4


_IMPLIED = (Privilege.AUDIO, Privilege.VIDEO, Privilege.DATA)


class TokenError(Exception):
    """A token that is worth nothing here. The text says why and what to do, and quotes neither token nor key."""


class TokenMalformed(TokenError):
    """Not an AccessToken of the AppId."""


class TokenForged(TokenError):
    """The signature is not the AppKey's."""


class TokenExpired(TokenError):
    """Its time is over."""


@dataclass(frozen=True, slots=True)
class RoomToken:
    """What a token says. It is not a secret without its signature."""

    room_id: str
    user_id: str
    nonce: int
    """u32."""
    issued: int
    expires: int
    privileges: Mapping[int, int]
    """Privilege to expiry."""

    def expiry_of(self, privilege: Privilege) -> int | None:
        """The later of its own and that of PUBLISH, where that implies it; None: not granted."""
        names = (privilege, Privilege.PUBLISH) if privilege in _IMPLIED else (privilege,)
        expiries = [self.privileges[name] for name in names if name in self.privileges]
        return 0 if 0 in expiries else max(expiries, default=None)


def is_over(expires: int, now: float) -> bool:
    """`now` is seconds since 1970. The second that is named belongs to the token, as in the original's libraries."""
    return expires != 0 and int(now) > expires


def issue(token: RoomToken, *, app_id: str, app_key: str) -> str:
    """The text of `token`, signed. PUBLISH writes what it implies as well, as the original's libraries do.

    `ValueError` for what the format has no room for, and for what `verify` would refuse as too long.
    """
    privileges: dict[int, int] = dict(token.privileges)
    if Privilege.PUBLISH in privileges:
        privileges |= dict.fromkeys(_IMPLIED, privileges[Privilege.PUBLISH])
    try:
        message = b"".join(
            [
                struct.pack("<III", token.nonce, token.issued, token.expires),
                _pack(token.room_id.encode()),
                _pack(token.user_id.encode()),
                struct.pack("<H", len(privileges)),
                *(struct.pack("<HI", name, expires) for name, expires in sorted(privileges.items())),
            ]
        )
        content = _pack(message) + _pack(_sign(message, app_key))
    except struct.error:
        raise ValueError("a number or a name of the token is out of the format's range") from None
    text = VERSION + app_id + base64.b64encode(content).decode()
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the token would be longer than {MAX_LENGTH} characters")
    return text


def verify(text: str, *, app_id: str, app_key: str, now: float) -> RoomToken:
    """What the token says, once its signature and its expiry hold; `now` is seconds since 1970.

    Raises `TokenError`. The message is not looked into before the signature has been compared, in constant time.
    """
    if len(text) > MAX_LENGTH:
        raise TokenMalformed(f"The token is longer than {MAX_LENGTH} characters.")
    if not text.startswith(VERSION):
        raise TokenMalformed(f"The token does not begin with {VERSION}: send an AccessToken as it was issued.")
    prefix = VERSION + app_id
    if not text.startswith(prefix):
        raise TokenMalformed("The token is of another AppId: ask for one of this application.")
    try:
        content = base64.b64decode(text[len(prefix) :], validate=True)
    except ValueError:
        raise TokenMalformed("The token's content is not base64: send an AccessToken as it was issued.") from None
    envelope = _Reader(content)
    message, signature = envelope.sized(), envelope.sized()
    if len(signature) != _SIGNATURE_SIZE or not envelope.at_end:
        raise TokenMalformed("The token does not end with its signature: send an AccessToken as it was issued.")
    if not hmac.compare_digest(signature, _sign(message, app_key)):
        raise TokenForged("The token's signature is wrong: issue it with the AppKey that this relay has.")
    token = _parse_message(message)
    if is_over(token.expires, now):
        raise TokenExpired("The token has expired: ask for a new one.")
    return token


def _sign(message: bytes, app_key: str) -> bytes:
    return hmac.digest(app_key.encode(), message, "sha256")


def _pack(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def _parse_message(message: bytes) -> RoomToken:
    """What follows the map is signed as well, and left to later editions."""
    reader = _Reader(message)
    nonce, issued, expires = reader.u32(), reader.u32(), reader.u32()
    room_id, user_id = reader.text(), reader.text()
    count = reader.u16()
    privileges = {reader.u16(): reader.u32() for _ in range(count)}
    return RoomToken(room_id, user_id, nonce, issued, expires, privileges)


class _Reader:
    """Little-endian fields, one after the other; raises `TokenMalformed` where one is cut short."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise TokenMalformed("The token is cut short: send an AccessToken as it was issued.")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def u16(self) -> int:
        return int.from_bytes(self._take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def sized(self) -> bytes:
        return self._take(self.u16())

    def text(self) -> str:
        try:
            return self.sized().decode()
        except UnicodeDecodeError:
            raise TokenMalformed("A name in the token is not UTF-8: issue it anew.") from None
