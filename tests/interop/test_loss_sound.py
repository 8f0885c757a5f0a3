"""Lost packets of sound, on their way from a publisher to a real nginx-rtmp: what is heard of them."""

import time
from array import array
from dataclasses import dataclass, replace
from itertools import count
from typing import Self

import pytest

from relay.cli.measure import audio_frames, audio_holes, read_tags
from relay.cli.source import Item, Sound
from relay.push.transcode import AacFrame, Transcoder, TranscodeStats
from relay.worker import place
from tests.support.eventually import eventually
from tests.support.impairer import Profile, impaired
from tests.support.nginx import Nginx
from tests.support.publishing import User
from tests.support.recording import assert_decodes
from tests.support.relay import Relay, running_relay
from tests.support.sound import RATE, decode_aac, decode_opus, largest_step, opus

CLEAN = Profile(delay=0.03)
TONE = 10
"""Seconds."""


async def pushing(relay: Relay) -> bool:
    return (await relay.states())[:2] == (2, 5)


class Tone:
    """A source of sound alone: a second of silence, `seconds` of a tone, and silence again, for ever."""

    EXPRESSION = "0.5*sin(2*PI*441*t)*between(t,1,{end})|0.5*sin(2*PI*630*t)*between(t,1,{end})"

    def __init__(self, seconds: int) -> None:
        self.packets = opus(self.EXPRESSION.format(end=1 + seconds), seconds + 3)

    def __iter__(self) -> Self:
        self._numbers = count()
        return self

    def __next__(self) -> Item:
        number = next(self._numbers)
        return Sound(self.packets[min(number, len(self.packets) - 1)], number * 0.02)

    def skip_to_key(self) -> None:
        """There are no pictures."""


@dataclass
class Heard:
    left: "array[float]"
    right: "array[float]"
    stats: TranscodeStats

    @property
    def tone_lasts(self) -> float:
        """From the first loud sample to the last."""
        loud = [index for index, sample in enumerate(self.left) if abs(sample) > 0.1]
        return (loud[-1] - loud[0]) / RATE


@pytest.fixture(scope="module")
def tone() -> Tone:
    return Tone(TONE)


async def listen(
    cdn: Nginx, name: str, source: Tone, up: Profile, down: Profile, transcoders: list[Transcoder]
) -> Heard:
    user = User(source)
    async with running_relay() as relay, impaired(relay.url, up=up, down=down, seed=5) as network:
        await relay.start(cdn.push_url(name), media_type=1)
        await user.join(Relay(network.url, relay.client).whip_url())
        try:
            await eventually(lambda: pushing(relay), within=20)
            end = time.monotonic() + TONE + 2
            await eventually(lambda: time.monotonic() >= end, within=TONE + 10)
            (transcoder,) = transcoders
            stats = replace(transcoder.stats)
            await relay.stop()
            await eventually(lambda: "publish_done" in cdn.calls(name))
            assert network.sessions[0].up.counters.lost > 8
        finally:
            await user.leave()
    tags = read_tags(cdn.recording(name))
    assert audio_holes(tags) == []
    assert_decodes(cdn.recording(name))
    frames = [AacFrame(tag.body[2:], 0.0) for tag in audio_frames(tags)]
    return Heard(*decode_aac(transcoder.config, frames), stats)


@pytest.fixture
def transcoders(monkeypatch: pytest.MonkeyPatch) -> list[Transcoder]:
    """Those that the relay makes."""
    made: list[Transcoder] = []

    def make(**options: str | int) -> Transcoder:
        made.append(Transcoder(**options))  # type: ignore[arg-type]  # the relay's own words
        return made[-1]

    monkeypatch.setattr(place, "Transcoder", make)
    return made


def assert_no_click(heard: Heard, source: Tone) -> None:
    for samples, original in zip((heard.left, heard.right), decode_opus(source.packets), strict=True):
        # Two lossy coders lie between the two.
        assert largest_step(samples) <= 1.1 * largest_step(original)


async def test_sound_at_three_per_cent(cdn: Nginx, tone: Tone, transcoders: list[Transcoder]) -> None:
    lossy = replace(CLEAN, loss=0.03)
    heard = await listen(cdn, "sound", tone, lossy, lossy, transcoders)
    assert heard.tone_lasts == pytest.approx(TONE, abs=0.05)
    assert heard.stats.concealed <= 0.002 * (TONE + 2)
    assert_no_click(heard, tone)


async def test_sound_at_three_per_cent_when_nobody_answers_nack(
    cdn: Nginx, tone: Tone, transcoders: list[Transcoder]
) -> None:
    deaf = replace(CLEAN, loss=1.0, media_only=True)
    heard = await listen(cdn, "deaf", tone, replace(CLEAN, loss=0.03), deaf, transcoders)
    assert heard.tone_lasts == pytest.approx(TONE, abs=0.05)
    assert 0.02 * TONE < heard.stats.concealed < 0.05 * TONE
    assert_no_click(heard, tone)
