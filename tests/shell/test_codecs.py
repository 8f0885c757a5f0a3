"""Coders and decoder by cffi give what PyAV gives from the same libraries: whatever of their structures moves is seen
here. The resampler is measured by itself."""

import mmap
from fractions import Fraction

import av
import numpy as np
import psutil
import pytest
from av.audio.codeccontext import AudioCodecContext

from relay.core.opus import RATE, lost_frame
from relay.push.transcode.codecs import AAC_RATE, BLOCK, MAX_DRIFT, AacEncoder, OpusDecoder, Resampler
from relay.push.transcode.libraries import CodecError, libraries
from tests.support.programme import PROGRAMME, music
from tests.support.sound import opus

OPTIONS = {"aac_coder": "fast", "aac_tns": "0", "flags": "+bitexact"}


def codec(name: str, mode: str, layout: str) -> AudioCodecContext:
    made = av.CodecContext.create(name, mode)
    assert isinstance(made, AudioCodecContext)
    made.layout = layout
    return made


def test_decoding() -> None:
    decoder, oracle = OpusDecoder(), codec("libopus", "r", "stereo")
    oracle.sample_rate = RATE
    packets = opus("0.3*sin(2*PI*440*t)|0.2*sin(2*PI*(300+200*t)*t)", 1.0)
    packets.insert(20, lost_frame(packets[19]))
    for packet in packets:
        (frame,) = oracle.decode(av.Packet(packet))
        assert decoder.decode(packet) == bytes(frame.planes[0])[: frame.samples * 4]


@pytest.mark.parametrize("packet", [b"", b"\xff", b"\x03\x00"])
def test_what_is_no_packet_is_none(packet: bytes) -> None:
    assert OpusDecoder().decode(packet) is None


@pytest.mark.parametrize("channels", [1, 2])
def test_encoding(channels: int) -> None:
    sound = np.ascontiguousarray(PROGRAMME["voice"]()[:channels, : 20 * 1024], np.float32)
    encoder, oracle = (
        AacEncoder(channels, 64_000 * channels, OPTIONS),
        codec("aac", "w", "mono" if channels == 1 else "stereo"),
    )
    oracle.sample_rate, oracle.format, oracle.bit_rate = AAC_RATE, "fltp", 64_000 * channels
    oracle.time_base, oracle.options = Fraction(1, AAC_RATE), OPTIONS
    frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono" if channels == 1 else "stereo")
    frame.sample_rate = AAC_RATE
    units = [*encoder.encode(*(plane[: 7 * 1024].tobytes() for plane in sound))]
    units += encoder.encode(*(plane[7 * 1024 :].tobytes() for plane in sound))
    assert units == list(map(bytes, oracle.encode(frame)))
    assert len(units) == 19
    assert encoder.config[:2] == bytes.fromhex("1208" if channels == 1 else "1210")


def test_what_an_encoder_clears_and_does_not_use_takes_no_memory() -> None:
    sound = bytes(np.ascontiguousarray(music(seconds=2)[0, : 80 * BLOCK // 4], np.float32))
    encoder = AacEncoder(1, 64_000, OPTIONS)
    ffi = libraries().ffi
    options = ffi.cast("AVClass **", encoder._context.priv_data)[0]
    assert ffi.string(options.class_name) == b"AAC encoder", "AVCodecContext.priv_data is elsewhere"
    encoder.encode(sound)
    released = libraries().release_zeros(encoder._context.priv_data)
    assert released * mmap.PAGESIZE > 250_000
    untouched = AacEncoder(1, 64_000, OPTIONS)
    untouched.encode(sound)
    assert encoder.encode(sound) == untouched.encode(sound)

    process = psutil.Process()
    before = process.memory_info().rss
    several = [AacEncoder(1, 64_000, OPTIONS) for _ in range(40)]
    assert (process.memory_info().rss - before) / len(several) < 450_000


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(CodecError, match="aac_coder=best"):
        AacEncoder(1, 64_000, {"aac_coder": "best"})


def test_resampling_mixes_and_slides() -> None:
    tone = (8000 * np.sin(np.arange(3 * RATE) * 2 * np.pi * 440 / RATE)).astype("<i2")
    pcm = np.stack([tone, -tone], axis=1).tobytes()
    resampler = Resampler(((0.5, 0.0), (0.0, 1.0), (0.25, 0.25)))
    size, drift = RATE // 10, RATE // 1000  # each piece should be a little later than where the last one ends
    parts = [
        resampler.resample(pcm[at * 4 : (at + size) * 4], at + at // size * drift)
        for at in range(0, len(tone) - size + 1, size)
    ]
    left, right, mid = (np.frombuffer(b"".join(planes), "<f4") for planes in zip(*parts, strict=True))
    assert np.abs(right).max() == pytest.approx(8000 / 32768, rel=0.01)
    assert np.abs(left + right / 2).max() < 1e-6
    assert np.abs(mid).max() < 1e-6
    longest = 3 * AAC_RATE * (1 + MAX_DRIFT / RATE)
    assert 3 * AAC_RATE < len(left) <= longest
