"""When to ask a sender for an IDR picture (PLI, RFC 4585 6.3.1): rarely, but until one has come."""

import math

_FIRST_PICTURE = 0.2  # seconds that a sender gets to finish the key frame with which it started by itself
_PAUSE = 0.5  # seconds without media after which none is asked for by the timer


class KeyFrameRequests:
    """Decides on the PLIs of one video track. Times are seconds."""

    __slots__ = ("_asked", "_interval", "_last_key", "_last_pli", "_not_before", "_period")

    def __init__(self, interval: float, period: float) -> None:
        self._interval = interval
        self._period = period
        self._asked = False
        self._last_pli: float | None = None
        self._last_key: float | None = None
        self._not_before = 0.0

    def started(self, now: float, with_key: bool) -> None:
        """The track's first packet came; `with_key` where it starts a key frame."""
        self._not_before = now + _FIRST_PICTURE if with_key else now

    def ask(self) -> None:
        """Somebody needs an IDR picture that comes after now."""
        self._asked = True

    def came(self, now: float) -> None:
        """A whole IDR picture is here."""
        self._asked = False
        self._not_before = 0.0
        self._last_key = now

    def deadline(self, awaiting: bool, watched_media: float | None) -> float | None:
        """When the next PLI is due; None while none is needed.

        `awaiting`: nothing can be passed on before an IDR picture. `watched_media`: when the last packet came, where
        somebody watches; then an IDR picture is due for each period in which pictures flow.
        """
        held = -math.inf if self._last_pli is None else self._last_pli + self._interval
        if awaiting or self._asked:
            return max(self._not_before, held)
        last = max(self._last_key or 0.0, self._last_pli or 0.0)
        if watched_media is None or self._last_key is None or watched_media <= last:
            return None
        due = max(self._last_key + self._period, held)
        # A request into an outage is lost, and holds back the one that its end needs.
        return due if due - watched_media <= _PAUSE else None

    def sent(self, now: float) -> None:
        self._last_pli = now
