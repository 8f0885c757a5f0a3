"""Push URLs: `rtmp://host[:port]/app[/more]/key[?query]`, or `rtmps://` for TLS.

The application is everything before the last slash of the path; the stream name is the rest with its query, which is
where CDN tokens live. Percent-encoding is passed on as it stands, as OBS and FFmpeg do: CDNs' URLs are made for those.
The key, the query and the userinfo are secrets: `str`, `repr` and `redacted` do not show them.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

MAX_LENGTH = 2048
DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_FORM = "rtmp://host[:port]/app/key"
_AUTHORITY = re.compile(
    r"(?:.*@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?)\]|(?P<host>[^:\[\]@?#]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True, repr=False)
class PushUrl:
    """A parsed push URL; make one with `parse`."""

    secret: str = field(repr=False)
    """The URL as it was given."""
    scheme: str
    host: str
    """A name or address; an IPv6 address without brackets."""
    port: int
    app: str
    stream_name: str
    """The stream key with its query: a secret."""
    tc_url: str
    """What `connect` tells the server: the URL up to the application, with the userinfo, if there is one."""
    redacted: str
    """The URL as it may be logged: `rtmp://host/app/***`."""

    @classmethod
    def parse(cls, text: str) -> "PushUrl":
        """`ValueError` names what is wrong and the remedy, and shows nothing of the URL's secrets."""
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the push URL is longer than {MAX_LENGTH} characters: shorten it")
        if any(character.isspace() or not character.isprintable() for character in text):
            raise ValueError("the push URL has a space or control character in it: remove it")
        scheme, separator, rest = text.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in DEFAULT_PORTS:
            raise ValueError(f"the push URL does not begin with rtmp:// or rtmps://: write {_FORM}")
        authority, _, path = rest.partition("/")
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            raise ValueError(f"the push URL has no valid host and port: write {_FORM}, an IPv6 address in brackets")
        port = int(match["port"] or DEFAULT_PORTS[scheme])
        if not 1 <= port <= 65535:
            raise ValueError("the push URL's port is not within 1 to 65535: correct it or leave it out")
        app, stream_name = _split(path)
        if not app or not stream_name or stream_name.startswith("?"):
            raise ValueError(f"the push URL lacks the application or the stream key: write {_FORM}")
        shown = authority.rpartition("@")[2]
        return cls(
            secret=text,
            scheme=scheme,
            host=match["host"] or match["six"].replace("%25", "%"),
            port=port,
            app=app,
            stream_name=stream_name,
            tc_url=f"{scheme}://{authority}/{app}",
            redacted=f"{scheme}://{shown}/{app.partition('?')[0]}/***",
        )

    @property
    def tls(self) -> bool:
        return self.scheme == "rtmps"

    def scrub(self, text: str) -> str:
        """`text`, which a peer wrote, fit for a log: this URL's secrets replaced, printable, at most 200 characters."""
        key, _, query = self.stream_name.partition("?")
        secrets = {self.secret, self.stream_name, key, unquote(key), query, self.app.partition("?")[2]}
        secrets |= {pair.rpartition("=")[2] for pair in re.split("[&?]", query)}
        secrets.add(self.tc_url.partition("://")[2].rpartition("@")[0])
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            # A secret of one or two letters would blot out words and tell nothing.
            if len(secret) > 2 or secret == key:
                text = text.replace(secret, "***")
        return "".join(character if character.isprintable() else " " for character in text)[:200]

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"PushUrl({self.redacted!r})"


def _split(path: str) -> tuple[str, str]:
    """Application and stream name. A slash in the query is no separator, unless the application itself has a query
    (`app?token=x/key`)."""
    before, mark, query = path.partition("?")
    if "/" in before.strip("/") or not mark:
        app, _, key = before.rpartition("/")
        return app.strip("/"), key + mark + query
    app, _, key = path.rpartition("/")
    return app.strip("/"), key
