"""Which windows the AAC encoder chooses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac.encoder.attack import EARLY, LATE, attacks, window_sequence
from relay.core.aac.encoder.memory import FRAME, SHORT
from relay.core.aac.encoder.transform import EIGHT_SHORT, LONG, START, STOP
from tests.support.programme import Sound

FOLLOW = {LONG: {LONG, START}, START: {EIGHT_SHORT}, EIGHT_SHORT: {EIGHT_SHORT, STOP}, STOP: {LONG, START}}
"""A long window's slope overlaps with none of a short one (ISO/IEC 14496-3, 4.6.11.3.2)."""


def found(*blocks: Sound) -> list[int]:
    before = np.zeros(2, np.float32)
    return [attacks(block.astype(np.float32), before) for block in blocks]


def half(place: int) -> int:
    return EARLY if place % FRAME < FRAME // 2 else LATE


def test_windows_follow_each_other_whatever_attacks_there_are() -> None:
    """All states that a new encoder comes to."""
    seen, ahead = set(), [(LONG, 0, 0)]
    while ahead:
        state = ahead.pop()
        if state in seen:
            continue
        seen.add(state)
        previous, first, second = state
        for following in range(4):
            sequence = window_sequence(previous, first, second, following)
            assert sequence in FOLLOW[previous]
            if first & LATE or second & EARLY:
                assert sequence == EIGHT_SHORT
            if not (first | second | following):
                assert sequence in (LONG, STOP) or previous == START
            ahead.append((sequence, second, following))
    assert {sequence for sequence, _, _ in seen} == {LONG, START, EIGHT_SHORT, STOP}


@given(st.integers(0, FRAME - 1), st.floats(0.01, 1), st.integers(0, 3))
def test_an_attack_is_found_in_the_half_where_it_is(place: int, loudness: float, seed: int) -> None:
    sound = np.random.default_rng(seed).choice([-loudness, loudness], 3 * FRAME)
    sound[: FRAME + place] *= 0.001
    assert found(*sound.reshape(3, FRAME))[1:] in (
        [half(place), 0],
        # Of a part that it fills to a small part only, the next one is an attack again.
        [half(place) | half(place + SHORT), 0] if place + SHORT < FRAME else [half(place), EARLY],
    )


@given(st.floats(1e-6, 1), st.integers(0, 3))
def test_steady_sound_has_no_attack_but_its_beginning(loudness: float, seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-loudness, loudness, (4, FRAME))
    assert found(*sound)[1:] == [0, 0, 0]


def test_a_fade_has_none() -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, 4 * FRAME) * np.exp(-np.arange(4 * FRAME) / 300)
    assert found(*sound.reshape(4, FRAME))[1:] == [0, 0, 0]


@pytest.mark.parametrize(("loudness", "audible"), [(1e-4, False), (1e-3, True)])
def test_what_nobody_hears_is_no_attack(loudness: float, audible: bool) -> None:
    sound = np.zeros(FRAME)
    sound[700:] = np.random.default_rng(1).choice([-loudness, loudness], FRAME - 700)
    assert found(sound) == [LATE if audible else 0]
