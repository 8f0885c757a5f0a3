import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtmp import amf0

names = st.text(min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(values, max_size=5))
def test_values_come_back_as_they_went(given_values):
    assert amf0.decode(amf0.encode(*given_values)) == given_values


def test_bytes_are_those_of_the_specification():
    assert amf0.encode("ab", 1.0, True, None) == bytes.fromhex("02 0002 6162  00 3ff0000000000000  01 01  05")
    assert amf0.encode({"a": 1}) == bytes.fromhex("03 0001 61 00 3ff0000000000000 0000 09")
    assert amf0.encode(amf0.EcmaArray(a=None)) == bytes.fromhex("08 00000001 0001 61 05 0000 09")
    assert amf0.encode([True]) == bytes.fromhex("0a 00000001 0101")


def test_forms_that_are_only_read():
    undefined, unsupported = b"\x06", b"\x0d"
    date = b"\x0b" + bytes.fromhex("4090000000000000") + b"\0\0"
    xml = b"\x0f\0\0\0\x03<a>"
    typed = b"\x10\0\x01T\0\x01a\x05\0\0\x09"
    assert amf0.decode(undefined + unsupported + date + xml + typed) == [None, None, 1024.0, "<a>", {"a": None}]


def test_a_long_string():
    text = "x" * 70_000
    assert amf0.encode(text)[0] == 12
    assert amf0.decode(amf0.encode(text)) == [text]


def test_an_ecma_array_whose_count_is_wrong():
    assert amf0.decode(b"\x08\xff\xff\xff\xff\0\x01a\x05\0\0\x09") == [{"a": None}]


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        b"\x02\0\x05ab",
        b"\x0a\xff\xff\xff\xff",
        b"\x03\0\x01a",
        b"\x07\0\0",
        b"\x63",
        b"\x0a\0\0\0\x01" * 40 + b"\x05",
        b"\x05" * 5000,
    ],
)
def test_malformed_or_beyond_bounds(data):
    with pytest.raises(amf0.Amf0Error):
        amf0.decode(data)


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_else(data):
    try:
        amf0.decode(data)
    except amf0.Amf0Error:
        return


def test_what_has_no_form():
    with pytest.raises(amf0.Amf0Error):
        amf0.encode({"": 1})
    with pytest.raises(amf0.Amf0Error):
        amf0.encode(object())
