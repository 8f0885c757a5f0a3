"""What a WHEP player offers, and what it makes of answers as servers write them."""

import pytest

from relay.core.codecs import CODECS
from relay.core.offer import OfferMalformed, OfferRefused
from relay.rtc import sdp
from relay.rtc.receiving_offer import read_receiving_answer, write_receiving_offer
from tests.support.whep_answers import ALL_OF_THEM, ONE_EACH
from tests.unit.rtc.offers import LOCAL, without


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


def test_a_blank_line_before_it_is_no_harm() -> None:
    assert read_receiving_answer("\r\n" + ONE_EACH).tracks == read_receiving_answer(ONE_EACH).tracks


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
