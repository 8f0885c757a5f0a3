"""Hosts that the relay connects to: their addresses, every one of which the egress policy allows."""

import asyncio
import contextlib

from relay.core.egress import ANY, EgressPolicy, ip_literal
from relay.net.resolver import Resolver

CHECK_TIMEOUT = 0.3
"""Seconds that a check ahead of time waits for a name's addresses."""


class Destinations:
    """Connect to what `addresses` gives and to nothing else: a name may stand for another address a moment later."""

    def __init__(self, policy: EgressPolicy, resolver: Resolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or Resolver()

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host, at least one. Raises `ForbiddenAddress` where one of them is not allowed;
        `OSError` or `ValueError` where it has none."""
        literal = ip_literal(host)
        found = [literal] if literal is not None else await self._resolver.addresses(host)
        if not found:
            raise OSError("a name without an address")
        self._policy.require(found)
        return found

    async def check(self, host: str) -> None:
        """Raises `ForbiddenAddress` where that is known at once; a name that cannot be looked up now passes, since
        `addresses` looks again before anything connects."""
        if self._policy == ANY:
            return  # there is nothing to look for
        with contextlib.suppress(OSError, ValueError):  # TimeoutError too
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self.addresses(host)
