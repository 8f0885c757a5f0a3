"""Whatever the network does: what comes out is what was sent, whole, in order and decodable."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rtp.network import Harm, Session, picture_index

harms = st.builds(
    Harm,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.2),
    reorder=st.floats(0, 0.3),
    delay=st.floats(0.005, 0.15),
    until=st.just(3.0),
)


def check_what_came_out(session: Session) -> None:
    """Byte for byte, in order, nothing that refers to a picture that did not come out."""
    shown = None
    for unit in session.units:
        index = picture_index(unit.parts)
        assert unit.parts == session.sent_units[index]
        assert unit.key == (len(unit.parts) == 3)
        assert unit.rtp_time % 2**32 == (index * 3000 - 90000) % 2**32
        assert index > (-1 if shown is None else shown)
        assert unit.key or index - 1 == shown
        shown = index
    heard = [int.from_bytes(sound.data[:4], "big") for sound in session.sounds]
    assert all(sound.data == session.sent_sounds[index] for sound, index in zip(session.sounds, heard, strict=True))
    assert all(before < after for before, after in itertools.pairwise(heard))
    for times in ([unit.time for unit in session.units], [sound.time for sound in session.sounds]):
        assert all(before <= after for before, after in itertools.pairwise(times))


@given(harm=harms, seed=st.integers(0, 2**32), rtx=st.booleans())
def test_random_harm(harm: Harm, seed: int, *, rtx: bool) -> None:
    session = Session(harm, seed, rtx=rtx, size=2000)
    session.run(6.0)

    check_what_came_out(session)
    # The network healed at 3 s: by now pictures and sound flow again, up to what is on its way.
    assert picture_index(session.units[-1].parts) >= len(session.sent_units) - 7
    assert int.from_bytes(session.sounds[-1].data[:4], "big") >= len(session.sent_sounds) - 11


@pytest.mark.parametrize("rtx", [True, False])
def test_five_per_cent_of_loss_is_repaired_entirely(*, rtx: bool) -> None:
    session = Session(Harm(loss=0.05, until=8.0), seed=3, rtx=rtx)
    session.run(9.0)

    check_what_came_out(session)
    video, audio = session.reception.stats.tracks
    assert len(session.units) >= len(session.sent_units) - 2
    assert len(session.sounds) >= len(session.sent_sounds) - 2
    assert video.lost == audio.lost == video.dropped == 0
    assert video.recovered > 10
    assert video.rtt == pytest.approx(0.05, abs=0.02)
    assert video.nacks < 3 * video.recovered


def test_without_harm_nothing_is_asked_for() -> None:
    session = Session(Harm())
    session.run(3.0)

    check_what_came_out(session)
    for track in session.reception.stats.tracks:
        assert (track.nacks, track.plis, track.lost, track.dropped, track.late) == (0, 0, 0, 0, 0)
    # Each picture in the tick in which its last packet came.
    assert all(unit.time == pytest.approx(unit.arrival, abs=0.015) for unit in session.units)
