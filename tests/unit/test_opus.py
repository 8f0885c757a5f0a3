import pytest

from relay.core.opus import MAX_SAMPLES, Toc, joined, lost_frame, parse_toc


@pytest.mark.parametrize(
    ("config", "milliseconds"),
    [
        *zip(range(12), (10, 20, 40, 60) * 3, strict=True),
        *zip(range(12, 16), (10, 20) * 2, strict=True),
        *zip(range(16, 32), (2.5, 5, 10, 20) * 4, strict=True),
    ],
)
def test_frame_length_of_each_configuration(config: int, milliseconds: float) -> None:
    assert parse_toc(bytes((config << 3, 0))) == Toc(round(milliseconds * 48), 1, 1)


@pytest.mark.parametrize(("code", "frames"), [(0, 1), (1, 2), (2, 2)])
def test_frame_count(code: int, frames: int) -> None:
    toc = parse_toc(bytes((31 << 3 | 4 | code, 0)))
    assert toc == Toc(960, frames, 2)
    assert toc.samples == 960 * frames


def test_code_3_tells_its_frame_count() -> None:
    assert parse_toc(bytes((16 << 3 | 3, 0xC0 | 48))) == Toc(120, 48, 1)


@pytest.mark.parametrize(
    "data",
    [b"", bytes((31 << 3 | 3,)), bytes((31 << 3 | 3, 0)), bytes((31 << 3 | 3, 7)), bytes((3 << 3 | 3, 3))],
    ids=["empty", "no frame count", "no frames", "140 ms", "180 ms"],
)
def test_malformed(data: bytes) -> None:
    assert parse_toc(data) is None


def test_120_ms_is_the_longest() -> None:
    toc = parse_toc(bytes((31 << 3 | 3, 6)))
    assert toc is not None
    assert toc.samples == MAX_SAMPLES


def test_a_lost_frame_keeps_the_configuration_and_has_one_frame() -> None:
    data = bytes((31 << 3 | 4 | 3, 6, 1, 2, 3))
    assert parse_toc(lost_frame(data)) == Toc(960, 1, 2)
    assert len(lost_frame(data)) == 1


def test_packets_joined_are_one_of_several_frames() -> None:
    packets = [b"\xfc" + bytes(size) for size in (0, 1, 251, 252, 255, 1275)]
    with pytest.raises(ValueError, match="cannot be one"):
        joined([*packets, packets[0]])  # 140 ms
    one = joined(packets)
    assert parse_toc(one) == Toc(960, 6, 2)
    assert one.startswith(bytes.fromhex("ff86 00 01 fb fc00 ff00"))
    assert len(one) == 2 + 7 + sum(len(packet) - 1 for packet in packets)


@pytest.mark.parametrize(
    "packets",
    [[], [b""], [b"\xfc1", b""], [b"\xfc1", b"\xf81"], [b"\xfd11", b"\xfd11"], [b"\xff\x011"], [b"\xfc" + bytes(1276)]],
    ids=["none", "empty", "then empty", "mono then stereo", "of two frames", "of code 3", "too long"],
)
def test_what_cannot_be_joined(packets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="cannot be one"):
        joined(packets)
