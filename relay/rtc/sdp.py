"""Reading SDP (RFC 8866) as WebRTC writes it (RFC 9429): sections of attributes, codecs, candidates.

Nothing here decides anything; `relay.rtc.answer` does. aiortc's own parser is not used: it knows neither rids nor
`bundle-only`, and stops at an fmtp line without its rtpmap. Text comes from strangers: length and counts are bounded,
and whatever cannot be read is `OfferMalformed`.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aioice.candidate import Candidate

from relay.core.offer import OfferMalformed
from relay.rtc.parameters import RemoteParameters

MAX_SDP = 64 * 1024
_MAX_SECTIONS = 16
_MAX_LINES = 2000
_MAX_CANDIDATES = 64

_M_LINE = re.compile(r"([a-z]+) (\d{1,5})(?:/\d+)? ([A-Za-z0-9/]+)((?: \S+)+)", re.ASCII)
_RTPMAP = re.compile(r"(\d{1,3}) (([^/\s]+)/(\d{1,6})(?:/\d+)?)", re.ASCII)
_ICE = re.compile(r"\S{4,256}")
_FINGERPRINT = re.compile(r"(\S+) +((?:[0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{2})")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_KNOWN_HASHES = ("sha-256", "sha-384", "sha-512")


def _number(text: str, most: int) -> int | None:
    """A decimal number of SDP; None where it is none, or too large."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most:
        return int(text)
    return None


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of a section."""

    payload_type: int
    rtpmap: str
    """As offered: `H264/90000`, `OPUS/48000/2`."""
    name: str
    """Lower case: h264, opus, rtx."""
    clock_rate: int
    parameters: dict[str, str]
    """Format parameters (fmtp), names in lower case; a name without a value has the empty string."""
    feedback: tuple[str, ...]
    """Values of rtcp-fb: `nack`, `nack pli`, `ccm fir`, `goog-remb`."""


@dataclass(slots=True)
class Section:
    """One m= section, or the session's own attributes (`kind` is empty)."""

    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: tuple[str, ...] = ()
    attributes: dict[str, list[str]] = field(default_factory=dict)
    """Values by name in order of appearance; a flag has one empty value."""

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None

    def has(self, name: str) -> bool:
        return name in self.attributes

    @property
    def mid(self) -> str | None:
        return self.first("mid")

    @property
    def direction(self) -> str:
        """`sendrecv` where nothing is said (RFC 8866 section 6.7)."""
        return next((name for name in _DIRECTIONS if name in self.attributes), "sendrecv")

    def codecs(self) -> list[Codec]:
        """In the order of the m= line, which is the sender's order of preference."""
        maps: dict[int, tuple[str, str, int]] = {}
        for value in self.attributes.get("rtpmap", ()):
            if match := _RTPMAP.fullmatch(value):
                maps[int(match[1])] = (match[2], match[3].lower(), int(match[4]))
        found = []
        for text in dict.fromkeys(self.formats):
            payload_type = _number(text, 127)
            if payload_type is not None and payload_type in maps:
                rtpmap, name, clock_rate = maps[payload_type]
                parameters, feedback = self._parameters(text), self._feedback(text)
                found.append(Codec(payload_type, rtpmap, name, clock_rate, parameters, feedback))
        return found

    def _parameters(self, payload_type: str) -> dict[str, str]:
        parameters: dict[str, str] = {}
        for value in self.attributes.get("fmtp", ()):
            head, _, rest = value.partition(" ")
            if head == payload_type:
                for item in rest.split(";"):
                    name, _, setting = item.strip().partition("=")
                    if name:
                        parameters[name.strip().lower()] = setting.strip()
        return parameters

    def _feedback(self, payload_type: str) -> tuple[str, ...]:
        split = (value.partition(" ") for value in self.attributes.get("rtcp-fb", ()))
        return tuple(rest.strip() for head, _, rest in split if head in (payload_type, "*"))

    def extension(self, uri: str) -> int | None:
        """The local identifier of an RTP header extension (RFC 8285 section 5)."""
        for value in self.attributes.get("extmap", ()):
            head, _, rest = value.partition(" ")
            if rest.split(" ")[0] == uri and (number := _number(head.partition("/")[0], 255)):
                return number
        return None

    def ssrcs(self) -> tuple[int | None, int | None]:
        """(media SSRC, RTX SSRC) of the first source (RFC 5576); None where the SDP does not say."""
        for value in self.attributes.get("ssrc-group", ()):
            words = value.split()
            if len(words) == 3 and words[0] == "FID":
                return _number(words[1], 0xFFFFFFFF), _number(words[2], 0xFFFFFFFF)
        for value in self.attributes.get("ssrc", ()):
            return _number(value.split(" ", 1)[0], 0xFFFFFFFF), None
        return None, None


@dataclass(slots=True)
class Description:
    session: Section
    media: list[Section]

    def bundle(self) -> tuple[str, ...]:
        """Mids of the first BUNDLE group (RFC 9143), in its order."""
        for value in self.session.attributes.get("group", ()):
            words = value.split()
            if words and words[0] == "BUNDLE":
                return tuple(words[1:])
        return ()

    def attribute(self, section: Section, name: str) -> list[str]:
        """A section's values of an attribute that may also stand at session level."""
        return section.attributes.get(name) or self.session.attributes.get(name) or []

    def transport(self, section: Section) -> RemoteParameters:
        """ICE credentials and certificate fingerprints that hold for `section`."""
        ufrag = next(iter(self.attribute(section, "ice-ufrag")), "")
        password = next(iter(self.attribute(section, "ice-pwd")), "")
        if not _ICE.fullmatch(ufrag) or not _ICE.fullmatch(password) or len(password) < 22:
            raise OfferMalformed("The SDP has no usable a=ice-ufrag and a=ice-pwd (RFC 8839 section 5.4).")
        fingerprints = tuple(
            (match[1].lower(), match[2].upper())
            for value in self.attribute(section, "fingerprint")
            if (match := _FINGERPRINT.fullmatch(value)) and match[1].lower() in _KNOWN_HASHES
        )
        if not fingerprints:
            raise OfferMalformed("The SDP has no a=fingerprint of SHA-256, SHA-384 or SHA-512 (RFC 8122).")
        return RemoteParameters(ufrag, password, fingerprints, self.session.has("ice-lite"))

    def candidates(self) -> list[Candidate]:
        return usable_candidates(v for section in self.media for v in section.attributes.get("candidate", ()))


def usable_candidates(values: Iterable[str]) -> list[Candidate]:
    """Candidates that can be checked: UDP, component 1, an IP literal, none that holds on one link only (fe80::).

    The rest is left out in silence, names above all: a `.local` name (mDNS) that does not resolve costs a second, and
    the peer's own checks connect without it.
    """
    found: list[Candidate] = []
    for value in values:
        if len(found) == _MAX_CANDIDATES:
            break
        try:
            candidate = Candidate.from_sdp(value.removeprefix("candidate:"))
            address = ipaddress.ip_address(candidate.host)
        except ValueError:
            continue
        udp = candidate.transport.lower() == "udp" and candidate.component == 1
        # An IPv6 zone (%eth0) means an interface of the peer's, and sockets raise for some.
        reachable = 0 < candidate.port < 65536 and "%" not in candidate.host
        reachable &= not (
            address.is_multicast or address.is_unspecified or (address.version == 6 and address.is_link_local)
        )
        if udp and reachable and candidate.type in ("host", "srflx", "relay"):
            found.append(candidate)
    return found


def parse(text: str) -> Description:
    """Reads an offer, an answer or a trickle fragment. `OfferMalformed` with the reason."""
    if len(text) > MAX_SDP:
        raise OfferMalformed(f"The SDP is longer than {MAX_SDP} characters.")
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise OfferMalformed(f"The SDP has more than {_MAX_LINES} lines.")
    description = Description(Section(), [])
    section = description.session
    for line in lines:
        if line.startswith("m="):
            match = _M_LINE.fullmatch(line[2:].strip())
            if match is None or int(match[2]) > 65535:
                raise OfferMalformed("The SDP has a malformed m= line (RFC 8866 section 5.14).")
            if len(description.media) == _MAX_SECTIONS:
                raise OfferMalformed(f"The SDP has more than {_MAX_SECTIONS} media sections.")
            section = Section(match[1], int(match[2]), match[3], tuple(match[4].split()))
            description.media.append(section)
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            section.attributes.setdefault(name.strip(), []).append(value.strip())
        elif line and (len(line) < 2 or line[1] != "="):
            raise OfferMalformed("This is not SDP: a line does not begin with a letter and '=' (RFC 8866 section 5).")
    return description


def parse_session(text: str) -> Description:
    """`parse` for a whole session description: it begins with v=0 and has media."""
    description = parse(text)
    if not text.lstrip().startswith("v=0"):
        raise OfferMalformed("The body is not an SDP session description: it does not begin with v=0.")
    if not description.media:
        raise OfferMalformed("The SDP has no media section.")
    return description
