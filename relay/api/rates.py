"""How often each caller may ask: requests a second by action and access key, as the original counts them by account.

Where nobody has to say who they are, all callers are one. Refused requests do not count.
"""

from collections.abc import Mapping

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from relay.api import errors
from relay.api.auth import Caller

RETRY_AFTER = 1
"""Seconds: as long as the window that is counted in, and the least that the header can say."""


class RateLimits:
    """Two counters for each action and key that asked within the last seconds; keys are those that are known."""

    def __init__(self, per_second: Mapping[str, int] | None = None) -> None:
        """By action; an action that is missing, or has 0, may be asked for without limit."""
        self._items = {
            action: RateLimitItemPerSecond(rate, namespace=action)
            for action, rate in (per_second or {}).items()
            if rate
        }
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def admit(self, action: str, caller: Caller) -> None:
        """Counts a request. Raises `ApiError` where it is one too many."""
        item = self._items.get(action)
        if item is not None and not await self._limiter.hit(item, caller.key_id):
            raise errors.flow_limit_exceeded(action, item.amount, RETRY_AFTER)
