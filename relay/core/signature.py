"""Request signatures: Volcengine V4, in the Authorization header or in the query string (control-api, section 3).

A verifier takes two steps, because other refusals come between them: `read_claim` finds what a request says of itself,
`Claim.matches` proves it with the secret. `now` is seconds since 1970, since signatures carry the time of day.
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, quote, unquote

ALGORITHM = "HMAC-SHA256"
SERVICE = "rtc"
WINDOW = 900
"""Seconds that a signature is valid for, and may lie in the future."""
MAX_EXPIRES = 7 * 86400
"""Seconds; the most that a query's `X-Expires` may ask for."""

_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_KEY_ID = re.compile(r"[!-~]{1,128}")
_CREDENTIAL = re.compile(rf"(?P<key_id>{_KEY_ID.pattern})/(?P<date>[0-9]{{8}})/(?P<region>[!-.0-~]+)/{SERVICE}/request")
_EXPIRES = re.compile(r"[0-9]{1,7}")
_QUERY_MARKS = frozenset({"X-Signature", "X-Credential", "X-Algorithm"})
_UNLISTED = frozenset({"X-Signature", "X-SignedQueries", "X-Security-Token"})
"""What SDKs add to a signed query after they have listed its names."""

Pairs = Sequence[tuple[str, str]]


def is_key_id(text: str) -> bool:
    """Whether an access key may be called so."""
    return _KEY_ID.fullmatch(text) is not None


class Refusal(enum.Enum):
    """Why a request cannot be anybody's, in the order in which that is found."""

    UNSIGNED = enum.auto()
    AUTHORIZATION_MALFORMED = enum.auto()
    NO_TIMESTAMP = enum.auto()
    NO_SIGNATURE = enum.auto()
    CREDENTIAL_MALFORMED = enum.auto()
    EXPIRED = enum.auto()
    """Or from the future, or no time at all."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """An HTTP request as it came, but for its body."""

    method: str
    path: str
    """As on the wire, percent-encoded."""
    query: str
    """As on the wire, without the question mark."""
    headers: Mapping[str, str]
    """By lower-case name; values of a repeated header joined by commas."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says: whose key signed it, and what that covers."""

    key_id: str
    _request: SignedRequest = field(repr=False)
    _scope: str
    _timestamp: str
    _signed_headers: tuple[str, ...]
    _in_query: bool
    _signature: str = field(repr=False)

    def matches(self, secret: str, body: bytes) -> bool:
        """Whether the key with this secret signed this request, with this body where the signature covers bodies.

        One in the query string covers none; so only POST may bring one then.
        """
        body_hash = hashlib.sha256(body).hexdigest()
        told = self._request.headers.get("x-content-sha256", body_hash)
        intact = hmac.compare_digest(told.lower().encode(), body_hash.encode())
        if self._in_query and body and self._request.method != "POST":
            intact = False
        payload_hash = _EMPTY_HASH if self._in_query else body_hash
        key = signing_key(secret, self._scope)
        found = False
        for query in self._canonical_queries():
            for headers in self._canonical_headers():
                canonical = _canonical_request(self._request, query, headers, self._signed_headers, payload_hash)
                expected = _sign(key, self._timestamp, self._scope, canonical)
                found |= hmac.compare_digest(expected.encode(), self._signature.encode(errors="surrogateescape"))
        return found and intact

    def _canonical_queries(self) -> Iterator[str]:
        pairs = query_pairs(self._request.query)
        if not self._in_query:
            yield _canonical_query(pairs)
            return
        names = set(dict(pairs).get("X-SignedQueries", "").split(";"))
        # A parameter that the list leaves out, and no SDK adds later, is not the signer's word: it must not slip in.
        if {name for name, _ in pairs} <= names | _UNLISTED:
            yield _canonical_query([pair for pair in pairs if pair[0] in names])
        yield _canonical_query([pair for pair in pairs if pair[0] != "X-Signature"])

    def _canonical_headers(self) -> Iterator[str]:
        if not self._signed_headers:
            # Every SDK writes one newline more than the formula gives.
            yield ""
            yield "\n"
            return
        headers = {name: self._request.headers.get(name, "") for name in self._signed_headers}
        yield _header_block(headers)
        host, _, port = headers.get("host", "").rpartition(":")
        if port in ("80", "443"):
            # The Python and Go SDKs sign without it, although they send it.
            yield _header_block(headers | {"host": host})


def read_claim(request: SignedRequest, now: float) -> Claim | Refusal:
    """The request's claim, if it has one that is not outdated."""
    authorization = request.headers.get("authorization", "").strip()
    query = dict(query_pairs(request.query))
    in_query = not authorization and not _QUERY_MARKS.isdisjoint(query)
    if in_query:
        parts = {name: query.get(f"X-{name}", "") for name in ("Algorithm", "Credential", "SignedHeaders", "Signature")}
        timestamp = query.get("X-Date", "")
        expires = query.get("X-Expires", str(WINDOW))
    elif authorization:
        parts = _authorization_parts(authorization)
        timestamp = request.headers.get("x-date", "").strip()
        expires = str(WINDOW)
    else:
        return Refusal.UNSIGNED
    signed_headers = tuple(filter(None, parts.get("SignedHeaders", "").lower().split(";")))
    if parts.get("Algorithm") != ALGORITHM or not (in_query or "x-date" in signed_headers):
        return Refusal.AUTHORIZATION_MALFORMED
    if not timestamp:
        return Refusal.NO_TIMESTAMP
    if not parts.get("Signature"):
        return Refusal.NO_SIGNATURE
    credential = _CREDENTIAL.fullmatch(parts.get("Credential", ""))
    if credential is None or credential["date"] != timestamp[:8]:
        return Refusal.CREDENTIAL_MALFORMED
    if not _is_current(timestamp, expires, now):
        return Refusal.EXPIRED
    scope = parts["Credential"].removeprefix(f"{credential['key_id']}/")
    return Claim(credential["key_id"], request, scope, timestamp, signed_headers, in_query, parts["Signature"])


def _authorization_parts(authorization: str) -> dict[str, str]:
    """`HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…` by name, the first word as `Algorithm`."""
    algorithm, _, rest = authorization.partition(" ")
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    return {"Algorithm": algorithm} | {name: value for name, _, value in pairs if name != "Algorithm"}


def _is_current(timestamp: str, expires: str, now: float) -> bool:
    if not _TIMESTAMP.fullmatch(timestamp) or not _EXPIRES.fullmatch(expires):
        return False
    try:
        signed = datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return False
    return -WINDOW <= now - signed <= min(int(expires), MAX_EXPIRES)


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Names and values, decoded (`+` is a space); what is not UTF-8 comes back as it was when it is encoded again."""
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")


def _canonical_query(pairs: Pairs) -> str:
    return "&".join(
        f"{name}={value}" for name, value in sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    )


def _header_block(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}:{value.strip()}\n" for name, value in sorted(headers.items()))


def _canonical_request(
    request: SignedRequest, query: str, headers: str, signed_headers: Collection[str], payload_hash: str
) -> str:
    path = "/".join(_encoded(unquote(segment, errors="surrogateescape")) for segment in request.path.split("/")) or "/"
    return "\n".join([request.method, path, query, headers, ";".join(sorted(signed_headers)), payload_hash])


def signing_key(secret: str, scope: str) -> bytes:
    """The key of one day, region and service; `scope` is `DATE/REGION/SERVICE/request`."""
    key = secret.encode()
    for word in scope.split("/"):
        key = _hmac(key, word)
    return key


def _sign(key: bytes, timestamp: str, scope: str, canonical: str) -> str:
    hashed = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
    return _hmac(key, "\n".join([ALGORITHM, timestamp, scope, hashed])).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(errors="surrogateescape"), hashlib.sha256).digest()
