"""The two sides' transport parameters, as SDP carries them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalParameters:
    """What our side of the SDP says of the transport."""

    ufrag: str
    password: str
    fingerprint: str
    """SHA-256 of the certificate, upper-case hex pairs joined by colons."""
    candidates: tuple[str, ...]
    """Values of `a=candidate` (RFC 8839 section 5.1) in order of preference, IPv4 first."""


@dataclass(frozen=True, slots=True)
class RemoteParameters:
    """What the peer's SDP says of it."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    """(hash function, value); every one of a known function must match the certificate."""
    ice_lite: bool = False
