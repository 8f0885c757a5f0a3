"""Where `relay publish` and `relay demo` take media from: a clip, packet by packet as it lies in the file."""

import bisect
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import av
from av.bitstream import BitStreamFilterContext

from relay.core.h264 import NalType, nal_type, split_annex_b

MAX_BYTES = 512 * 1024 * 1024
_SLACK = 1e-6
"""Times are sums of floats: what is nearer is the same."""


@dataclass(slots=True)
class Picture:
    """One access unit of H.264: NAL units without start codes, SPS and PPS before each IDR; seconds from the start."""

    nals: list[bytes]
    key: bool
    time: float


@dataclass(slots=True)
class Sound:
    """One Opus packet; `time` is that of its first decoded sample, seconds from the start."""

    data: bytes
    time: float


Item = Picture | Sound


class Source(Protocol):
    """Endless items in order of time, faster than real time: the taker sets the pace."""

    def __iter__(self) -> Iterator[Item]: ...
    def __next__(self) -> Item: ...
    def skip_to_key(self) -> None:
        """A viewer cannot decode (PLI): an IDR as soon as can be. Times stay continuous."""


class SourceError(Exception):
    """The clip cannot be sent as it is; the text says why and what helps."""


def builtin_clip() -> Path:
    """The clip that comes with the relay: in the package where it is installed, else in the repository."""
    installed = Path(__file__).with_name("clip.mp4")
    return installed if installed.exists() else Path(__file__).parents[2] / "fixtures" / "clip.mp4"


class ClipSource:
    """A clip with H.264 and Opus, held in memory, repeated for ever without re-encoding; `time` runs on.

    One of the two tracks may be missing. A clip whose length is a whole number of Opus packets repeats without a gap in
    the sound's timestamps; another leaves a gap of less than one packet at each turn.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises `SourceError` for what cannot be opened, is above 512 MiB, is not H.264 and Opus, or has B-frames."""
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise SourceError(f"{path}: larger than {MAX_BYTES >> 20} MiB, and a clip is held in memory")
            with av.open(path, "r") as container:
                pictures, sounds = _read(container, path)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error
        if pictures and not pictures[0].key:
            raise SourceError(f"{path}: does not begin with an IDR picture. {_remedy(path)}")
        origin = min(track[0].time for track in (pictures, sounds) if track)
        self._frame = _interval(pictures)
        self._packet = _interval(sounds)
        first, last = (pictures or sounds)[0], (pictures or sounds)[-1]
        self.duration = last.time - first.time + (self._frame if pictures else self._packet)
        """Seconds of one turn: the pictures', where there are any."""
        # Sound beyond the turn's end would lie over that of the next turn's start.
        end = (sounds[0].time if sounds else origin) + self.duration - self._packet / 2
        items: list[Item] = [*pictures, *(sound for sound in sounds if sound.time < end)]
        self._items = sorted((replace(item, time=item.time - origin) for item in items), key=lambda item: item.time)
        self._keys = [i for i, item in enumerate(self._items) if isinstance(item, Picture) and item.key]
        self._index = 0
        self._offset = 0.0
        self._next_picture = 0.0
        self._next_sound = 0.0
        self._waiting = False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while True:
            if self._index == len(self._items):
                self._index = 0
                self._offset += self.duration
            item = self._items[self._index]
            self._index += 1
            time = item.time + self._offset
            if isinstance(item, Picture):
                if self._waiting and (not item.key or time < self._next_picture - _SLACK):
                    continue
                self._waiting = False
                self._next_picture = time + self._frame
                return Picture(item.nals, item.key, time)
            if time >= self._next_sound - _SLACK:
                self._next_sound = time + self._packet
                return Sound(item.data, time)

    def skip_to_key(self) -> None:
        """The next picture is the clip's next IDR: both tracks jump there together, so they stay in sync.

        Times run on: the IDR takes the time of the picture that would have been next, and the sound goes on with the
        first packet that does not overlap what was sent, after a gap of less than one packet.
        """
        if not self._keys:
            return
        following = bisect.bisect_left(self._keys, self._index) % len(self._keys)
        key = self._items[self._keys[following]].time
        self._offset = self._next_picture - key
        # What sound is still due before the IDR lies before it in the clip, or at the end of the turn before.
        due = min(max(self._next_picture - self._next_sound, 0.0), self._frame + self._packet)
        start = key - due - _SLACK
        if start < 0:
            start += self.duration
            self._offset -= self.duration
        self._index = bisect.bisect_left(self._items, start, key=lambda item: item.time)
        self._waiting = True


def _read(container: "av.container.InputContainer", path: Path) -> tuple[list[Picture], list[Sound]]:
    video = next(iter(container.streams.video), None)
    audio = next(iter(container.streams.audio), None)
    for stream, wanted in ((video, "h264"), (audio, "opus")):
        if stream is not None and stream.codec_context.name not in (wanted, f"lib{wanted}"):
            name = stream.codec_context.name
            raise SourceError(f"{path}: {stream.type} is {name}, and only {wanted} is sent as it is. {_remedy(path)}")
    streams = [stream for stream in (video, audio) if stream is not None]
    if not streams:
        raise SourceError(f"{path}: neither video nor audio in it")
    annex_b = BitStreamFilterContext("h264_mp4toannexb" if video else "null", video)
    pictures: list[Picture] = []
    sounds: list[Sound] = []
    parameter_sets: list[bytes] = []
    size = 0
    for packet in container.demux(streams):
        if packet.size == 0 or packet.pts is None or packet.time_base is None:
            continue
        size += packet.size
        if size > MAX_BYTES:
            raise SourceError(f"{path}: more than {MAX_BYTES >> 20} MiB of media, and a clip is held in memory")
        time = float(packet.pts * packet.time_base)
        if packet.stream is audio:
            sounds.append(Sound(bytes(packet), time))
            continue
        nals = [nal for whole in annex_b.filter(packet) for nal in split_annex_b(bytes(whole))]
        if pictures and time <= pictures[-1].time:
            raise SourceError(f"{path}: has B-frames, which WebRTC does not carry. {_remedy(path)}")
        parameter_sets = [nal for nal in nals if nal_type(nal) in (NalType.SPS, NalType.PPS)] or parameter_sets
        key = any(nal_type(nal) == NalType.IDR for nal in nals)
        if key:
            nals = [*parameter_sets, *(nal for nal in nals if nal_type(nal) not in (NalType.SPS, NalType.PPS))]
        pictures.append(Picture(nals, key, time))
    if not pictures and not sounds:
        raise SourceError(f"{path}: no packet in it")
    return pictures, sounds


def _interval(track: "list[Picture] | list[Sound]") -> float:
    """Seconds from one item to the next, on the average."""
    return (track[-1].time - track[0].time) / (len(track) - 1) if len(track) > 1 else 0.0


def _remedy(path: Path) -> str:
    return (
        f"Convert it: ffmpeg -i {path} -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -g 60 "
        f"-c:a libopus -ac 2 -b:a 128k {path.stem}.relay.mp4"
    )
