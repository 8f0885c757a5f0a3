"""AAC coders: `lean`, the relay's own; FFmpeg's as they are; and `paired`, which makes much of the cheapest of those.

FFmpeg's `fast` costs a third of `twoloop` and follows the source more closely, but a loud tone saturates it: what it
quantizes is limited to 8191. `paired` feeds it a quarter of the amplitude and gives the loudness back in global_gain,
so that no sound comes near the limit. Only a mono encoder's output has its gain in a place that is cheap to find: two
of them make a pair, left and right. Where both are the same, one is enough (most voices); where there is nothing, none.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from operator import add, mul, sub
from typing import Literal, Protocol

from relay.core.aac import LC, SILENCE, AudioSpecificConfig, ChannelStream, mid_pair, pair
from relay.push.transcode import compiled
from relay.push.transcode.codecs import AAC_RATE, BLOCK, AacEncoder, Resampler
from relay.push.transcode.lean import LeanEncoder, LeanResampler

CoderName = Literal["lean", "paired", "twoloop", "fast"]
DEFAULT_CODER: CoderName = "lean"
DEFAULT_BIT_RATE = 128_000

_NO_SBR = bytes.fromhex("56e500")
"""The AudioSpecificConfig's extension that says so: players need not wait for it (ISO/IEC 14496-3, 1.6.6.1)."""
_CONFIG = AudioSpecificConfig(LC, AAC_RATE, 2).encode() + _NO_SBR
_HEADROOM = 8
"""Steps of 1.5 dB: a quarter of the amplitude."""
_SPENDING = 1.05
"""Of the bit rate, what the encoders are told: no frame is above it by much, and simple ones are well below."""
_MEMORY = 6
"""Blocks that an encoder is fed before its first output counts: its window decisions look back over three at most."""
_QUIET = 4
"""Blocks of digital silence after which an encoder holds nothing else."""
_STRIDE = 31
"""One sample in so many tells whether left and right differ."""
_NARROW = 10**-3.4
"""Energy of the difference against the sum: what Opus leaves between two equal channels is below, mostly far below."""
_FAINT = 10**-7.2
"""Mean square (full scale: 1) of a difference that nobody hears."""
_HOLD = 86
"""Blocks (2 s) without a difference until one channel is enough again."""


Plane = bytes | memoryview
"""Floats at 44100 Hz."""


class PcmResampler(Protocol):
    """48 to 44.1 kHz."""

    @property
    def held(self) -> float:
        """Samples (48 kHz) that went in behind the last that came out."""

    def resample(self, pcm: bytes, position: int) -> Sequence[Plane]:
        """Takes 16-bit stereo, 120 ms at most, whose place is `position` in samples; slides towards that by
        `MAX_DRIFT` at most. Gives a plane for each channel, which is there until the next call of any."""


class Coder(Protocol):
    """Takes sound of any length in order; the first access unit that it gives is priming."""

    config: bytes
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
    mix: Sequence[tuple[float, float]]
    """The channels it wants: how much of left and right is in each."""

    def encode(self, planes: Sequence[Plane]) -> list[bytes]:
        """A plane for each channel."""

    def make_resampler(self) -> PcmResampler:
        """One that gives what it takes."""


def make_coder(name: CoderName, bit_rate: int) -> Coder:
    """`paired` stands in for `lean` where that is not compiled."""
    if name == "lean" and (functions := compiled.encoder()) is not None:
        return LeanCoder(functions, bit_rate)
    return PairedCoder(bit_rate) if name in ("lean", "paired") else PlainCoder({"aac_coder": name}, bit_rate)


def prepare(name: CoderName) -> None:
    """Does what takes long, once for an installation."""
    if name == "lean":
        compiled.prepare()


_STEREO: Sequence[tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))


class _Blocks:
    """Sound of any length, in whole blocks."""

    def __init__(self, channels: int) -> None:
        self._rest = [b""] * channels

    def take(self, planes: Sequence[Plane]) -> list[bytes]:
        """Of each channel what makes blocks now; the rest waits."""
        sounds = [rest + plane for rest, plane in zip(self._rest, planes, strict=True)]
        whole = len(sounds[0]) // BLOCK * BLOCK
        self._rest = [sound[whole:] for sound in sounds]
        return [sound[:whole] for sound in sounds]


class LeanCoder:
    """The relay's own."""

    mix = _STEREO

    def __init__(self, functions: compiled.Functions, bit_rate: int) -> None:
        self._functions = functions
        self._encoder = LeanEncoder(functions, bit_rate, _bandwidth(bit_rate))
        self.config = _CONFIG

    def encode(self, planes: Sequence[Plane]) -> list[bytes]:
        return self._encoder.encode(*planes)

    def make_resampler(self) -> PcmResampler:
        return LeanResampler(self._functions)


class PlainCoder:
    """FFmpeg's stereo encoder, with options of its own."""

    mix = _STEREO

    def __init__(self, options: dict[str, str], bit_rate: int) -> None:
        self._encoder = AacEncoder(2, bit_rate, options)
        self._blocks = _Blocks(2)
        self.config = self._encoder.config

    def encode(self, planes: Sequence[Plane]) -> list[bytes]:
        return self._encoder.encode(*self._blocks.take(planes))

    def make_resampler(self) -> PcmResampler:
        return Resampler(self.mix)


class PairedCoder:
    """Mono encoders under constant quality: one pass over each block, about `bit_rate` the most that is spent."""

    mix: Sequence[tuple[float, float]] = ((0.25, 0.0), (0.0, 0.25), (0.125, 0.125))
    """Left, right and mid."""

    def __init__(self, bit_rate: int) -> None:
        self.config = _CONFIG
        self._bit_rate = bit_rate
        self._blocks = _Blocks(3)
        self._mids: deque[bytes] = deque([bytes(BLOCK)] * _MEMORY, maxlen=_MEMORY)
        """What was fed last, as one channel."""
        self._encoders: list[AacEncoder] = []
        self._hold = 0  # blocks until one channel is enough
        self._quiet = _QUIET  # blocks of silence in a row
        self._steady = True  # the last window was long, and so may be the next
        self._begun = False

    def make_resampler(self) -> PcmResampler:
        return Resampler(self.mix)

    def encode(self, planes: Sequence[Plane]) -> list[bytes]:
        left, right, mid = self._blocks.take(planes)
        whole = len(mid)
        if not whole:
            return []
        units = self._units(left, right, mid, whole // BLOCK)
        self._mids.extend(mid[at : at + BLOCK] for at in range(max(0, whole - _MEMORY * BLOCK), whole, BLOCK))
        if not self._begun:
            # An encoder that begins with memory gives one unit more than one that begins without.
            self._begun = True
            del units[0]
        return units

    def _units(self, left: bytes, right: bytes, mid: bytes, blocks: int) -> list[bytes]:
        """One for each block."""
        if left == right == bytes(len(left)):
            if self._quiet >= _QUIET and self._steady:
                self._hold = max(0, self._hold - blocks)
                return [SILENCE] * blocks
            self._quiet += blocks
        else:
            self._quiet = 0
        self._hold = max(0, self._hold - blocks)
        # Two that were apart a moment ago need no look at each batch.
        if self._hold < _HOLD // 2 and left != right and _differ(left, right):
            self._hold = _HOLD
        if self._hold:
            streams = self._fed(left, right)
            units = [pair(*both) for both in zip(*streams, strict=True)]
        else:
            streams = self._fed(mid)
            units = [mid_pair(one) for one in streams[0]]
        self._steady = all(stream[-1].window_sequence in (0, 3) for stream in streams)
        return units

    def _fed(self, *sounds: bytes) -> list[list[ChannelStream]]:
        """A mono encoder for each; where it was another number of them before, with what those were fed last."""
        if len(self._encoders) != len(sounds):
            self._encoders = [_open_mono(self._bit_rate, len(sounds)) for _ in sounds]
            memory = b"".join(self._mids)
            for encoder in self._encoders:
                encoder.encode(memory)
        return [
            [ChannelStream.parse(unit).louder(_HEADROOM) for unit in encoder.encode(sound)]
            for encoder, sound in zip(self._encoders, sounds, strict=True)
        ]


def _differ(left: bytes, right: bytes) -> bool:
    """Of a quarter of their amplitude."""
    some, others = array("f", left)[::_STRIDE], array("f", right)[::_STRIDE]
    differences = list(map(sub, some, others))
    difference: float = sum(map(mul, differences, differences))
    if 4 * difference <= _FAINT * len(some):
        return False
    sums = list(map(add, some, others))
    return difference > _NARROW * float(sum(map(mul, sums, sums)))


def _open_mono(bit_rate: int, channels: int) -> AacEncoder:
    """One of `channels` encoders. Noise substitution, intensity stereo and noise shaping are off: see `core.aac`."""
    options = {"aac_coder": "fast", "aac_tns": "0", "aac_pns": "0", "aac_is": "0"}
    # Under constant quality no frame is coded anew because it came out too small: what 120 means is `bit_rate`.
    options |= {"flags": "+bitexact+qscale", "global_quality": "120", "cutoff": str(_bandwidth(bit_rate))}
    return AacEncoder(1, round(bit_rate * _SPENDING / channels), options)


def _bandwidth(bit_rate: int) -> int:
    """Hertz, as FFmpeg chooses it for a stereo encoder."""
    each = bit_rate // 2
    return min(max(each // 5, each * 15 // 32 - 5500), 3000 + each // 4, 12000 + each // 16, 20000)
