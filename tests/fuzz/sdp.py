"""Targets of SDP: a publisher's and a viewer's offer, trickle fragments, and the answers that our own publisher and our
WHEP player read."""

import socket
from collections.abc import Collection, Sequence

from aioice.candidate import Candidate

from relay.core.codecs import CODECS
from relay.core.offer import OfferRefused
from relay.core.rtp.reception import Reception
from relay.rtc import answer, fragment, offer, sdp, viewer_answer
from relay.rtc.parameters import LocalParameters
from relay.rtc.receiving_offer import read_receiving_answer

LOCAL = LocalParameters(
    ufrag="abcd",
    password="p" * 22,
    fingerprint=":".join(["AB"] * 32),
    candidates=("1 1 udp 2130706431 192.0.2.9 40000 typ host",),
)


def check_candidates(candidates: Sequence[Candidate]) -> None:
    """A socket takes each for an address, and looks no name up."""
    for candidate in candidates:
        family = socket.AF_INET6 if ":" in candidate.host else socket.AF_INET
        socket.inet_pton(family, candidate.host)
        assert 0 < candidate.port < 65536


def answered(text: str, enhanced: Collection[str] = ()) -> str:
    """The answer to an offer, checked; `SessionError` where it is refused."""
    decision = answer.decide(text, enhanced)
    check_candidates(decision.transport.candidates)
    written = answer.write_answer(decision, LOCAL, session_id=1, max_video_bitrate=4000)
    check_answer(written, decision.transport.offer)
    ours = offer.read_answer(written)
    assert ours.taken == {track.kind for track in decision.tracks}
    Reception(decision.tracks, ssrc=1, cname="relay").feedback(1.0)
    return written


def check_answer(written: str, offered: sdp.Description) -> sdp.Description:
    """It is well-formed: nothing of the offer breaks out of its line."""
    assert written.split("\r\n") == [*written.splitlines(), ""]
    assert all(line[:2] in ("v=", "o=", "s=", "t=", "m=", "c=", "b=", "a=") for line in written.splitlines())
    read = sdp.parse_session(written)
    assert len(read.media) == len(offered.media)
    return read


def watched(text: str, profile: int | None = None) -> str:
    """The answer to a viewer's offer, checked; `SessionError` where it is refused."""
    decision = viewer_answer.decide(text, viewer_answer.Pictures(profile=profile))
    check_candidates(decision.transport.candidates)
    sources = {
        outlet.index: viewer_answer.Source(7 + outlet.index, 70 + outlet.index if outlet.rtx else None)
        for outlet in decision.outlets
    }
    written = viewer_answer.write_answer(decision, LOCAL, sources, cname="relay", session_id=1)
    read = check_answer(written, decision.transport.offer)
    for outlet in decision.outlets:
        section = read.media[outlet.index]
        assert section.direction == "sendonly"
        assert section.ssrcs() == (sources[outlet.index].ssrc, sources[outlet.index].rtx_ssrc)
        assert section.codecs()[0].payload_type == outlet.codec.payload_type
    return written


def a_viewers_offer(data: bytes) -> None:
    """First byte: the stream's profile."""
    text = data[1:].decode("utf-8", "replace")
    watched(text, (None, 0x42, 0x4D, 0x64)[data[0] % 4] if data else None)


def an_offer(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        answered(text)
    except OfferRefused:
        answered(text, CODECS)


def a_fragment(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    parsed = fragment.parse_fragment(text)
    check_candidates(parsed.candidates)
    values = tuple(candidate.to_sdp() for candidate in parsed.candidates)
    again = fragment.parse_fragment(fragment.write_fragment(parsed.ufrag, parsed.password or "", "0", values))
    assert again.ufrag == parsed.ufrag
    assert tuple(candidate.to_sdp() for candidate in again.candidates) == values
    assert again.complete


def an_answer(data: bytes) -> None:
    read = offer.read_answer(data.decode("utf-8", "replace"))
    assert read.taken


def a_whep_answer(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        decision = read_receiving_answer(text)
    except OfferRefused:
        decision = read_receiving_answer(text, CODECS)
    check_candidates(decision.transport.candidates)
    kinds = [track.kind for track in decision.tracks]
    assert kinds
    assert len(kinds) == len(set(kinds))
    assert decision.transport.role in ("client", "server")
    for track in decision.tracks:
        assert track.codec in CODECS or track.kind == "audio"
    extension, remb = decision.transport_extension, decision.remb
    Reception(decision.tracks, ssrc=1, cname="relay", transport_extension=extension, remb=remb).feedback(1.0)
