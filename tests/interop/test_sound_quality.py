"""The relay's AAC coders on speech, music and noise: how near it is to FFmpeg's best, and what it costs in bits."""

from functools import cache

import numpy as np
import pytest

from relay.push.transcode import AAC_RATE, AAC_SAMPLES
from relay.push.transcode.coders import CoderName, make_coder
from tests.support import programme
from tests.support.coding import at_aac_rate, code, through
from tests.support.programme import PROGRAMME, Sound
from tests.support.quality import segmental_snr

OURS = pytest.mark.parametrize("coder", ["lean", "paired"])


@cache
def heard(name: str, coder: CoderName) -> tuple[Sound, Sound]:
    """Four seconds of the source, and what is left of them."""
    return through(at_aac_rate(PROGRAMME[name]()[:, : 4 * programme.RATE]), coder)


@pytest.mark.parametrize("name", ["voice", "voice, panned", "music", "music, narrow", "noise"])
@OURS
def test_as_good_as_twoloop(coder: CoderName, name: str) -> None:
    assert segmental_snr(*heard(name, coder)) >= segmental_snr(*heard(name, "twoloop")) - 1


@pytest.mark.parametrize("name", ["voice", "music", "noise", "apart"])
@OURS
def test_the_bit_rate_is_what_was_asked_for_at_most(coder: CoderName, name: str) -> None:
    sound = at_aac_rate(PROGRAMME[name]())
    units = code(make_coder(coder, 128_000), sound)
    rate = sum(map(len, units)) * 8 * AAC_RATE / AAC_SAMPLES / len(units)
    assert rate <= 128_000 * (1.06 if coder == "paired" else 1)
    assert max(map(len, units)) * 8 <= 6144 * 2


@pytest.mark.parametrize("name", ["apart", "noise", "music"])
@OURS
def test_left_and_right_stay_as_different_as_they_were(coder: CoderName, name: str) -> None:
    source, got = heard(name, coder)
    widths = [np.square(both[0] - both[1]).sum() / np.square(both[0] + both[1]).sum() for both in (source, got)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert abs(np.corrcoef(got)[0, 1] - np.corrcoef(source)[0, 1]) <= 0.03


@OURS
def test_what_is_the_same_on_both_sides_stays_the_same(coder: CoderName) -> None:
    _, got = heard("voice", coder)
    assert np.array_equal(got[0], got[1])
