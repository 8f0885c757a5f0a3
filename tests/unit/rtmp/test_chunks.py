import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtmp.chunks import ChunkError, ChunkReader, ChunkWriter
from relay.core.rtmp.messages import Message

EDGES = [0, 1, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 40]


def written(*messages: tuple[int, int, int, int, bytes], chunk_size: int = 128) -> bytes:
    writer = ChunkWriter()
    writer.chunk_size = chunk_size
    out: list[bytes | memoryview] = []
    for message in messages:
        writer.write(out, *message)
    return b"".join(out)


def read(data: bytes, chunk_size: int = 128) -> list[Message]:
    reader = ChunkReader(max_message=100_000)
    reader.chunk_size = chunk_size
    return reader.receive(data)


@pytest.mark.parametrize("timestamp", EDGES)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1000])
def test_extended_timestamps_go_round(timestamp, size):
    body = bytes(at & 0xFF for at in range(size))
    assert read(written((6, 9, 1, timestamp, body))) == [Message(9, 1, timestamp % 2**32, body)]


def test_the_extended_timestamp_is_on_every_type_3_chunk():
    data = written((6, 9, 1, 0x01020304, b"v" * 5), chunk_size=2)
    stamp = "01020304"
    assert data.hex(" ", -4).replace(" ", "") == (
        f"06ffffff0000050901000000{stamp}7676" + f"c6{stamp}7676" + f"c6{stamp}76"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([2, 3, 4, 6, 63]),
            st.sampled_from([8, 9, 18, 20]),
            st.integers(0, 2**32 - 1),
            st.sampled_from(EDGES) | st.integers(0, 2**33),
            st.binary(max_size=600),
        ),
        max_size=8,
    ),
    st.integers(1, 700),
    st.lists(st.integers(1, 400), max_size=30),
)
def test_any_messages_in_any_pieces(messages, chunk_size, cuts):
    data = written(*messages, chunk_size=chunk_size)
    reader = ChunkReader(max_message=1000)
    reader.chunk_size = chunk_size
    got: list[Message] = []
    for cut in cuts:
        got += reader.receive(data[:cut])
        data = data[cut:]
    got += reader.receive(data)
    assert got == [Message(kind, stream, stamp % 2**32, body) for _, kind, stream, stamp, body in messages]


def test_a_body_that_fits_is_not_copied():
    writer = ChunkWriter()
    writer.chunk_size = 65536
    body = bytes(50_000)
    out: list[bytes | memoryview] = []
    writer.write(out, 6, 9, 1, 40, body)
    assert out[1] is body


def test_header_forms_and_deltas():
    data = bytes.fromhex(
        "04 0003e8 000001 08 01000000 61"  # type 0 at 1000
        "44 000014 000002 08 6262"  # type 1, delta 20, another size
        "84 000017 6363"  # type 2, delta 23
        "c4 6464"  # type 3: delta again
    )
    assert read(data) == [
        Message(8, 1, 1000, b"a"),
        Message(8, 1, 1020, b"bb"),
        Message(8, 1, 1043, b"cc"),
        Message(8, 1, 1066, b"dd"),
    ]


def test_a_delta_passes_the_wrap():
    data = bytes.fromhex(
        "04 ffffff 000001 08 01000000 fffffff0 61  84 000020 62  84 ffffff 01000000 63  c4 01000000 64"
    )
    assert [message.timestamp for message in read(data)] == [0xFFFFFFF0, 0x10, 0x01000010, 0x02000010]


def test_two_and_three_byte_chunk_stream_ids():
    # 64 is 0 in the second byte; 319 + 1 = 320 is 64 + 0 + 256 * 1.
    data = bytes.fromhex(
        "00 00 000001 000001 08 01000000 61  01 0001 000002 000001 09 01000000 62  c0 00 63  c1 0001 64"
    )
    assert [(message.type, message.body) for message in read(data)] == [(8, b"a"), (9, b"b"), (8, b"c"), (9, b"d")]
    reader = ChunkReader(max_message=10)
    assert [message.body for byte in data for message in reader.receive(bytes((byte,)))] == [b"a", b"b", b"c", b"d"]


def test_chunks_of_several_messages_interleave():
    data = bytes.fromhex("04 000000 000003 08 01000000 6161  06 000000 000003 09 01000000 6262  c4 61  c6 62")
    assert [message.body for message in read(data, chunk_size=2)] == [b"aaa", b"bbb"]


def test_a_peer_that_leaves_the_extended_timestamp_out():
    start = bytes.fromhex("06 ffffff 000005 09 01000000 01020304 7676")
    assert read(start + bytes.fromhex("c6 7676 c6 76"), chunk_size=2) == [Message(9, 1, 0x01020304, b"vvvvv")]


def test_set_chunk_size_and_abort():
    reader = ChunkReader(max_message=1000)
    reader.receive(bytes.fromhex("02 000000 000004 01 00000000 00000003"))
    assert reader.chunk_size == 3
    reader.receive(bytes.fromhex("04 000000 000005 08 01000000 616161"))
    reader.receive(bytes.fromhex("02 000000 000004 02 00000000 000000 c2 04"))
    assert reader.receive(bytes.fromhex("84 000000 626262 c4 6262"))[0].body == b"bbbbb"


def test_a_header_inside_a_message_begins_a_new_one():
    data = bytes.fromhex("04 000000 000005 08 01000000 6161  04 000009 000001 08 01000000 62")
    assert read(data, chunk_size=2) == [Message(8, 1, 9, b"b")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("c4 00", "type 3"),
        ("04 000000 ffffff 08 01000000", "16777215 bytes"),
        ("02 000000 000004 01 00000000 00000000", "chunk size 0"),
        ("02 000000 000004 01 00000000 80000000", "chunk size"),
        ("02 000000 000002 01 00000000 0001", "chunk size"),
    ],
)
def test_beyond_bounds(data, says):
    with pytest.raises(ChunkError, match=says):
        read(bytes.fromhex(data))


def test_too_many_chunk_streams():
    with pytest.raises(ChunkError, match="chunk streams"):
        read(b"".join(written((number, 8, 1, 0, b"")) for number in range(2, 60)))


def test_messages_under_way_are_bounded():
    half = "{:02x} 000000 0003e8 08 01000000 " + "61" * 700
    data = b"".join(bytes.fromhex(half.format(number)) for number in range(3, 30))
    reader = ChunkReader(max_message=1000)
    reader.chunk_size = 700
    with pytest.raises(ChunkError, match="under way"):
        reader.receive(data)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_garbage_raises_nothing_else_and_holds_little(data, step):
    reader = ChunkReader(max_message=500, max_streams=4)
    try:
        for at in range(0, len(data), step):
            reader.receive(data[at : at + step])
            assert len(reader._buffer) <= 500 + 18 + step
            assert reader._pending <= 1000
            assert len(reader._streams) <= 4
    except ChunkError:
        return
