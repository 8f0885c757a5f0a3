"""The two halves of an SRTP session (RFC 3711), for packets in hand and for packets that lie in a buffer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pylibsrtp

from relay.core.rtp.packet import is_rtcp

MAX_PROTECTED = 1500
"""Bytes of a datagram; the size of pylibsrtp's buffer."""
MIN_PROTECTED = 12
MAX_PLAIN = 1500 - 144
"""Bytes of what can be protected: libsrtp's trailer may be as long."""


@dataclass(frozen=True, slots=True)
class SrtpInput:
    session: pylibsrtp.Session
    handle: Any
    """libsrtp's, valid as long as `session` lives."""
    open_rtp: Callable[[Any, Any, Any], int]
    """srtp_unprotect(handle, packet, length): decrypts where the packet lies, writes its new length; 0: authentic."""
    open_rtcp: Callable[[Any, Any, Any], int]

    def open(self, data: bytes) -> bytes | None:
        """One packet in the clear; None where it is refused: forged, replayed, too long."""
        if not MIN_PROTECTED <= len(data) <= MAX_PROTECTED:
            return None
        session = self.session
        try:
            return session.unprotect_rtcp(data) if is_rtcp(data) else session.unprotect(data)
        except pylibsrtp.Error:
            return None


@dataclass(frozen=True, slots=True)
class SrtpOutput:
    session: pylibsrtp.Session
    handle: Any
    """libsrtp's, valid as long as `session` lives."""
    protect_rtp: Callable[[Any, Any, Any], int]
    """srtp_protect(handle, packet, length): encrypts where the packet lies, writes its new length; 0: done."""
    protect_rtcp: Callable[[Any, Any, Any], int]

    def protect(self, packet: bytes) -> bytes | None:
        """One RTP or RTCP packet as it is sent; None where it is refused: too short, too long."""
        session = self.session
        try:
            return session.protect_rtcp(packet) if is_rtcp(packet) else session.protect(packet)
        except (pylibsrtp.Error, ValueError, IndexError):
            return None


def session_pair() -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Two ends with one key, to measure with: protect, unprotect. AES-256-GCM, which our DTLS prefers."""
    profile, key = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, bytes(range(44))
    outbound, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=kind, srtp_profile=profile))
        for kind in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    )
    return outbound.protect, inbound.unprotect
