"""Which video codec of an offer is taken, by what the deployment allows."""

import pytest

from relay.core.codecs import CODECS
from relay.core.offer import OfferRefused
from relay.rtc.answer import decide
from relay.rtc.sdp import Codec
from relay.rtc.video_codec import answered_parameters, choose
from tests.unit.rtc.offers import offer


def codec(name: str, number: int, **parameters: str) -> Codec:
    return Codec(number, f"{name}/90000", name.lower(), 90000, parameters, ("nack", "nack pli"))


FIREFOX = [codec("VP8", 120), codec("rtx", 124, apt="120"), codec("VP9", 121), codec("AV1", 99)]
H264 = codec("H264", 102, **{"packetization-mode": "1", "profile-level-id": "42e01f"})


@pytest.mark.parametrize("enhanced", [(), tuple(CODECS)])
def test_h264_wherever_it_is_offered(enhanced: tuple[str, ...]) -> None:
    assert choose([*FIREFOX, H264], enhanced) is H264


def test_else_the_senders_first_choice_among_those_allowed() -> None:
    assert choose(FIREFOX, ("vp8",)).name == "vp8"
    assert choose(FIREFOX, tuple(CODECS)).name == "vp8"
    assert choose(FIREFOX[::-1], ("vp8",)).name == "vp8"


def test_none_that_is_allowed_is_refused_with_what_there_is() -> None:
    with pytest.raises(OfferRefused, match="codecs offered: VP8, VP9, AV1") as refused:
        choose(FIREFOX, ())
    assert "this relay takes" not in refused.value.detail
    with pytest.raises(OfferRefused, match="this relay takes VP8"):
        choose([codec("VP9", 121)], ("vp8",))


def test_another_clock_rate_is_another_codec() -> None:
    with pytest.raises(OfferRefused):
        choose([Codec(120, "VP8/48000", "vp8", 48000, {}, ())], ("vp8",))


def test_only_known_parameters_are_answered() -> None:
    assert answered_parameters(codec("VP8", 120, **{"max-fs": "12288"})) == []


def test_the_track_knows_its_codec() -> None:
    tracks = decide(offer("firefox-vp8"), ("vp8",)).tracks
    assert [(track.kind, track.codec, track.payload_type) for track in tracks] == [
        ("audio", "", 109),
        ("video", "vp8", 120),
    ]
    assert [track.codec for track in decide(offer("cr-basic"), ("vp8",)).tracks] == ["", "h264"]
