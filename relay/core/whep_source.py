"""Where the streams of an SFU are found: WHEP URLs made from a template, and what is shown for being let in.

A template's placeholders are the control API's names; each value is percent-encoded. Of URLs no more than the host is
shown, of tokens and headers nothing: neither by `repr` nor in an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from relay.core.entries import entries
from relay.core.ident import StreamKey, StreamType, is_ident

PLACEHOLDERS = ("AppId", "RoomId", "UserId", "StreamType", "Stream")
_FORM = "https://host/{RoomId}/{UserId}/whep"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+\-.^_`|~]+):\s*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


class NoSuchStream(Exception):
    """The settings name no place where this stream could be."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stream's WHEP endpoint."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """What every request carries: secrets."""

    @property
    def host(self) -> str:
        """What may be shown."""
        parts = urlsplit(self.url)
        return parts.netloc.rpartition("@")[2]


class WhepUrls:
    """A template for each AppId, or one for all."""

    __slots__ = ("_templates",)

    def __init__(self, templates: Mapping[str, str] | None = None) -> None:
        self._templates = dict(templates or {})
        """By AppId; the empty one is for all others."""

    @classmethod
    def parse(cls, text: str) -> "WhepUrls":
        """`URL` for every application, `AppId:URL` for one, separated by commas or line ends. `ValueError`."""
        templates: dict[str, str] = {}
        for number, entry in enumerate(entries(text), 1):
            app_id, template = ("", entry) if entry.startswith(("http://", "https://")) else _split(entry)
            if app_id in templates:
                raise ValueError(f"entry {number} is the second for {app_id or 'every application'}: leave one of them")
            try:
                check_template(template)
            except ValueError as error:
                raise ValueError(f"entry {number}: {error}") from None
            templates[app_id] = template
        if not templates:
            raise ValueError(f"there is no URL in it: write one as in {_FORM}")
        return cls(templates)

    def url(self, key: StreamKey) -> str:
        """`NoSuchStream` where no template is for the application, or none tells its screens from its cameras, and for
        a name that would be a dot segment (RFC 3986 section 5.2.4), which leads elsewhere, encoded or not."""
        template = self._templates.get(key.app_id, self._templates.get("", ""))
        if not template:
            raise NoSuchStream(f"there is no WHEP URL for the application {key.app_id}")
        if key.stream_type is StreamType.SCREEN and "{Stream" not in template:
            raise NoSuchStream("the WHEP URL has neither {Stream} nor {StreamType}, so it names no screens")
        values = {
            "AppId": key.app_id,
            "RoomId": key.room_id,
            "UserId": key.user_id,
            "StreamType": str(int(key.stream_type)),
            "Stream": key.stream_type.name.lower(),
        }
        url = _PLACEHOLDER.sub(lambda match: quote(values[match[1]], safe=""), template)
        if not {".", ".."}.isdisjoint(urlsplit(url).path.split("/")):
            raise NoSuchStream("in the path of its WHEP URL a name would be . or .., which lead elsewhere")
        return url

    def __len__(self) -> int:
        return len(self._templates)

    def __repr__(self) -> str:
        return f"WhepUrls({', '.join(app_id or '*' for app_id in self._templates)})"


def check_template(template: str) -> None:
    """`ValueError` with what is wrong and the remedy."""
    if not template.startswith(("http://", "https://")):
        raise ValueError(f"the URL does not begin with http:// or https://: write it as in {_FORM}")
    if any(character.isspace() or not character.isprintable() for character in template):
        raise ValueError("the URL has a space or control character in it: remove it")
    names = _PLACEHOLDER.findall(template)
    for name in names:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
            raise ValueError(f"{{{name[:30]}}} is no placeholder: there are {known}")
    bare = _PLACEHOLDER.sub("x", template)
    if "{" in bare or "}" in bare:
        raise ValueError("the URL has a brace without its other one: close it, or write it as %7B or %7D")
    if "UserId" not in names and "RoomId" not in names:
        raise ValueError(
            f"the URL has neither {{UserId}} nor {{RoomId}}, so all streams were one: write it as in {_FORM}"
        )
    try:
        parts = urlsplit(bare)
        usable = bool(parts.hostname) and parts.port != 0 and "{" not in urlsplit(template).netloc
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"the URL has no valid host and port, without placeholders: write it as in {_FORM}")
    if "@" in parts.netloc:
        raise ValueError("the URL has a user name or password in it: give what lets the relay in as a header")


class WhepTokens:
    """A bearer token for each AppId, or one for all. Its `repr` shows the AppIds only."""

    __slots__ = ("_tokens",)

    def __init__(self, tokens: Mapping[str, str] | None = None) -> None:
        self._tokens = dict(tokens or {})

    @classmethod
    def parse(cls, text: str) -> "WhepTokens":
        """`token` for every application, `AppId:token` for one, separated by commas or line ends. `ValueError`."""
        tokens: dict[str, str] = {}
        for number, entry in enumerate(entries(text), 1):
            app_id, token = _split(entry) if ":" in entry else ("", entry)
            if not _TOKEN.fullmatch(token) or (app_id and not is_ident(app_id)):
                raise ValueError(f"entry {number} is neither a bearer token (RFC 6750) nor AppId:token")
            if app_id in tokens:
                raise ValueError(f"entry {number} is the second for {app_id or 'every application'}: leave one of them")
            tokens[app_id] = token
        if not tokens:
            raise ValueError("there is no token in it")
        return cls(tokens)

    def get(self, app_id: str) -> str | None:
        return self._tokens.get(app_id, self._tokens.get(""))

    def __or__(self, other: "WhepTokens") -> "WhepTokens":
        """Both; where both know an AppId, the token is that of `other`."""
        return WhepTokens(self._tokens | other._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __repr__(self) -> str:
        return f"WhepTokens({', '.join(app_id or '*' for app_id in self._tokens)})"


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of `Name: value`. `ValueError` shows neither."""
    match = _HEADER.fullmatch(text.strip())
    if match is None:
        raise ValueError("write one header as in X-Api-Key: abc")
    if match[1].lower() in ("content-type", "content-length", "host", "accept", "if-match", "transfer-encoding"):
        raise ValueError(f"{match[1]} is the relay's own to set: choose another header")
    return match[1], match[2]


@dataclass(frozen=True, slots=True)
class WhepSource:
    """Streams come from an SFU."""

    urls: WhepUrls
    tokens: WhepTokens = field(default_factory=WhepTokens)
    header: tuple[str, str] | None = field(default=None, repr=False)

    def endpoint(self, key: StreamKey) -> Endpoint:
        """`NoSuchStream`."""
        headers = dict([self.header] if self.header is not None else [])
        token = self.tokens.get(key.app_id)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return Endpoint(self.urls.url(key), headers)


def _split(entry: str) -> tuple[str, str]:
    app_id, _, rest = entry.partition(":")
    if not is_ident(app_id.strip()):
        return "", entry
    return app_id.strip(), rest.strip()
