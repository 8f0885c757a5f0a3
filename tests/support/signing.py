"""The client's half of Volcengine V4, written down by its documentation, apart from the half that verifies."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from relay.core.signature import ALGORITHM, SERVICE, SignedRequest, signing_key

NOTHING = hashlib.sha256(b"").hexdigest()


def signature(secret: str, scope: str, timestamp: str, canonical: str) -> str:
    """Of a canonical request; `scope` is `DATE/REGION/SERVICE/request`."""
    hashed = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
    text = f"HMAC-SHA256\n{timestamp}\n{scope}\n{hashed}"
    return hmac.new(signing_key(secret, scope), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests as the SDKs do."""

    key_id: str
    secret: str = field(repr=False)
    region: str = "cn-north-1"

    def headers(self, request: SignedRequest, body: bytes, now: float) -> dict[str, str]:
        """The headers to add: X-Date, X-Content-Sha256, Authorization; those that the request has are signed too."""
        timestamp, scope = self._moment(now)
        body_hash = hashlib.sha256(body).hexdigest()
        added = {"x-date": timestamp, "x-content-sha256": body_hash}
        signed = sorted((request.headers | added).items())
        names = ";".join(name for name, _ in signed)
        block = "".join(f"{name}:{value.strip()}\n" for name, value in signed)
        made = self._signature(request, _pairs(request.query), f"{block}\n{names}\n{body_hash}", now)
        credential = f"{ALGORITHM} Credential={self.key_id}/{scope}"
        return added | {"authorization": f"{credential}, SignedHeaders={names}, Signature={made}"}

    def query(self, request: SignedRequest, now: float, *, expires: int | None = None) -> str:
        """The whole query string, signed; it covers neither headers nor a body."""
        timestamp, scope = self._moment(now)
        pairs = [
            *_pairs(request.query),
            ("X-Algorithm", ALGORITHM),
            ("X-Credential", f"{self.key_id}/{scope}"),
            ("X-Date", timestamp),
            ("X-NotSignBody", ""),
            ("X-SignedHeaders", ""),
        ]
        if expires is not None:
            pairs.append(("X-Expires", str(expires)))
        pairs.append(("X-SignedQueries", ";".join(sorted({"X-SignedQueries", *(name for name, _ in pairs)}))))
        # One newline more than the formula has, as in every SDK.
        made = self._signature(request, pairs, f"\n\n\n{NOTHING}", now)
        return f"{_query(pairs)}&X-Signature={made}"

    def _signature(self, request: SignedRequest, pairs: Iterable[tuple[str, str]], rest: str, now: float) -> str:
        """`rest`: of the canonical request, what comes after the query."""
        timestamp, scope = self._moment(now)
        path = "/".join(_encoded(unquote(segment, errors="surrogateescape")) for segment in request.path.split("/"))
        return signature(self.secret, scope, timestamp, f"{request.method}\n{path or '/'}\n{_query(pairs)}\n{rest}")

    def _moment(self, now: float) -> tuple[str, str]:
        timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        return timestamp, f"{timestamp[:8]}/{self.region}/{SERVICE}/request"


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(n), _encoded(v)) for n, v in pairs))


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")
