"""RTCP as bytes: packets of other stacks, round trips, and bytes that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtp import rtcp

BLOCK = rtcp.ReportBlock(7, 12, -3, 65536 + 9, 40, 0x12345678, 65536)


def test_reports_and_back() -> None:
    sender = rtcp.SenderReport(1, 0xE0000000_80000000, 90000, 10, 1000, (BLOCK,))
    receiver = rtcp.ReceiverReport(2, (BLOCK, BLOCK))
    data = rtcp.sender_report(sender) + rtcp.receiver_report(receiver) + rtcp.source_description(1, "a@b")

    assert rtcp.parse(data) == [sender, receiver]


@pytest.mark.parametrize(("lost", "told"), [(2**40, 0x7FFFFF), (-(2**40), -0x800000)])
def test_cumulative_loss_stays_at_its_ends(lost: int, told: int) -> None:
    parsed = rtcp.parse(rtcp.receiver_report(rtcp.ReceiverReport(2, (BLOCK._replace(lost=lost),))))
    assert parsed == [rtcp.ReceiverReport(2, (BLOCK._replace(lost=told),))]


@pytest.mark.parametrize("cname", ["", "a", "ab", "abc", "abcd", "ü" * 200])
def test_source_description_is_padded_to_words(cname: str) -> None:
    data = rtcp.source_description(1, cname)
    assert len(data) % 4 == 0
    assert len(data) == 4 * (int.from_bytes(data[2:4], "big") + 1)
    assert data.endswith(b"\x00")
    assert rtcp.parse(data) == []


def test_nack_bytes() -> None:
    # 10 and the bits for 11 and 26; 27 needs an item of its own.
    assert rtcp.nack(1, 2, [10, 11, 26, 27]) == bytes.fromhex("81cd0004 00000001 00000002 000a8001 001b0000")


@given(st.integers(0, 2**20), st.sets(st.integers(0, 3000), min_size=1, max_size=80))
def test_nacks_over_the_wrap(first: int, steps: set[int]) -> None:
    lost = [first + step for step in sorted(steps)]
    assert rtcp.parse(rtcp.nack(1, 2, lost)) == [rtcp.Nack(1, 2, tuple(number & 0xFFFF for number in lost))]


def test_only_so_many_lost_packets_are_read_of_a_datagram() -> None:
    """One that asks for all it has room for costs milliseconds."""
    asked = range(100, 100 + 17 * 150)
    first, second = rtcp.nack(1, 2, asked[:400]), rtcp.nack(1, 3, asked[400:])
    assert rtcp.parse(first + second) == [
        rtcp.Nack(1, 2, tuple(asked[:400])),
        rtcp.Nack(1, 3, tuple(asked[400:512])),
    ]


def test_a_datagram_of_hundreds_of_messages_is_malformed() -> None:
    assert len(rtcp.parse(rtcp.pli(1, 2) * 64) or ()) == 64
    assert rtcp.parse(rtcp.bye([]) * 300) is None


def test_pli_bytes() -> None:
    assert rtcp.pli(1, 2) == bytes.fromhex("81ce0002 00000001 00000002")
    assert rtcp.parse(rtcp.pli(1, 2)) == [rtcp.Pli(1, 2)]


def test_full_intra_request_names_its_sources_in_the_items() -> None:
    data = bytes.fromhex("84ce0006 00000001 00000000 00000005 01000000 00000006 02000000")
    assert rtcp.parse(data) == [rtcp.Fir(1, (5, 6))]


def test_bye_and_back() -> None:
    assert rtcp.parse(rtcp.bye([5, 6])) == [rtcp.Bye((5, 6))]
    # With a reason for leaving.
    assert rtcp.parse(bytes.fromhex("81cb0003 00000005 06 656e64656421 00")) == [rtcp.Bye((5,))]


@given(st.integers(0, 2**34), st.lists(st.integers(0, 2**32 - 1), max_size=3))
def test_remb_and_back(bitrate: int, ssrcs: list[int]) -> None:
    parsed = rtcp.parse(rtcp.remb(1, bitrate, ssrcs))
    assert parsed is not None
    (message,) = parsed
    assert isinstance(message, rtcp.Remb)
    assert message.ssrcs == tuple(ssrcs)
    assert bitrate - bitrate // 2**17 <= message.bitrate <= bitrate


def test_remb_of_chromium() -> None:
    data = bytes.fromhex("8fce0005 00000001 00000000 52454d42 010a5ba8 4a3ee1de")
    assert rtcp.parse(data) == [rtcp.Remb(1, (2 << 16 | 0x5BA8) << 2, (0x4A3EE1DE,))]


def test_reduced_size_unknown_and_padded_packets() -> None:
    unknown = bytes.fromhex("80cf0001 00000001")
    padded = bytes.fromhex("a1ce0003 00000001 00000002 00000004")
    assert rtcp.parse(unknown + rtcp.pli(3, 4) + padded) == [rtcp.Pli(3, 4), rtcp.Pli(1, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "40c90001 00000001",
        "80c90002 00000001",
        "81c90001 00000001",
        "80c80001 00000001",
        "81cd0002 00000001 0000",
    ],
)
def test_malformed(text: str) -> None:
    assert rtcp.parse(bytes.fromhex(text)) is None


@given(st.binary(max_size=120), st.sampled_from([200, 201, 202, 203, 205, 206, 207]), st.integers(0, 255))
def test_any_bytes_are_messages_or_malformed(body: bytes, kind: int, first: int) -> None:
    words = len(body) // 4
    rtcp.parse(bytes((first, kind)) + words.to_bytes(2, "big") + body)
    rtcp.parse(body)
