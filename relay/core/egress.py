"""Egress policy: which addresses the relay may connect to where others name them (RFC 6890, RFC 9637).

Public is what the IANA registries of special-purpose addresses leave over; an IPv6 address that carries an IPv4 address
of another network (mapped, NAT64, 6to4, Teredo) is as public as that. The table stands here because what `ipaddress`
calls global differs from one Python to the next.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSAL = (
    "the host is, or stands for, an address that is not public: "
    "name a public server, or have its network allowed (RELAY_EGRESS)"
)

_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and the clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_MAX_ALLOWED = 1000
_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})
_NUMBER = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]*)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")


class ForbiddenAddress(Exception):
    """The policy does not let the relay connect there. Its words are the same for every address."""

    def __init__(self) -> None:
        super().__init__(REFUSAL)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public addresses, networks by name, or everything."""

    public: bool = True
    networks: tuple[Network, ...] = ()
    """Allowed whether public or not."""

    @classmethod
    def parse(cls, text: str) -> "EgressPolicy":
        """`any`, or `public` and networks, separated by commas. `ValueError` says what is none of these."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not words or len(words) > _MAX_ALLOWED:
            raise ValueError("write any, or public and networks such as 10.1.0.0/16, separated by commas")
        networks: list[Network] = []
        for number, word in enumerate((word for word in words if word not in ("any", "public")), 1):
            try:
                networks.append(ip_network(word))
            except ValueError:
                raise ValueError(f"entry {number} besides any and public is no network such as 10.1.0.0/16") from None
        return ANY if "any" in words else cls("public" in words, tuple(networks))

    def allows(self, address: str) -> bool:
        """Whether the relay may connect to this IP address; to what is none, never."""
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        carried = _carried(found)
        if any(part in network for part in (found, *carried) for network in self.networks):
            return True
        return self.public and (all(map(_is_public, carried)) if carried else _is_public(found))

    def require(self, addresses: Iterable[str]) -> None:
        """Raises `ForbiddenAddress` unless every one of a name's addresses is allowed."""
        if not all(map(self.allows, addresses)):
            raise ForbiddenAddress


ANY = EgressPolicy(public=True, networks=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
PUBLIC = EgressPolicy()


def ip_literal(host: str) -> str | None:
    """The IP address that `host` spells, in every spelling that resolvers take: `2130706433`, `0177.1` and `0x7f.1` are
    127.0.0.1. None: it is a name."""
    host = unicodedata.normalize("NFKC", host.translate(_DOTS)).removesuffix(".")
    try:
        return str(ip_address(host))
    except ValueError:
        return _inet_aton(host)


def _inet_aton(host: str) -> str | None:
    """One to four numbers, decimal, octal or hexadecimal, of which the last fills the bytes that are left."""
    numbers = []
    for part in host.split("."):
        match = _NUMBER.fullmatch(part)
        if match is None or len(part) > 16:
            return None
        digits = match["hex"]
        numbers.append(int(digits or "0", 16) if digits is not None else int(part, 8 if match["octal"] else 10))
    *first, last = numbers
    if len(first) > 3 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return str(IPv4Address(int.from_bytes(bytes(first), "big") * 256 ** (4 - len(first)) + last))


def _carried(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses inside an IPv6 address that leads to them."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
