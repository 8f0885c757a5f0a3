"""The receiver's estimate: where it starts, what makes it rise and fall, and how REMB tells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtp import rtcp
from relay.core.rtp.bandwidth import CEILING, FLOOR, START, BandwidthEstimate
from relay.core.rtp.reception import ReceptionSettings
from tests.unit.rtp.network import picture, reception, video_sender

NOW = 100.0


def test_it_starts_above_what_senders_begin_with_and_under_the_cap() -> None:
    assert BandwidthEstimate(None).bitrate == START
    assert BandwidthEstimate(1_000_000).bitrate == 1_000_000
    assert BandwidthEstimate(20_000).bitrate == 20_000


def test_it_grows_while_it_is_used() -> None:
    estimate = BandwidthEstimate(None)
    for _ in range(10):
        estimate.update(0.9 * estimate.bitrate, 0.0)
    assert estimate.bitrate > 2 * START
    for _ in range(50):
        estimate.update(0.9 * estimate.bitrate, 0.01)
    assert estimate.bitrate == CEILING


def test_a_sender_with_little_to_send_is_not_held_back() -> None:
    estimate = BandwidthEstimate(None)
    assert {estimate.update(50_000, 0.0) for _ in range(60)} == {START}


def test_some_loss_holds_it() -> None:
    estimate = BandwidthEstimate(None)
    assert {estimate.update(START, 0.05) for _ in range(60)} == {START}


def test_a_narrow_path_is_found_within_seconds() -> None:
    estimate, path = BandwidthEstimate(None), 600_000
    rates: list[int] = []
    for _ in range(20):
        sent = estimate.bitrate
        rates.append(estimate.update(min(sent, path), max(0.0, 1 - path / sent)))
    assert rates[:2] == [START / 2, START / 4]
    assert all(0.95 * path < rate < 1.2 * path for rate in rates[3:])


@given(
    st.one_of(st.none(), st.integers(1, 50_000_000)),
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1)), max_size=100),
)
def test_it_stays_within_its_bounds(ceiling: int | None, updates: list[tuple[float, float]]) -> None:
    estimate = BandwidthEstimate(ceiling)
    for received, loss in updates:
        most = CEILING if ceiling is None else ceiling
        assert min(FLOOR, most) <= estimate.update(received, loss) <= most


def told(cap: int | None, *, lost: float, seconds: int = 6) -> list[int]:
    """REMBs that a reception sends while 250 packets a second come, less `lost` of them."""
    receiver = reception(settings=ReceptionSettings(max_bitrate=cap), remb=True)
    sender = video_sender()
    bitrates: list[int] = []
    count = 0
    for index in range(50 * seconds):
        now = NOW + index / 50
        for packet in sender.send_access_unit(picture(index, key=index == 0), index * 1800, now):
            count += 1
            if count * lost % 1 + lost < 1:
                receiver.receive_rtp(packet, now)
        receiver.poll(now)
        for datagram in receiver.feedback(now):
            for message in rtcp.parse(datagram) or ():
                if isinstance(message, rtcp.Remb):
                    assert message.ssrcs == (sender.ssrc,)
                    bitrates.append(message.bitrate)
    return bitrates


@pytest.mark.parametrize(("cap", "first"), [(None, START), (800_000, 800_000)])
def test_remb_goes_out_each_second(cap: int | None, first: int) -> None:
    bitrates = told(cap, lost=0.0)
    assert len(bitrates) == 6
    assert bitrates[0] == pytest.approx(first, rel=1e-4)
    assert bitrates[-1] >= 0.999 * first
    assert cap is None or max(bitrates) <= cap


def test_remb_falls_with_loss() -> None:
    bitrates = told(None, lost=0.2)
    assert bitrates == sorted(bitrates, reverse=True)
    assert bitrates[-1] < 0.7 * START


def test_without_goog_remb_none_is_sent() -> None:
    receiver = reception(settings=ReceptionSettings(max_bitrate=500_000))
    for packet in video_sender().send_access_unit(picture(0, key=True), 0, NOW):
        receiver.receive_rtp(packet, NOW)
    messages = [message for datagram in receiver.feedback(NOW) for message in rtcp.parse(datagram) or ()]
    assert messages
    assert not any(isinstance(message, rtcp.Remb) for message in messages)
