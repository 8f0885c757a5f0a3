"""What a WHEP player offers, and what it makes of answers as servers write them."""

import pytest

from relay.core.codecs import CODECS
from relay.core.offer import OfferMalformed, OfferRefused
from relay.rtc import sdp
from relay.rtc.receiving_offer import read_receiving_answer, write_receiving_offer
from tests.unit.rtc.offers import LOCAL, without

_TRANSPORT = "a=ice-ufrag:abcd\na=ice-pwd:pppppppppppppppppppppp\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\n"
# One payload type for each kind, as SRS does.
ONE_EACH = f"""v=0
o=SRS 1 2 IN IP4 0.0.0.0
s=SRSPlaySession
t=0 0
a=ice-lite
a=group:BUNDLE 0 1
a=msid-semantic: WMS live/livestream
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
{_TRANSPORT}a=setup:passive
a=mid:0
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1;stereo=1
a=ssrc:1000 cname:x
a=candidate:0 1 udp 2130706431 192.0.2.1 8000 typ host generation 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
{_TRANSPORT}a=setup:passive
a=mid:1
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 H264/90000
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=ssrc:2000 cname:x
a=candidate:0 1 udp 2130706431 192.0.2.1 8000 typ host generation 0
""".replace("\n", "\r\n")
# All that was offered comes back, and what is sent is any of it, as Pion and MediaMTX do.
ALL_OF_THEM = f"""v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {":".join(["CD"] * 32)}
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=setup:active
a=mid:0
a=ice-ufrag:uuuu
a=ice-pwd:{"q" * 22}
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=candidate:1 1 udp 2130706431 192.0.2.2 8189 typ host
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 100
c=IN IP4 0.0.0.0
a=setup:active
a=mid:1
a=bundle-only
a=sendonly
a=rtcp-mux
a=extmap:2 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:98 H264/90000
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtcp-fb:98 nack
a=rtcp-fb:98 transport-cc
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:96 H264/90000
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:100 VP8/90000
""".replace("\n", "\r\n")


def test_the_offer_has_what_servers_look_for() -> None:
    text = write_receiving_offer(LOCAL, session_id=7)
    offer = sdp.parse_session(text)
    assert offer.bundle() == ("0", "1")
    assert [section.kind for section in offer.media] == ["audio", "video"]
    for section in offer.media:
        assert section.direction == "recvonly"
        assert section.has("rtcp-mux")
        assert section.first("setup") == "actpass"
        assert offer.transport(section).ufrag == "abcd"
    (opus,) = offer.media[0].codecs()
    assert (opus.payload_type, opus.rtpmap, opus.parameters["stereo"]) == (111, "opus/48000/2", "1")
    codecs = offer.media[1].codecs()
    h264 = [codec for codec in codecs if codec.name == "h264"]
    assert {codec.parameters["profile-level-id"][:2] for codec in h264} == {"42", "4d", "64"}
    assert [codec.parameters["packetization-mode"] for codec in h264] == ["1"] * 5 + ["0"]
    for codec in h264:
        assert {"nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"} <= set(codec.feedback)
        assert str(codec.payload_type) in [c.parameters["apt"] for c in codecs if c.name == "rtx"]
    assert [candidate.host for candidate in offer.candidates()] == ["192.0.2.9", "2001:db8::9"]
    assert "a=end-of-candidates" in text
    assert "a=end-of-candidates" not in write_receiving_offer(LOCAL, session_id=7, complete=False)


def test_other_codecs_come_after_h264_and_no_number_twice() -> None:
    offer = sdp.parse_session(write_receiving_offer(LOCAL, session_id=7, enhanced=tuple(CODECS)))
    codecs = [codec for section in offer.media for codec in section.codecs()]
    numbers = [codec.payload_type for codec in codecs]
    assert len(numbers) == len(set(numbers))
    assert all(96 <= number <= 127 for number in numbers)
    names = list(dict.fromkeys(codec.name for codec in codecs if codec.name != "rtx"))
    assert names == ["opus", "h264", "h265", "av1", "vp9", "vp8"]


def test_an_answer_with_one_codec_each() -> None:
    decision = read_receiving_answer(ONE_EACH)
    audio, video = decision.tracks
    assert (audio.kind, audio.payload_type, audio.ssrc) == ("audio", 111, 1000)
    assert (video.kind, video.payload_type, video.ssrc, video.other_payload_types) == ("video", 96, 2000, ())
    assert decision.transport.role == "client"
    assert decision.transport.remote.ice_lite
    assert decision.transport_extension is None  # no a=extmap
    assert not decision.remb
    assert {(candidate.host, candidate.port) for candidate in decision.transport.candidates} == {("192.0.2.1", 8000)}


def test_an_answer_with_everything() -> None:
    decision = read_receiving_answer(ALL_OF_THEM)
    video = decision.tracks[1]
    assert (video.payload_type, video.rtx_payload_type) == (98, 99)
    assert (video.other_payload_types, video.other_rtx_payload_types) == ((96,), (97,))
    assert decision.transport.role == "server"
    assert decision.transport.remote.ufrag == "uuuu"
    assert decision.transport_extension == 2


def test_sound_alone_or_pictures_alone() -> None:
    sound = ONE_EACH.replace("m=video 9", "m=video 0")
    assert [track.kind for track in read_receiving_answer(sound).tracks] == ["audio"]
    sound = ONE_EACH[: ONE_EACH.index("m=video")] + ONE_EACH[ONE_EACH.index("m=video") :].replace(
        "sendonly", "inactive"
    )
    assert [track.kind for track in read_receiving_answer(sound).tracks] == ["audio"]
    assert [t.kind for t in read_receiving_answer(ONE_EACH.replace("m=audio 9", "m=audio 0")).tracks] == ["video"]


def test_a_codec_that_cannot_be_pushed_is_left_out() -> None:
    vp8 = ONE_EACH.replace("H264/90000", "VP8/90000")
    assert [track.kind for track in read_receiving_answer(vp8).tracks] == ["audio"]
    assert [track.codec for track in read_receiving_answer(vp8, ("vp8",)).tracks] == ["", "vp8"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ONE_EACH.replace("sendonly", "recvonly"), OfferRefused),
        (ONE_EACH.replace("m=audio 9", "m=audio 0").replace("m=video 9", "m=video 0"), OfferRefused),
        (ONE_EACH.replace("a=ice-ufrag:abcd", "a=ice-ufrag:efgh", 1), OfferRefused),
        (without(ONE_EACH, "a=ice-ufrag"), OfferMalformed),
        (without(ONE_EACH, "a=setup"), OfferMalformed),
        (without(ONE_EACH, "a=fingerprint"), OfferMalformed),
        ("<html>", OfferMalformed),
        ("v=0\r\n", OfferMalformed),
    ],
)
def test_what_is_of_no_use(answer: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_receiving_answer(answer)
