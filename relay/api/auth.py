"""Who asks: access keys, the applications each may use, and the check of a request's signature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request

from relay.api import errors
from relay.core.entries import entries
from relay.core.ident import is_ident
from relay.core.signature import Claim, Refusal, SignedRequest, is_key_id, read_claim


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from, as far as actions care."""

    key_id: str = ""
    """Empty: nobody has to say who they are."""
    app_ids: frozenset[str] | None = None
    """The applications whose tasks are the caller's to start, see and stop; None: all."""

    def require(self, app_id: str) -> None:
        """Raises `ApiError` where this application is not the caller's."""
        if self.app_ids is not None and app_id not in self.app_ids:
            raise errors.no_permission_for_app(app_id)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key: whom it makes of a caller, and its secret."""

    caller: Caller
    secret: str = field(repr=False)


class AccessKeys:
    """The access keys that may sign requests, by their id. Its `repr` shows the ids only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, AccessKey] | None = None) -> None:
        self._keys = dict(keys or {})

    @classmethod
    def parse(cls, text: str) -> "AccessKeys":
        """`AK:SK[:AppId|AppId…]`, separated by commas or line ends; a line that begins with `#` is a comment.

        `ValueError` counts the entries and quotes none of them.
        """
        keys: dict[str, AccessKey] = {}
        for number, entry in enumerate(entries(text), 1):
            key_id, _, rest = (part.strip() for part in entry.partition(":"))
            secret, restricted, apps = (part.strip() for part in rest.partition(":"))
            app_ids = frozenset(app_id.strip() for app_id in apps.split("|")) if restricted else None
            if not is_key_id(key_id) or not secret or not all(map(is_ident, app_ids or ())):
                raise ValueError(f"entry {number} is not AK:SK or AK:SK:AppId|AppId")
            if key_id in keys:
                raise ValueError(f"entry {number} is an access key that stands there already")
            keys[key_id] = AccessKey(Caller(key_id, app_ids), secret)
        if not keys:
            raise ValueError("there is no AK:SK in it")
        return cls(keys)

    def get(self, key_id: str) -> AccessKey | None:
        return self._keys.get(key_id)

    def __or__(self, other: "AccessKeys") -> "AccessKeys":
        """Both; a key that both know is that of `other`."""
        return AccessKeys(self._keys | other._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"AccessKeys({', '.join(self._keys)})"


class Gate:
    """Lets requests in. Without keys everybody is; with keys every request must be signed by one of them."""

    def __init__(self, keys: AccessKeys, wall: Callable[[], int]) -> None:
        """`wall` gives milliseconds since 1970."""
        self._keys = keys
        self._wall = wall

    def claim(self, request: Request) -> Claim | None:
        """What the request says of itself, not yet proved; None where nobody has to. Raises `ApiError`."""
        if not self._keys:
            return None
        claim = read_claim(_signed_request(request), self._wall() / 1000)
        if isinstance(claim, Refusal):
            refuse = _REFUSALS[claim]
            raise refuse()
        return claim

    def key(self, claim: Claim | None) -> AccessKey | None:
        """The key that the claim names. Raises `ApiError`."""
        if claim is None:
            return None
        key = self._keys.get(claim.key_id)
        if key is None:
            raise errors.invalid_access_key(claim.key_id)
        return key

    @staticmethod
    def prove(claim: Claim | None, key: AccessKey | None, body: bytes) -> Caller:
        """Raises `ApiError` where the signature is not the key's, of this request and body."""
        if claim is None or key is None:
            return Caller()
        if not claim.matches(key.secret, body):
            raise errors.signature_does_not_match()
        return key.caller


_REFUSALS: dict[Refusal, Callable[[], errors.ApiError]] = {
    Refusal.UNSIGNED: errors.missing_authentication_token,
    Refusal.AUTHORIZATION_MALFORMED: errors.invalid_authorization,
    Refusal.NO_TIMESTAMP: errors.missing_timestamp,
    Refusal.NO_SIGNATURE: errors.missing_signature,
    Refusal.CREDENTIAL_MALFORMED: errors.invalid_credential,
    Refusal.EXPIRED: errors.invalid_timestamp,
}


def _signed_request(request: Request) -> SignedRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope["query_string"]
    return SignedRequest(
        request.method, path.decode("latin-1"), query.decode("utf-8", errors="surrogateescape"), headers
    )
