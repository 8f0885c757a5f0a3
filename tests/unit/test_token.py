"""Room tokens against bytes laid by hand, and against whatever else may come instead of one."""

import base64
import contextlib
import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.ident import IDENT
from relay.core.token import (
    MAX_LENGTH,
    Privilege,
    RoomToken,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    issue,
    verify,
)

APP_ID = "0123456789abcdef01234567"
KEY = "an AppKey of 32 letters or so..."
ISSUED, EXPIRES = 1_700_000_000, 1_700_003_600
TOKEN = RoomToken("room-1", "user@1", 0x12345678, ISSUED, EXPIRES, {**dict.fromkeys(range(4), EXPIRES), 4: 0})
# The message laid out with printf, signed by `openssl dgst -sha256 -hmac`, and put together with base64(1).
VECTOR = (
    f"001{APP_ID}"
    "PAB4VjQSAPFTZRD/U2UGAHJvb20tMQYAdXNlckAxBQAAABD/U2UBABD/U2UCABD/U2UDABD/U2UEAAAAAAAg"
    "AAH+UO6DSEnRm3BBQxN9hsypXJ7cfKoTS3Yry+Uq1kej"
)


def u16(number: int) -> bytes:
    return bytes([number & 255, number >> 8])


def u32(number: int) -> bytes:
    return u16(number & 0xFFFF) + u16(number >> 16)


def message(token: RoomToken) -> bytes:
    """The structure of section 5, written for this test alone."""
    room, user = token.room_id.encode(), token.user_id.encode()
    laid = u32(token.nonce) + u32(token.issued) + u32(token.expires)
    laid += u16(len(room)) + room + u16(len(user)) + user + u16(len(token.privileges))
    for privilege, expires in token.privileges.items():
        laid += u16(privilege) + u32(expires)
    return laid


def wrap(content: bytes, app_id: str = APP_ID) -> str:
    return "001" + app_id + base64.b64encode(content).decode()


def sign(data: bytes, key: str = KEY, app_id: str = APP_ID) -> str:
    """A token of any message."""
    signature = hmac.new(key.encode(), data, hashlib.sha256).digest()
    return wrap(u16(len(data)) + data + u16(32) + signature, app_id)


def check(text: str, now: float = ISSUED, app_id: str = APP_ID) -> RoomToken:
    return verify(text, app_id=app_id, app_key=KEY, now=now)


def test_the_vector() -> None:
    assert check(VECTOR) == TOKEN
    assert issue(TOKEN, app_id=APP_ID, app_key=KEY) == VECTOR == sign(message(TOKEN))


def test_publish_is_written_with_what_it_implies() -> None:
    short = RoomToken("room-1", "user@1", 0x12345678, ISSUED, EXPIRES, {4: 0, 0: EXPIRES})
    assert issue(short, app_id=APP_ID, app_key=KEY) == VECTOR


U32 = st.integers(0, 2**32 - 1)
NAME = st.from_regex(IDENT, fullmatch=True)
TOKENS = st.builds(RoomToken, NAME, NAME, U32, U32, U32, st.dictionaries(st.integers(1, 65535), U32, max_size=8))


@given(TOKENS, NAME, st.text(min_size=1, max_size=64))
def test_issued_and_verified(token: RoomToken, app_id: str, key: str) -> None:
    text = issue(token, app_id=app_id, app_key=key)
    assert text == sign(message(RoomToken(*_fields(token))), key, app_id)
    assert verify(text, app_id=app_id, app_key=key, now=0) == token


def _fields(token: RoomToken) -> tuple[object, ...]:
    in_order = dict(sorted(token.privileges.items()))
    return token.room_id, token.user_id, token.nonce, token.issued, token.expires, in_order


def test_the_named_second_is_the_last() -> None:
    assert check(VECTOR, EXPIRES + 0.9) == TOKEN
    with pytest.raises(TokenExpired):
        check(VECTOR, EXPIRES + 1)
    for_ever = RoomToken("r", "u", 1, ISSUED, 0, {})
    assert check(sign(message(for_ever)), 2**33) == for_ever


@pytest.mark.parametrize(
    ("privileges", "privilege", "expires"),
    [
        ({0: 5}, Privilege.PUBLISH, 5),
        ({0: 5}, Privilege.AUDIO, 5),
        ({0: 5, 1: 0}, Privilege.AUDIO, 0),
        ({0: 5, 2: 9}, Privilege.VIDEO, 9),
        ({0: 0, 3: 9}, Privilege.DATA, 0),
        ({0: 5}, Privilege.SUBSCRIBE, None),
        ({1: 5, 2: 5, 3: 5, 4: 5}, Privilege.PUBLISH, None),
        ({}, Privilege.VIDEO, None),
    ],
)
def test_privileges(privileges: dict[int, int], privilege: Privilege, expires: int | None) -> None:
    assert RoomToken("r", "u", 1, 1, 0, privileges).expiry_of(privilege) == expires


LAID = message(TOKEN)
SIGNED = base64.b64decode(VECTOR[27:])
REFUSED = {
    "empty": ("", TokenMalformed),
    "another version": ("002" + VECTOR[3:], TokenMalformed),
    "another AppId": (sign(LAID, app_id=APP_ID[:-1] + "x"), TokenMalformed),
    "an AppId that goes on": (sign(LAID, app_id=APP_ID + "x"), TokenMalformed),
    "an AppId that goes on as base64 does": (sign(LAID, app_id=APP_ID + "abcd"), TokenMalformed),
    "nothing after the AppId": (VECTOR[:27], TokenMalformed),
    "not base64": (VECTOR[:-1] + "!", TokenMalformed),
    "base64 of URLs": (VECTOR.replace("/", "_"), TokenMalformed),
    "not ASCII": (VECTOR[:-1] + "é", TokenMalformed),
    "too long": (sign(LAID + bytes(MAX_LENGTH)), TokenMalformed),
    "no signature": (wrap(u16(len(LAID)) + LAID), TokenMalformed),
    "an empty signature": (wrap(u16(len(LAID)) + LAID + u16(0)), TokenMalformed),
    "half a signature": (wrap(SIGNED[:-34] + u16(16) + SIGNED[-32:-16]), TokenMalformed),
    "more after the signature": (wrap(SIGNED + b"x"), TokenMalformed),
    "another key": (sign(LAID, key=KEY + " "), TokenForged),
    "another message": (wrap(SIGNED.replace(b"room-1", b"room-2")), TokenForged),
    "another signature": (wrap(SIGNED[:-1] + bytes([SIGNED[-1] ^ 1])), TokenForged),
    "the map cut short": (sign(LAID[:-1]), TokenMalformed),
    "a longer map than bytes": (sign(message(RoomToken("r", "u", 1, 1, 0, {}))[:-2] + u16(65535)), TokenMalformed),
    "a name cut short": (sign(u32(1) * 3 + u16(9) + b"room"), TokenMalformed),
    "a name that is no text": (sign(LAID.replace(b"room-1", b"room-\xff")), TokenMalformed),
    "an empty message": (sign(b""), TokenMalformed),
    "over": (sign(message(RoomToken("room-1", "user@1", 1, 1, ISSUED - 1, {0: 0}))), TokenExpired),
}


@pytest.mark.parametrize(("text", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str, error: type[TokenError]) -> None:
    with pytest.raises(error) as caught:
        check(text)
    assert caught.type is error
    said = str(caught.value)
    assert ": " in said or "longer" in said
    for secret in (KEY, APP_ID, "room-1", "user@1", text[27:67]):
        assert not secret or secret not in said


def test_what_follows_the_map_is_left_to_later_editions() -> None:
    assert check(sign(LAID + b"later")) == TOKEN


def test_short_app_ids_that_begin_alike() -> None:
    text = sign(LAID, app_id="app1")
    assert check(text, app_id="app1") == TOKEN
    for other in ("app", "ap", "app1PAB4", "b"):
        with pytest.raises(TokenError):
            check(text, app_id=other)


@pytest.mark.parametrize(
    "token",
    [
        RoomToken("r", "u", -1, 1, 1, {}),
        RoomToken("r", "u", 1, 2**32, 1, {}),
        RoomToken("r", "u", 1, 1, 2**32, {}),
        RoomToken("r", "u", 1, 1, 1, {65536: 1}),
        RoomToken("r", "u", 1, 1, 1, {1: 2**32}),
        RoomToken("r" * 70_000, "u", 1, 1, 1, {}),
        RoomToken("r" * 2_000, "u", 1, 1, 1, {}),
    ],
)
def test_what_cannot_be_issued(token: RoomToken) -> None:
    with pytest.raises(ValueError, match="token"):
        issue(token, app_id=APP_ID, app_key=KEY)


def only_the_typed_error(text: str, app_id: str = APP_ID) -> None:
    with contextlib.suppress(TokenError):
        check(text, app_id=app_id)


@given(st.one_of(st.text(), st.text().map(lambda tail: VECTOR[:27] + tail)), st.sampled_from([APP_ID, "", "é"]))
@example("001é", "é")
def test_any_text(text: str, app_id: str) -> None:
    only_the_typed_error(text, app_id)


@given(st.binary(max_size=200))
def test_any_content(content: bytes) -> None:
    only_the_typed_error(wrap(content))


SPANS = st.tuples(st.integers(0, len(LAID)), st.integers(0, len(LAID)), st.binary(max_size=8))


@given(st.one_of(st.binary(max_size=200), SPANS.map(lambda span: LAID[: span[0]] + span[2] + LAID[span[1] :])))
def test_any_message_that_is_signed(data: bytes) -> None:
    """The AppKey's owner may still have a faulty library."""
    only_the_typed_error(sign(data))
