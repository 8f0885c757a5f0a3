"""Webhook receivers, as an operator writes them: for each application a URL, a secret, and the events it wants."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from relay.core.callback import EventType
from relay.core.ident import is_ident

EVERY_APP = "*"
"""The receiver of applications that have none of their own."""
_KEYS = frozenset({"url", "secret", "events"})
_ALL = frozenset(EventType)


@dataclass(frozen=True, slots=True)
class Receiver:
    url: str = field(repr=False)
    """Path, query and userinfo may hold a secret: it is `origin` that is shown."""
    secret: str = field(repr=False)
    """That messages are signed with."""
    events: frozenset[EventType] = field(default=_ALL, repr=False)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Receivers:
    """By AppId. Its `repr` shows the AppIds only."""

    __slots__ = ("_receivers",)

    def __init__(self, receivers: Mapping[str, Receiver] | None = None) -> None:
        self._receivers = dict(receivers or {})

    @classmethod
    def parse(cls, text: str) -> "Receivers":
        """JSON or TOML: `{"AppId": {"url": …, "secret": …, "events": […]}}`; `*` in place of an AppId is for all
        others, without `events` it is every event. `ValueError` names the entry and quotes no value."""
        document = _document(text)
        if not document:
            raise ValueError("there is no receiver in it")
        return cls({name: _receiver(name, entry) for name, entry in document.items()})

    @property
    def named(self) -> frozenset[str]:
        """The AppIds with a receiver of their own."""
        return frozenset(self._receivers) - {EVERY_APP}

    def get(self, app_id: str) -> Receiver | None:
        return self._receivers.get(app_id) or self._receivers.get(EVERY_APP)

    def wants(self, app_id: str, event: EventType) -> bool:
        receiver = self.get(app_id)
        return receiver is not None and event in receiver.events

    def __iter__(self) -> Iterator[Receiver]:
        return iter(self._receivers.values())

    def __or__(self, other: "Receivers") -> "Receivers":
        """Both; where both know an AppId, the receiver is that of `other`."""
        return Receivers(self._receivers | other._receivers)

    def __len__(self) -> int:
        return len(self._receivers)

    def __repr__(self) -> str:
        return f"Receivers({', '.join(self._receivers)})"


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)$", str(error))
        raise ValueError(f"it is neither JSON nor TOML {place[0] if place else ''}".rstrip()) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} (at line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return dict(document)


def _receiver(name: str, entry: Any) -> Receiver:
    if name != EVERY_APP and not is_ident(name):
        raise ValueError("each entry is named by an AppId, or * for all others; one is neither")
    if not isinstance(entry, dict):
        raise ValueError(f"entry {name}: it must have url, secret and, where wanted, events")
    if unknown := sorted(set(entry) - _KEYS):
        raise ValueError(f"entry {name}: {len(unknown)} unknown keys: it takes url, secret and events")
    url, secret = entry.get("url"), entry.get("secret")
    if not isinstance(url, str) or not _is_http(url):
        raise ValueError(f"entry {name}: url must be an http:// or https:// URL with a host")
    if not isinstance(secret, str) or not secret:
        raise ValueError(f"entry {name}: secret must be a string that is not empty")
    return Receiver(url, secret, _events(name, entry.get("events")))


def _is_http(url: str) -> bool:
    if any(character.isspace() or not character.isprintable() for character in url):
        return False
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except (ValueError, httpx.InvalidURL):
        return False


def _events(name: str, given: Any) -> frozenset[EventType]:
    if given is None:
        return _ALL
    try:
        return frozenset(EventType(event) for event in given)
    except (TypeError, ValueError):
        raise ValueError(f"entry {name}: events must be a list of {', '.join(EventType)}") from None
