"""The HTTP of a WHEP player (draft-ietf-wish-whep): offer or counter-offer, trickling, the end of a session.

Answers are bounded in size and time. The endpoint is the operator's choice. Where a server sends the relay elsewhere,
by a redirect or the URL of a session, the egress policy says whether it goes, and what lets it in stays at home.
"""

import asyncio
import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx

from relay.core.egress import ForbiddenAddress
from relay.core.subscription import Outcome, outcome_of
from relay.core.whep_source import Endpoint
from relay.net.cookies import no_cookies
from relay.net.destinations import Destinations
from relay.rtc.sdp import MAX_SDP

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"
_REDIRECTS = (301, 302, 307, 308)
"""A POST stays one, whatever the status: there is nothing to GET (section 4.6 of the draft wants 307)."""
_MAX_REDIRECTS = 5
_KEPT = 20
"""Idle connections."""
CONNECT_TIMEOUT = 3.0
EXCHANGE_TIMEOUT = 10.0
"""Seconds from the first byte of a request to the last of its answer, redirects included."""
GOODBYE_TIMEOUT = 1.5
"""Seconds for all of a DELETE: less than a worker gives its goodbyes when it closes."""


class SubscribeError(Exception):
    """A subscription did not come about. The text shows no secret and is for the log."""

    def __init__(self, outcome: Outcome, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after = retry_after
        """Seconds, where the server said so."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an endpoint says to an offer."""

    sdp: str
    counter_offer: bool
    """It is the server that offers: `sdp` wants an answer by `Resource.answer`."""
    resource: "Resource | None"
    """None: the server named none, so the session ends with its transport."""


@functools.cache
def _tls() -> ssl.SSLContext:
    """Making one takes so long that streams of the same loop would wait."""
    return httpx.create_ssl_context()


class WhepClient:
    """One for a worker; its connections are kept."""

    def __init__(self, destinations: Destinations) -> None:
        """`destinations`: where servers may send it."""
        timeout = httpx.Timeout(EXCHANGE_TIMEOUT, connect=CONNECT_TIMEOUT)
        # As many as there are streams: a server that says nothing must not keep those of another waiting.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT)
        self._http = httpx.AsyncClient(
            timeout=timeout, limits=limits, verify=_tls(), follow_redirects=False, cookies=no_cookies()
        )
        self._destinations = destinations

    async def close(self) -> None:
        await self._http.aclose()

    async def post_offer(self, endpoint: Endpoint, offer: str) -> Answered:
        """Raises `SubscribeError`."""
        headers = {"Content-Type": _SDP, "Accept": _SDP}
        url, response, body = await self.exchange("POST", endpoint, endpoint.url, headers, offer)
        status = response.status_code
        is_sdp = response.headers.get("content-type", "").partition(";")[0].strip().lower() == _SDP
        counter = status == 406 and is_sdp and "location" in response.headers
        if status not in (200, 201) and not counter:
            raise SubscribeError(
                outcome_of(status), f"{endpoint.host} answered {status} {_phrase(response)}", _retry_after(response)
            )
        if not body.lstrip().startswith("v=0"):
            raise SubscribeError(Outcome.DENIED, f"{endpoint.host} answered {status} without SDP")
        return Answered(body, counter, self._resource(endpoint, url, response))

    def _resource(self, endpoint: Endpoint, url: str, response: httpx.Response) -> "Resource | None":
        try:
            location = urljoin(url, response.headers["location"])
        except (KeyError, ValueError):
            return None
        return Resource(self, endpoint, location, response.headers.get("etag", "").strip()[:256])

    async def exchange(
        self, method: str, endpoint: Endpoint, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[str, httpx.Response, str]:
        """The URL that answered in the end, its answer, and the answer's body. Raises `SubscribeError`."""
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT):
                for _ in range(_MAX_REDIRECTS + 1):
                    async with self._asked(method, endpoint, url, headers, body.encode()) as response:
                        if response.status_code not in _REDIRECTS or "location" not in response.headers:
                            return url, response, await _read(response, endpoint)
                        url = _follow(url, response.headers["location"], endpoint)
        except ForbiddenAddress as error:
            raise SubscribeError(Outcome.DENIED, f"{endpoint.host} sends the relay elsewhere: {error}") from None
        except TimeoutError:
            raise SubscribeError(Outcome.UNREACHABLE, f"{endpoint.host} did not answer in time") from None
        except (httpx.HTTPError, OSError) as error:
            # The text of these may quote the URL.
            raise SubscribeError(Outcome.UNREACHABLE, f"{endpoint.host}: {type(error).__name__}") from None
        except (httpx.InvalidURL, ValueError):
            raise SubscribeError(Outcome.DENIED, f"{endpoint.host} named a URL that is none") from None
        raise SubscribeError(Outcome.DENIED, f"{endpoint.host} redirected more than {_MAX_REDIRECTS} times")

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, endpoint: Endpoint, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[httpx.Response]:
        target, sent, extensions = httpx.URL(url), {**headers, "Accept-Encoding": "identity"}, {}
        if _origin(url) == _origin(endpoint.url):
            sent |= endpoint.headers
        else:
            # The address that was looked at is the one that is connected to.
            address = (await self._destinations.addresses(target.host))[0]
            sent["Host"] = target.netloc.decode()
            extensions["sni_hostname"] = target.host
            target = target.copy_with(host=address)
        async with self._http.stream(
            method, target, content=body or None, headers=sent, extensions=extensions
        ) as response:
            yield response


class Resource:
    """A WHEP session's URL."""

    def __init__(self, client: WhepClient, endpoint: Endpoint, url: str, etag: str) -> None:
        self._client = client
        self._endpoint = endpoint
        self._url = url
        self._etag = etag

    async def answer(self, sdp: str) -> None:
        """Answers a counter-offer. Raises `SubscribeError`."""
        await self._patch(_SDP, sdp, {"If-Match": self._etag} if self._etag else {})

    async def trickle(self, fragment: str) -> None:
        """Sends candidates (RFC 8840). Raises `SubscribeError`, also where the server takes none."""
        await self._patch(_FRAGMENT, fragment, {"If-Match": self._etag or "*"})

    async def _patch(self, kind: str, body: str, conditions: Mapping[str, str]) -> None:
        headers = {"Content-Type": kind, **conditions}
        _, response, _ = await self._client.exchange("PATCH", self._endpoint, self._url, headers, body)
        if not response.is_success:
            raise SubscribeError(
                outcome_of(response.status_code),
                f"{self._endpoint.host} answered {response.status_code} {_phrase(response)} to a PATCH",
            )

    async def delete(self) -> None:
        """Ends the session, if the server hears it soon: the transport's goodbye says the same."""
        with contextlib.suppress(SubscribeError, TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                await self._client.exchange("DELETE", self._endpoint, self._url, {}, "")


def _follow(url: str, location: str, endpoint: Endpoint) -> str:
    following = urljoin(url, location)
    scheme = _origin(following)[0]
    if scheme not in ("http", "https") or (scheme == "http" and _origin(url)[0] == "https"):
        raise SubscribeError(Outcome.DENIED, f"{endpoint.host} redirected from {_origin(url)[0]} to {scheme[:20]}")
    return following


def _origin(url: str) -> tuple[str, str, int | None]:
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


async def _read(response: httpx.Response, endpoint: Endpoint) -> str:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_SDP:
            raise SubscribeError(Outcome.DENIED, f"{endpoint.host} answered with more than {MAX_SDP} bytes")
    return body.decode("utf-8", "replace")


def _phrase(response: httpx.Response) -> str:
    return "".join(c for c in response.reason_phrase[:60] if c.isprintable())


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the form with a date is not read."""
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
