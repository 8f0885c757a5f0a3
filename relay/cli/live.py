"""A source played into a WHIP endpoint in real time: what `relay publish` and `relay demo` have in common."""

import asyncio
from collections.abc import Callable
from typing import Self
from urllib.parse import urljoin

import httpx

from relay.cli.source import Picture, Source
from relay.core.offer import SessionError
from relay.rtc.caster import Caster
from relay.rtc.settings import RtcSettings

HTTP_TIMEOUT = 10.0
"""Seconds."""
CATCH_UP = 1.0
"""Seconds of lateness after which the source's clock is set anew instead of sending a burst."""


class PublishFailed(Exception):
    """The endpoint did not let us publish, or the way to it broke; the text is for the person who publishes."""


class LivePublisher:
    """One WHIP session that plays `source`. `on_picture` hears of each picture just before its packets go out."""

    def __init__(
        self,
        source: Source,
        *,
        settings: RtcSettings,
        on_picture: Callable[[Picture], None] = lambda picture: None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._on_picture = on_picture
        self._resource: str | None = None
        self._headers: dict[str, str] = {}
        self._playing = True
        self.caster: Caster
        """The session, once `connect` has made it."""
        self.pictures = 0
        self.packets = 0

    async def connect(self, url: str, token: str | None = None) -> Self:
        """POSTs the offer and waits until DTLS stands. Raises `PublishFailed`."""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.caster = await Caster.create(settings=self._settings, on_key_frame_wanted=self._source.skip_to_key)
        try:
            async with httpx.AsyncClient(timeout=HTTP_TIMEOUT) as client:
                response = await client.post(
                    url,
                    content=self.caster.offer(),
                    headers={**self._headers, "Content-Type": "application/sdp"},
                )
            if response.status_code != 201:
                raise PublishFailed(f"{url} answered {response.status_code}: {_detail(response)}")
            if "Location" in response.headers:
                self._resource = urljoin(url, response.headers["Location"])
            await self.caster.accept(response.text)
            if not await self.caster.wait_connected():
                raise PublishFailed(f"no connection for media: {self.caster.closed_reason}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.caster.close("failed")
            raise PublishFailed(f"{url} cannot be reached: {error}") from error
        except SessionError as error:
            self.caster.close("failed")
            raise PublishFailed(f"the answer of {url} is of no use: {error.detail}") from error
        except BaseException:
            self.caster.close("failed")
            raise
        return self

    async def play(self, seconds: float | None = None) -> None:
        """Sends until `stop`, or for so long. Raises `PublishFailed` when the other side goes away."""
        loop = asyncio.get_running_loop()
        began = origin = loop.time()
        for item in self._source:
            while (wait := origin + item.time - loop.time()) > 0:
                # Never longer than this without a look at what the receiver asks for.
                await asyncio.sleep(min(wait, 0.02))
                self.caster.tick(loop.time())
            self.caster.tick(loop.time())  # late, too: what is lost is asked for most when there is most to do
            if -wait > CATCH_UP:
                origin -= wait
            if not self._playing or (seconds is not None and loop.time() - began >= seconds):
                return
            if self.caster.closed_reason is not None:
                raise PublishFailed(f"the receiver ended the session: {self.caster.closed_reason}")
            if isinstance(item, Picture):
                self._on_picture(item)
                self.caster.send_access_unit(item.nals, item.time)
                self.pictures += 1
            else:
                self.caster.send_opus(item.data, item.time)
            self.packets = self.caster.packets_sent

    def stop(self) -> None:
        """Ends `play`; the session stays."""
        self._playing = False

    async def close(self) -> None:
        """DELETEs the session and says goodbye."""
        if self._resource is not None:
            try:
                async with httpx.AsyncClient(timeout=HTTP_TIMEOUT) as client:
                    await client.delete(self._resource, headers=self._headers)
            except httpx.HTTPError:
                pass  # DTLS close tells the same
            self._resource = None
        self.caster.close()
        await self.caster.wait_closed()


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or response.reason_phrase
