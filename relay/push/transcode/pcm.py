"""Decoded sound, 48 kHz, stereo, 16 bits: joints without a click.

All of it works sample by sample and costs accordingly: it is for joints and losses alone.
"""

from array import array
from collections.abc import Iterable, Iterator
from operator import sub

from relay.core.opus import RATE

SAMPLE = 4
"""Bytes of one, of both channels."""
_BLEND = RATE // 200


def blend(last: bytes | None, frame: bytes) -> bytes:
    """The frame, its first 5 ms faded in over `last` (None: silence), which goes on backwards and fades out."""
    pcm = array("h", frame)
    old = array("h", bytes(_BLEND * 4)) if last is None else array("h", last)[-_BLEND * 2 :]
    length = min(len(pcm), len(old)) // 2
    for index in range(length):
        weight = (index + 1) / (length + 1)
        for channel in (0, 1):
            new = pcm[2 * index + channel]
            mirrored = old[len(old) - 2 * (index + 1) + channel]
            pcm[2 * index + channel] = round(mirrored + (new - mirrored) * weight)
    return pcm.tobytes()


def steepest(frames: Iterable[bytes]) -> tuple[int, int]:
    """The largest steps between two samples inside the frames, left and right."""
    sounds = [array("h", frame) for frame in frames]
    left, right = (max((_steepest(sound[channel::2]) for sound in sounds), default=0) for channel in (0, 1))
    return left, right


def soften(last: bytes, frame: bytes, steps: tuple[int, int]) -> bytes:
    """The frame after `last` with no step above `steps`, left and right: what is steeper goes there in several.

    A frame whose second half is twice as steep is another sound, which is its own measure. Gives the frame itself
    where nothing is to be changed.
    """
    edge, pcm = array("h", last)[-2:], array("h", frame)
    changed = False
    for channel, allowed in enumerate(steps):
        sound = pcm[channel::2]
        own = _steepest(sound[len(sound) // 2 :])
        step = own if own > 2 * allowed else max(allowed, 1)
        value = edge[channel]
        if max(abs(sound[0] - value), _steepest(sound)) > step:
            changed = True
            for index, sample in enumerate(sound):
                value += max(-step, min(sample - value, step))
                pcm[2 * index + channel] = value
    return pcm.tobytes() if changed else frame


def _steepest(sound: "array[int]") -> int:
    steps: Iterator[int] = map(sub, sound[1:], sound)
    return max(map(abs, steps), default=0)
