"""What the default coder makes is heard alike by FFmpeg's decoder, by faad and by Chromium."""

import base64
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from relay.core.aac import SILENCE
from relay.push.transcode import AAC_SAMPLES
from relay.push.transcode.coders import make_coder
from tests.support import programme
from tests.support.browser import browser
from tests.support.coding import at_aac_rate, code, decode
from tests.support.debian import need
from tests.support.programme import Sound

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


@cache
def units() -> tuple[bytes, tuple[bytes, ...]]:
    """Two channels, one on both, none; loud and with blows; and back."""
    nothing = programme.silence(1)
    parts = (programme.music(), programme.voice(), nothing, programme.tone(1.0), nothing, programme.apart())
    sound = at_aac_rate(np.concatenate([part[:, : 3 * programme.RATE] for part in parts], axis=1))
    coder = make_coder("paired", 128_000)
    return coder.config, tuple(code(coder, sound))


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
def reference() -> Sound:
    config, blocks = units()
    return np.concatenate([np.zeros((2, AAC_SAMPLES), np.float32), decode(config, blocks)], axis=1)


def test_all_kinds_are_among_them() -> None:
    _, blocks = units()
    assert blocks.count(SILENCE) > 50
    common = [block[0] & 1 for block in blocks if block != SILENCE]
    assert common.count(0) > 100
    assert common.count(1) > 100
    assert np.abs(reference()).max() > 0.95


def test_faad_hears_the_same(tmp_path: Path) -> None:
    need("faad")
    source, out = tmp_path / "sound.aac", tmp_path / "sound.raw"
    source.write_bytes(adts(units()[1]))
    subprocess.run(["faad", "-q", "-b", "4", "-f", "2", "-o", out, source], check=True, timeout=60)
    assert_alike(np.fromfile(out, "<f4").reshape(-1, 2).T, reference())


@pytest.mark.alone
async def test_chromium_hears_the_same() -> None:
    text = base64.b64encode(adts(units()[1])).decode()
    async with browser() as started:
        page = await started.new_page()
        channels = await page.evaluate(_DECODE, text)
    assert_alike(np.stack([np.frombuffer(base64.b64decode(one), "<f4") for one in channels]), reference())
