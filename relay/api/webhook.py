"""One webhook receiver over HTTP: a body posted, and whether the answer was a 200 in time."""

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass

import httpx

from relay import __version__
from relay.net.cookies import no_cookies
from relay.net.resolver import Resolver

MAX_ANSWER = 16 * 1024
"""Bytes of an answer's body that are read, for the connection to be used again."""
HEADERS = {"Content-Type": "application/json", "User-Agent": f"relay/{__version__}"}


@dataclass(slots=True)
class _Answer:
    status: int = 0
    """0: none has come."""


class Webhook:
    """Goes to the receiver itself: no proxy, no redirect. `close` it.

    Its host is looked up by `resolver`, away from the threads that others' look-ups need; the name stays the one that
    the certificate is checked against.
    """

    def __init__(self, url: str, *, resolver: Resolver, tls: ssl.SSLContext, time_limit: float, limit: int) -> None:
        """`time_limit`: seconds of one call; `limit`: connections at once."""
        self._url = httpx.URL(url)
        self._host = self._url.raw_host.decode()
        self._resolver = resolver
        self._time_limit = time_limit
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            # A second address has its turn where the first is silent.
            timeout=httpx.Timeout(time_limit, connect=time_limit / 2),
            limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
            headers={**HEADERS, "Host": self._url.netloc.decode()},
            verify=tls,
            trust_env=False,
            cookies=no_cookies(),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def post(self, body: bytes) -> str:
        """What went wrong, without anything of the URL in it; empty: the receiver has answered 200."""
        answer = _Answer()
        error = ""
        try:
            async with asyncio.timeout(self._time_limit):
                await self._post(body, answer)
        except (TimeoutError, httpx.TimeoutException):
            error = f"no answer within {self._time_limit:g} s"
        except Exception as exception:
            # Whatever a receiver, its name or its certificate brings about.
            error = f"no answer: {type(exception).__name__}"
        if answer.status:  # is the answer, whatever becomes of its body
            return "" if answer.status == httpx.codes.OK else f"HTTP status {answer.status}"
        return error

    async def _post(self, body: bytes, answer: _Answer) -> None:
        *others, last = await self._addresses()
        for address in others:
            try:
                return await self._post_to(address, body, answer)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post_to(last, body, answer)

    async def _post_to(self, address: str, body: bytes, answer: _Answer) -> None:
        url = self._url.copy_with(host=address)
        extensions = {"sni_hostname": self._host}
        async with self._client.stream("POST", url, content=body, extensions=extensions) as response:
            answer.status = response.status_code
            size = 0
            async for piece in response.aiter_raw():
                size += len(piece)
                if size > MAX_ANSWER:
                    break

    async def _addresses(self) -> list[str]:
        try:
            return [str(ipaddress.ip_address(self._host))]
        except ValueError:
            return await self._resolver.addresses(self._host)
