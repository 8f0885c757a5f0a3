"""What the relay's coders make is heard alike by FFmpeg's decoder, by faad and by Chromium."""

import base64
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from relay.core.aac import SILENCE
from relay.push.transcode import AAC_SAMPLES
from relay.push.transcode.coders import CoderName, make_coder
from tests.support import programme
from tests.support.browser import browser
from tests.support.coding import at_aac_rate, code, decode
from tests.support.debian import need
from tests.support.mdct import EIGHT_SHORT, LONG, START, STOP
from tests.support.programme import Sound
from tests.support.uncompiled import Head

ROUNDING = 2**-17
"""Half of a 16-bit sample's step."""
_DECODE = """async (text) => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const sound = await new OfflineAudioContext(2, 1, 44100).decodeAudioData(bytes.buffer);
  const encode = data => {
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    let out = "";
    for (let at = 0; at < raw.length; at += 8192) out += String.fromCharCode(...raw.subarray(at, at + 8192));
    return btoa(out);
  };
  return [encode(sound.getChannelData(0)), encode(sound.getChannelData(1))];
}"""


CODERS: tuple[CoderName, ...] = "lean", "paired"


@cache
def units(coder: CoderName) -> tuple[bytes, tuple[bytes, ...]]:
    """Two channels, one on both, none; loud and with blows; and back."""
    nothing = programme.silence(1)
    parts = (programme.music(), programme.voice(), nothing, programme.tone(1.0), nothing, programme.apart())
    sound = at_aac_rate(np.concatenate([part[:, : 3 * programme.RATE] for part in parts], axis=1))
    made = make_coder(coder, 128_000)
    return made.config, tuple(code(made, sound))


def adts(blocks: Sequence[bytes]) -> bytes:
    """Each with its header of seven bytes (ISO/IEC 13818-7, 6.2): AAC-LC, 44100 Hz, two channels."""
    fixed = 0xFFF1 << 40 | 1 << 38 | 4 << 34 | 2 << 30 | 0x7FF << 2
    return b"".join((fixed | (len(block) + 7) << 13).to_bytes(7, "big") + block for block in blocks)


def assert_alike(heard: Sound, reference: Sound) -> None:
    """From some frame on, sample for sample: decoders differ in how many they leave out at the beginning."""
    assert heard.shape[1] % AAC_SAMPLES == 0
    assert reference.shape[1] - heard.shape[1] in (0, AAC_SAMPLES, 2 * AAC_SAMPLES)
    length = heard.shape[1]
    assert np.abs(heard[:, AAC_SAMPLES:] - reference[:, -length + AAC_SAMPLES :]).max() <= ROUNDING


@cache
def reference(coder: CoderName) -> Sound:
    config, blocks = units(coder)
    return np.concatenate([np.zeros((2, AAC_SAMPLES), np.float32), decode(config, blocks)], axis=1)


def test_all_kinds_of_paired_are_among_them() -> None:
    _, blocks = units("paired")
    assert blocks.count(SILENCE) > 50
    common = [block[0] & 1 for block in blocks if block != SILENCE]
    assert common.count(0) > 100
    assert common.count(1) > 100
    assert np.abs(reference("paired")).max() > 0.95


def test_all_kinds_of_lean_are_among_them() -> None:
    heads = [Head.of(block) for block in units("lean")[1]]
    assert {head.sequence for head in heads} == {LONG, START, EIGHT_SHORT, STOP}
    assert {head.groups for head in heads if head.sequence == EIGHT_SHORT} >= {1, 2, 3}
    for sequence in (LONG, EIGHT_SHORT):
        assert {head.mid_side for head in heads if head.sequence == sequence} == {True, False}
    assert sum(head.bands == 0 for head in heads) > 50
    assert np.abs(reference("lean")).max() > 0.95


@pytest.mark.parametrize("coder", CODERS)
def test_faad_hears_the_same(coder: CoderName, tmp_path: Path) -> None:
    need("faad")
    source, out = tmp_path / "sound.aac", tmp_path / "sound.raw"
    source.write_bytes(adts(units(coder)[1]))
    subprocess.run(["faad", "-q", "-b", "4", "-f", "2", "-o", out, source], check=True, timeout=60)
    assert_alike(np.fromfile(out, "<f4").reshape(-1, 2).T, reference(coder))


@pytest.mark.alone
async def test_chromium_hears_the_same() -> None:
    """Both coders, in one browser."""
    heard = {}
    async with browser() as started:
        page = await started.new_page()
        for coder in CODERS:
            text = base64.b64encode(adts(units(coder)[1])).decode()
            heard[coder] = await page.evaluate(_DECODE, text)
    for coder, channels in heard.items():
        assert_alike(np.stack([np.frombuffer(base64.b64decode(one), "<f4") for one in channels]), reference(coder))
