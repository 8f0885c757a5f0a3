"""Trickle ICE's SDP fragments (RFC 8840 section 9), the body of WHIP's PATCH (RFC 9725 section 4.3.2)."""

from dataclasses import dataclass

from aioice.candidate import Candidate

from relay.core.offer import OfferMalformed
from relay.rtc import sdp


@dataclass(frozen=True, slots=True)
class Fragment:
    ufrag: str
    password: str | None
    candidates: tuple[Candidate, ...]
    complete: bool
    """The sender has no more candidates (a=end-of-candidates)."""


def parse_fragment(text: str) -> Fragment:
    """`OfferMalformed` where it is no fragment, or has no a=ice-ufrag to say whose candidates these are."""
    description = sdp.parse(text)
    parts = [description.session, *description.media]
    ufrag = next((u for part in parts if (u := part.first("ice-ufrag"))), None)
    if ufrag is None:
        raise OfferMalformed("The SDP fragment has no a=ice-ufrag (RFC 8840 section 9).")
    password = next((p for part in parts if (p := part.first("ice-pwd"))), None)
    candidates = sdp.usable_candidates(v for part in parts for v in part.attributes.get("candidate", ()))
    return Fragment(ufrag, password, tuple(candidates), any(part.has("end-of-candidates") for part in parts))


def write_fragment(ufrag: str, password: str, mid: str, candidates: tuple[str, ...]) -> str:
    """Everything that one side has gathered, and that there is no more to come."""
    lines = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "m=audio 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mid}"]
    lines += [f"a=candidate:{candidate}" for candidate in candidates] + ["a=end-of-candidates"]
    return "\r\n".join(lines) + "\r\n"
