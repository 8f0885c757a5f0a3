"""What every answer agrees on and says about the one transport of its sections (RFC 9143, RFC 8842), whoever sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aioice.candidate import Candidate

from relay.core.offer import OfferMalformed, OfferRefused
from relay.rtc import sdp
from relay.rtc.parameters import LocalParameters, RemoteParameters

Role = Literal["client", "server"]
_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP")


@dataclass(frozen=True, slots=True)
class Agreement:
    """The transport that the two sides have agreed on."""

    offer: sdp.Description
    """What the peer has said: its offer, or its answer to one of ours."""
    taken: tuple[int, ...]
    """Indices of the sections that are taken."""
    role: Role
    """Our DTLS role."""
    remote: RemoteParameters
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says to one section, besides the transport."""

    payload_types: Sequence[int]
    direction: Literal["recvonly", "sendonly"]
    attributes: Sequence[str]
    """Whole a= lines."""
    bandwidth: Sequence[str] = ()
    """Whole b= lines."""


def is_offered(section: sdp.Section) -> bool:
    """Audio or video that is not rejected by its own offer (port 0 with bundle-only is offered, RFC 9143 section 6)."""
    return section.kind in ("audio", "video") and (section.port != 0 or section.has("bundle-only"))


def check(section: sdp.Section) -> None:
    """`OfferRefused` where the section is not RTP as WebRTC has it."""
    if section.protocol not in _PROTOCOLS:
        raise OfferRefused(
            f"The {section.kind} section is offered over {section.protocol[:40]}; only DTLS-SRTP is taken."
        )
    if not section.has("rtcp-mux"):
        raise OfferRefused(
            f"The {section.kind} section has no a=rtcp-mux (RFC 5761), which is required here. "
            'Use rtcpMuxPolicy "require".'
        )


def agree(offer: sdp.Description, taken: Sequence[int]) -> Agreement:
    """`OfferMalformed` or `OfferRefused`. `taken`: indices of sections, at least one."""
    sections = [offer.media[index] for index in taken]
    if len(sections) > 1 and not {section.mid for section in sections} <= set(offer.bundle()):
        raise OfferRefused(
            "The offer does not bundle its audio and video (a=group:BUNDLE, RFC 9143). "
            'Make the peer connection with bundlePolicy "max-bundle".'
        )
    first = sections[0]
    return Agreement(offer, tuple(taken), _role(offer, first), offer.transport(first), tuple(offer.candidates()))


def _role(offer: sdp.Description, section: sdp.Section) -> Role:
    """RFC 8842. Passive wherever there is a choice: aiortc as a client refuses an RSA certificate."""
    setup = next(iter(offer.attribute(section, "setup")), None)
    if setup in ("actpass", "active"):
        return "server"
    if setup == "passive":
        return "client"
    raise OfferMalformed("The SDP has no usable a=setup: it must be actpass, active or passive (RFC 8842).")


def write(agreement: Agreement, replies: Mapping[int, Reply], local: LocalParameters, *, session_id: int) -> str:
    """The answer's text; `replies` by the sections' indices, the others are rejected."""
    offer = agreement.offer
    lines = ["v=0", f"o=- {session_id} 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    mids = {offer.media[index].mid for index in agreement.taken}
    if group := [mid for mid in offer.bundle() if mid in mids]:
        lines.append(f"a=group:BUNDLE {' '.join(group)}")
    for index, section in enumerate(offer.media):
        if index in replies:
            lines += _section(section, replies[index], local, agreement.role)
            if index == agreement.taken[0]:  # the group's transport is described once (RFC 9143 section 7.1.3)
                lines += [f"a=candidate:{candidate}" for candidate in local.candidates] + ["a=end-of-candidates"]
        else:
            lines += [f"m={section.kind} 0 {section.protocol} {section.formats[0]}", "c=IN IP4 0.0.0.0"]
            lines += [f"a=mid:{section.mid}"] * (section.mid is not None) + ["a=inactive"]
    return "\r\n".join(lines) + "\r\n"


def _section(section: sdp.Section, reply: Reply, local: LocalParameters, role: Role) -> list[str]:
    host, port = local.candidates[0].split()[4:6]
    payload_types = " ".join(map(str, reply.payload_types))
    lines = [f"m={section.kind} {port} {section.protocol} {payload_types}", f"c=IN IP{6 if ':' in host else 4} {host}"]
    lines += reply.bandwidth
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    lines += [f"a={reply.direction}", "a=rtcp-mux"]
    if section.has("rtcp-rsize"):
        lines.append("a=rtcp-rsize")
    lines += reply.attributes
    lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}", "a=ice-options:trickle"]
    lines += [f"a=fingerprint:sha-256 {local.fingerprint}"]
    lines += [f"a=setup:{'active' if role == 'client' else 'passive'}"]
    return lines


def rtx_of(codec: sdp.Codec, codecs: Sequence[sdp.Codec]) -> sdp.Codec | None:
    """The codec's retransmissions (RFC 4588), where the section has them."""
    apt = str(codec.payload_type)
    return next((c for c in codecs if c.name == "rtx" and c.parameters.get("apt") == apt), None)


def rtx_lines(codec: sdp.Codec, rtx: sdp.Codec | None) -> list[str]:
    if rtx is None:
        return []
    return [f"a=rtpmap:{rtx.payload_type} {rtx.rtpmap}", f"a=fmtp:{rtx.payload_type} apt={codec.payload_type}"]


def choose_opus(codecs: Sequence[sdp.Codec]) -> sdp.Codec:
    """`OfferRefused` where there is none."""
    for codec in codecs:
        if codec.name == "opus" and codec.clock_rate == 48000:
            return codec
    raise OfferRefused("The offer's audio has no Opus. Offer opus/48000/2 (RFC 7587), which every browser has.")
