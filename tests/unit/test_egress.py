"""Which addresses are public, in every spelling."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.egress import ANY, PUBLIC, REFUSAL, EgressPolicy, ForbiddenAddress, ip_literal

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::1%lo",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001:20::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:7f00:1",
    "::10.0.0.1",
    "::8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2001:0:a00:1:8000:63bf:f7f7:f7f7",  # Teredo by a server in 10.0.0.0/8
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    "",
    "name",
    "300.1.1.1",
]
PUBLIC_ONES = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "169.253.1.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:f7f7:f7f7",  # Teredo of 8.8.8.8
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public(address: str) -> None:
    assert not PUBLIC.allows(address)


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_what_is(address: str) -> None:
    assert PUBLIC.allows(address)


@given(st.ip_addresses())
def test_what_python_calls_private_is_not_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert not PUBLIC.allows(str(address))
    if isinstance(address, ipaddress.IPv4Address):
        for carrier in (f"::ffff:{address}", f"64:ff9b::{address}"):
            assert PUBLIC.allows(carrier) == PUBLIC.allows(str(address))
    assert ANY.allows(str(address))


@pytest.mark.parametrize(
    ("spelling", "address"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("0x7f.0.0.0x1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0177.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("010.8.8.8", "8.8.8.8"),
        ("167772161", "10.0.0.1"),
        ("4294967295", "255.255.255.255"),
        ("10.0.257", "10.0.1.1"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
    ],
)
def test_addresses_in_every_spelling(spelling: str, address: str) -> None:
    assert ipaddress.ip_address(ip_literal(spelling) or "") == ipaddress.ip_address(address)


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "example.com",
        "4294967296",
        "256.1",
        "1.256.1.1",
        "1.2.3.4.5",
        "08.8.8.8",
        "1..1",
        "0x7g",
        "1.2.3.x",
    ],
)
def test_what_is_a_name(name: str) -> None:
    assert ip_literal(name) is None


def test_every_address_of_a_name_has_to_be_allowed() -> None:
    PUBLIC.require(["8.8.8.8", "2606:4700:4700::1111"])
    for addresses in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["::1"]):
        with pytest.raises(ForbiddenAddress) as refused:
            PUBLIC.require(addresses)
        assert str(refused.value) == REFUSAL


def test_policies_as_they_are_written() -> None:
    both = EgressPolicy.parse("public, 10.1.0.0/16,fd00:1::/32")
    assert both.allows("8.8.8.8")
    assert both.allows("10.1.2.3")
    assert both.allows("::ffff:10.1.2.3")
    assert both.allows("64:ff9b::10.1.2.3")
    assert both.allows("fd00:1::1")
    assert not both.allows("10.2.0.1")
    inside = EgressPolicy.parse("10.1.0.0/16")
    assert inside.allows("10.1.2.3")
    assert not inside.allows("8.8.8.8")
    assert EgressPolicy.parse("public") == PUBLIC
    assert EgressPolicy.parse("public,any") == ANY
    assert all(ANY.allows(address) for address in [*NOT_PUBLIC[:-3], *PUBLIC_ONES])


@pytest.mark.parametrize("text", ["", ",", "private", "public,10.0.0.1/8", "public,10.0.0.0/40", "public;any"])
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(ValueError, match=r"10\.1\.0\.0/16"):
        EgressPolicy.parse(text)
