"""A publisher of our own whose pictures and sounds are all unlike, in real time, with key frames on request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import httpx

from relay.core.h264 import nal_type
from relay.rtc.caster import Caster
from tests.support.relay import LOOPBACK
from tests.support.rtc import picture, sound

FPS, SOUNDS = 25, 50
"""A second."""


def vcl(parts: Sequence[bytes]) -> list[bytes]:
    """NAL units of a picture's slices."""
    return [nal for nal in parts if nal_type(nal) in (1, 5)]


class NumberedPublisher:
    """What it has sent, by the time on its media timeline."""

    def __init__(self, *, first: int = 0, begin: float = 0.0, answers_pli: bool = True) -> None:
        """`first`: numbers of the first picture and sound; `begin`: their time."""
        self.pictures: dict[float, list[bytes]] = {}
        self.sounds: dict[float, bytes] = {}
        self.asked: list[float] = []
        """When key frames were asked for, on the loop's clock."""
        self._first = first
        self._begin = begin
        self._answers_pli = answers_pli
        self._key_wanted = True
        self.caster: Caster

    def _asked(self) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        self._key_wanted |= self._answers_pli

    async def join(
        self, client: httpx.AsyncClient, url: str, kinds: Sequence[Literal["audio", "video"]] = ("audio", "video")
    ) -> None:
        self.kinds = kinds
        self.caster = await Caster.create(settings=LOOPBACK, kinds=kinds, on_key_frame_wanted=self._asked)
        response = await client.post(url, content=self.caster.offer(), headers={"Content-Type": "application/sdp"})
        assert response.status_code == 201, response.text
        await self.caster.accept(response.text)
        assert await self.caster.wait_connected(), self.caster.closed_reason

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        began, pictures, sounds = loop.time(), 0, 0
        while self.caster.closed_reason is None:
            elapsed = loop.time() - began
            while "video" in self.kinds and pictures / FPS <= elapsed:
                at, number = self._begin + pictures / FPS, self._first + pictures
                parts = picture(number, key=self._key_wanted)
                self._key_wanted = False
                self.pictures[at] = parts
                self.caster.send_access_unit(parts, at)
                pictures += 1
            while "audio" in self.kinds and sounds / SOUNDS <= elapsed:
                at = self._begin + sounds / SOUNDS
                self.sounds[at] = sound(self._first + sounds)
                self.caster.send_opus(self.sounds[at], at)
                sounds += 1
            self.caster.tick(loop.time())
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def numbered(
    client: httpx.AsyncClient,
    url: str,
    *,
    kinds: Sequence[Literal["audio", "video"]] = ("audio", "video"),
    first: int = 0,
    begin: float = 0.0,
    answers_pli: bool = True,
) -> AsyncIterator[NumberedPublisher]:
    """It publishes for as long as the context lasts, then says goodbye."""
    publisher = NumberedPublisher(first=first, begin=begin, answers_pli=answers_pli)
    await publisher.join(client, url, kinds)
    playing = asyncio.create_task(publisher.play())
    try:
        yield publisher
    finally:
        publisher.caster.close()
        await playing
        await publisher.caster.wait_closed()
