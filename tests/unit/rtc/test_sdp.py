"""Reading SDP: what is understood, what is left out, and that nothing a stranger writes raises anything else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.offer import OfferMalformed, SessionError
from relay.rtc import sdp
from relay.rtc.answer import decide, write_answer
from relay.rtc.fragment import parse_fragment, write_fragment
from relay.rtc.offer import Source, read_answer, write_offer
from relay.rtc.simulcast import highest_rid
from tests.unit.rtc.offers import LOCAL, NAMES, offer, without


@pytest.mark.parametrize(
    "value",
    [
        "1 1 udp 2130706431 b3b0e3cc-6bb4-4b1f-9d0c-0f7f2a3d1c11.local 40000 typ host",
        "1 1 udp 2130706431 relay.example.org 40000 typ host",
        "1 2 udp 2130706431 192.0.2.1 40000 typ host",
        "1 1 tcp 1518214911 192.0.2.1 9 typ host tcptype active",
        "1 1 udp 2130706431 192.0.2.1 0 typ host",
        "1 1 udp 2130706431 192.0.2.1 70000 typ host",
        "1 1 udp 2130706431 224.0.0.1 4000 typ host",
        "1 1 udp 2130706431 0.0.0.0 4000 typ host",
        "1 1 udp 2130706431 fe80::1 4000 typ host",
        "1 1 udp x 192.0.2.1 4000 typ host",
        "1 1 udp 2130706431 192.0.2.1 4000 typ wish",
        "1 1 udp",
        "",
    ],
)
def test_candidates_that_are_left_out(value: str) -> None:
    assert sdp.usable_candidates([value]) == []


def test_candidates_are_bounded() -> None:
    values = [f"1 1 UDP 2130706431 192.0.2.1 {port} typ host" for port in range(1000, 3000)]
    assert len(sdp.usable_candidates(values)) == 64


def test_session_level_attributes_hold_for_each_section() -> None:
    text = offer("cr-basic")
    lines = [line for line in text.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd", "a=finger", "a=setup"))]
    head, media = without(text, "a=ice-ufrag", "a=ice-pwd", "a=finger", "a=setup").split("m=", 1)
    moved = head + "\r\n".join(dict.fromkeys(lines)) + "\r\nm=" + media
    assert decide(moved).transport.remote == decide(text).transport.remote


def test_an_fmtp_without_its_rtpmap_is_no_harm() -> None:
    assert decide(offer("cr-basic").replace("a=sendonly", "a=fmtp:77 x=1\r\na=sendonly")).tracks


def test_all_fingerprints_are_kept() -> None:
    text = offer("cr-basic").replace("a=setup", "a=fingerprint:sha-512 aa:bb\r\na=fingerprint:md5 cc:dd\r\na=setup")
    assert [algorithm for algorithm, _ in decide(text).transport.remote.fingerprints] == ["sha-256", "sha-512"]
    assert decide(text).transport.remote.fingerprints[1][1] == "AA:BB"


@pytest.mark.parametrize(
    ("lines", "rid"),
    [
        (["rid:l send", "rid:m send", "rid:h send", "simulcast:send l;m;h"], "h"),
        (["rid:h send", "rid:m send", "rid:l send", "simulcast:send h;m;l"], "h"),
        (["rid:q send", "rid:h send", "rid:f send", "simulcast:send q;h;f"], "f"),
        (["rid:f send", "rid:h send", "rid:q send", "simulcast:send f;h;q"], "f"),
        (["rid:high send", "rid:mid send", "rid:low send", "simulcast:send high;mid;low"], "high"),
        (["rid:0 send", "rid:1 send", "rid:2 send", "simulcast:send 0;1;2"], "2"),
        (["rid:a send", "rid:b send", "rid:c send", "simulcast:send b,c;~a recv x"], "a"),
        (
            ["rid:1 send max-width=640;max-height=360", "rid:2 send max-width=160;max-height=90", "simulcast:send 1;2"],
            "1",
        ),
        (["rid:x send max-br=900000", "rid:y send max-br=90000", "simulcast:send x;y"], "x"),
        (["rid:only send"], "only"),
        (["rid:x recv"], None),
        (["simulcast:send x"], None),
        (["simulcast:send"], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_highest_layer(lines: list[str], rid: str | None) -> None:
    text = "m=video 9 UDP/TLS/RTP/SAVPF 102\r\n" + "".join(f"a={line}\r\n" for line in lines)
    assert highest_rid(sdp.parse(text).media[0]) == rid


def test_trickle_fragment() -> None:
    fragment = parse_fragment(
        "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
        "a=candidate:3471623853 1 udp 2122194687 x.local 61765 typ host\r\na=end-of-candidates\r\n"
    )
    assert (fragment.ufrag, fragment.password, fragment.complete) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", True)
    assert [(c.host, c.port) for c in fragment.candidates] == [("192.0.2.1", 61764)]


@pytest.mark.parametrize("text", ["", "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n", "hello", "m=audio\r\n"])
def test_malformed_fragments(text: str) -> None:
    with pytest.raises(OfferMalformed):
        parse_fragment(text)


def test_our_own_fragment_reads_back() -> None:
    fragment = parse_fragment(write_fragment(LOCAL.ufrag, LOCAL.password, "0", LOCAL.candidates))
    assert (fragment.ufrag, fragment.password, fragment.complete) == (LOCAL.ufrag, LOCAL.password, True)
    assert [c.to_sdp() for c in fragment.candidates] == list(LOCAL.candidates)


@pytest.mark.parametrize("rtx", [None, 12])
def test_our_own_offer_and_answer_understand_each_other(rtx: int | None) -> None:
    sources = (Source("audio", 10, None), Source("video", 11, rtx))
    text = write_offer(sources, LOCAL, session_id=1, cname="c")
    decision = decide(text)
    assert [(t.kind, t.ssrc, t.rtx_ssrc) for t in decision.tracks] == [("audio", 10, None), ("video", 11, rtx)]
    told = read_answer(write_answer(decision, LOCAL, session_id=2))
    assert (told.role, told.taken) == ("client", {"audio", "video"})
    assert [c.host for c in told.candidates] == ["192.0.2.9", "2001:db8::9"]
    assert decide(write_offer(sources, LOCAL, session_id=1, cname="c", candidates=False)).transport.candidates == ()


@given(st.sampled_from(NAMES), st.data())
def test_mangled_offers_raise_nothing_but_a_refusal(name: str, data: st.DataObject) -> None:
    lines = offer(name).splitlines()
    for _ in range(data.draw(st.integers(1, 6))):
        i = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                del lines[i : i + data.draw(st.integers(1, 20))]
            case 1:
                lines[i] = lines[i][: data.draw(st.integers(0, len(lines[i])))]
            case 2:
                lines[i] = lines[i] + data.draw(st.text(max_size=8))
            case _:
                lines.insert(i, data.draw(st.sampled_from(["a=", "m=", "a=rid:", "a=ssrc:² x", "a=extmap:² x"])))
        if not lines:
            break
    with contextlib.suppress(SessionError):
        write_answer(decide("\r\n".join(lines)), LOCAL, session_id=1)
