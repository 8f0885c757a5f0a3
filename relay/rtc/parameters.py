"""The two sides' transport parameters, as SDP carries them, and what a transport counts."""

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


@dataclass(slots=True)
class TransportStats:
    datagrams: int = 0
    """SRTP and SRTCP datagrams that passed authentication."""
    refused: int = 0
    """Datagrams that did not: forged, replayed, too long."""
    malformed: int = 0
    """STUN that could not be read, and STUN and DTLS of strangers or too much of it."""
    sent: int = 0
    unsent: int = 0
