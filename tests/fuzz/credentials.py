"""Targets of what proves who asks: request signatures and room tokens."""

import base64
import hashlib
import hmac

from relay.core import token
from relay.core.signature import Claim, SignedRequest, read_claim
from relay.core.token import Privilege
from tests.fuzz.tape import Tape, blob
from tests.support.signing import Signer

NOW = 1_800_000_000.0
SECRET, APP_ID, APP_KEY = "secret", "app", "key"
SIGNER = Signer("AKID", SECRET)
_NAMES = ("host", "x-date", "x-content-sha256", "authorization", "content-type", "x-security-token")


def signature(data: bytes) -> None:
    """First byte: whether our own signer signs the request. Then query, path, headers, body."""
    tape = Tape(data)
    flags = tape.number(1)
    method = "POST" if flags & 1 else "GET"
    query, path = tape.blob().decode("latin-1"), tape.blob().decode("latin-1")
    headers = {_NAMES[number % len(_NAMES)]: tape.blob().decode("latin-1") for number in tape.take(4)}
    body = tape.rest()
    if flags & 2:
        headers.pop("authorization", None)
        headers.pop("x-content-sha256", None)
        headers["x-date"] = ""
        headers |= SIGNER.headers(SignedRequest(method, path, query, headers), body, NOW)
    elif flags & 4:
        headers = {}
        query = SIGNER.query(SignedRequest(method, path, query, {}), NOW) + ("&" + query if flags & 8 else "")
    request = SignedRequest(method, path, query, headers)
    claim = read_claim(request, NOW)
    if not isinstance(claim, Claim):
        assert not flags & 2
        return
    proven = claim.matches(SECRET, body)
    assert not claim.matches("another", body)
    assert proven or not flags & 2
    assert SECRET not in repr(claim)


def signed(message: bytes) -> str:
    """A token around any message."""
    parts = (message, hmac.digest(APP_KEY.encode(), message, hashlib.sha256))
    content = b"".join(len(part).to_bytes(2, "little") + part for part in parts)
    return token.VERSION + APP_ID + base64.b64encode(content).decode()


def room_token(data: bytes) -> None:
    """First byte: 0, the text of a token; else a message, which is signed."""
    text = signed(data[1:]) if data[:1] > b"\0" else data[1:].decode("utf-8", "replace")
    said = token.verify(text, app_id=APP_ID, app_key=APP_KEY, now=NOW)
    assert not token.is_over(said.expires, NOW)
    for privilege in Privilege:
        said.expiry_of(privilege)
    try:
        again = token.issue(said, app_id=APP_ID, app_key=APP_KEY)
    except ValueError:
        return  # with what PUBLISH implies it is longer than a token may be
    read = token.verify(again, app_id=APP_ID, app_key=APP_KEY, now=NOW)
    assert (read.room_id, read.user_id, read.expires) == (said.room_id, said.user_id, said.expires)
    assert set(said.privileges.items()) <= set(read.privileges.items()) or Privilege.PUBLISH in said.privileges


def signed_requests() -> dict[str, bytes]:
    """Seeds: requests as the signer makes them, and the same with the signature written out."""
    query = "Action=GetPushSingleStreamToCDNTask&Version=2023-11-01&AppId=a%20b+c&RoomId=%ff"
    request = SignedRequest("POST", "/", query, {"host": "relay.test:443"})
    made = SIGNER.headers(request, b"{}", NOW)
    headers = bytes((0, 1, 2, 3)) + b"".join(
        blob(value.encode())
        for value in ("relay.test", made["x-date"], made["x-content-sha256"], made["authorization"])
    )
    plain = blob(query.encode()) + blob(b"/")
    return {
        "headers": b"\3" + plain + headers + b"{}",
        "query": b"\4" + plain,
        "query-and-more": b"\x0c" + plain,
        "written": b"\1" + plain + headers + b"{}",
        "query-written": b"\0" + blob(SIGNER.query(request, NOW, expires=600).encode()) + blob(b"/a/%2F b"),
        "not-text": b"\0" + blob(SIGNER.query(request, NOW).encode()[:-64] + b"%ff") + blob(b"/"),
    }
