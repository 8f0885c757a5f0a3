"""What viewers' offers are answered: the offers of real clients, turned round, and changed in what matters."""

from collections.abc import Callable

import pytest

from relay.core.offer import OfferMalformed, OfferRefused
from relay.rtc import sdp
from relay.rtc.viewer_answer import Decision, Pictures, Source, decide, write_answer
from tests.support.viewing import write_offer
from tests.unit.rtc.offers import FOLDER, LOCAL, NAMES, offer, without

BASELINE, MAIN, HIGH = 0x42, 0x4D, 0x64


def watching(name: str) -> str:
    """The publisher's offer as a viewer would make it."""
    return offer(name).replace("a=sendonly", "a=recvonly")


def answer(text: str, pictures: Pictures = Pictures()) -> sdp.Description:  # noqa: B008  frozen
    return sdp.parse_session(written(decide(text, pictures)))


def written(decision: Decision) -> str:
    sources = {outlet.index: Source(10 + outlet.index, 20 if outlet.rtx else None) for outlet in decision.outlets}
    return write_answer(decision, LOCAL, sources, cname="relay", session_id=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "firefox-vp8"])
def test_offers_of_real_clients(name: str) -> None:
    decision = decide(watching(name))
    kinds = {section.kind for section in sdp.parse_session(watching(name)).media}
    assert {outlet.section.kind for outlet in decision.outlets} == kinds & {"audio", "video"}
    said = sdp.parse_session(written(decision))
    offered = sdp.parse_session(watching(name))
    assert len(said.media) == len(offered.media)
    for outlet in decision.outlets:
        section = said.media[outlet.index]
        assert (section.direction, section.mid, section.kind) == ("sendonly", outlet.section.mid, outlet.section.kind)
        assert section.ssrcs() == (10 + outlet.index, 20 if outlet.rtx else None)
        assert section.codecs()[0].payload_type == outlet.codec.payload_type
        assert said.attribute(section, "setup") in (["passive"], ["active"])


def test_the_answer_of_a_viewer() -> None:
    text = write_offer(LOCAL)
    audio, video = answer(text).media
    assert audio.codecs()[0].feedback == ("nack",)
    assert audio.codecs()[0].parameters["stereo"] == "1"
    h264, rtx = video.codecs()
    # Transport-wide feedback is offered, and of no use to somebody who does not choose the bit rate.
    assert h264.feedback == ("nack", "nack pli", "ccm fir")
    assert h264.parameters == {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": "42e01f",
    }
    assert rtx.parameters == {"apt": "102"}
    assert video.first("msid") == "relay video"
    assert audio.first("msid") == "relay audio"
    assert [len(s.attributes.get("candidate", ())) for s in (audio, video)] == [2, 0]
    assert len(answer(write_offer(LOCAL, rtx=False)).media[1].codecs()) == 1


def h264(*profiles: str) -> str:
    """An offer of these, in this order."""
    text = write_offer(LOCAL, kinds=("video",), rtx=False)
    line = next(line for line in text.splitlines() if "profile-level-id" in line)
    maps = "".join(f"a=rtpmap:{110 + n} H264/90000\r\n" for n in range(len(profiles)))
    lines = "\r\n".join(
        line.replace("fmtp:102", f"fmtp:{110 + n}").replace("42e01f", profile) for n, profile in enumerate(profiles)
    )
    numbers = " ".join(str(110 + n) for n in range(len(profiles)))
    text = text.replace("UDP/TLS/RTP/SAVPF 102", f"UDP/TLS/RTP/SAVPF {numbers}")
    return text.replace("a=rtpmap:102 H264/90000\r\n", maps).replace(line, lines)


@pytest.mark.parametrize(
    ("profiles", "stream", "chosen"),
    [
        (("42001f", "42e01f", "4d001f", "64001f"), None, "42001f"),
        (("64001f", "42e01f"), None, "64001f"),
        (("64001f", "4d001f", "42e01f"), BASELINE, "42e01f"),
        (("42e01f", "64001f", "4d001f"), MAIN, "4d001f"),
        (("42e01f", "4d001f", "640c1f"), HIGH, "640c1f"),
        (("42e01f", "64001f"), MAIN, "64001f"),
        (("58001f", "42e01f"), None, "42e01f"),
    ],
)
def test_the_profile_is_no_less_than_the_streams(profiles: tuple[str, ...], stream: int | None, chosen: str) -> None:
    (video,) = answer(h264(*profiles), Pictures(profile=stream)).media
    assert video.codecs()[0].parameters["profile-level-id"] == chosen


REFUSED: list[tuple[str, Callable[[str], str], Pictures, str]] = [
    ("nothing to receive", lambda text: text.replace("a=recvonly", "a=sendonly"), Pictures(), "/whip/"),
    ("nothing at all", lambda text: text.replace("a=recvonly", "a=inactive"), Pictures(), "recvonly"),
    ("no H.264", lambda text: text.replace("H264/90000", "VP8/90000"), Pictures(), "H.264"),
    ("mode 0", lambda text: text.replace("packetization-mode=1", "packetization-mode=0"), Pictures(), "mode=1"),
    ("mode unsaid", lambda text: text.replace("packetization-mode=1;", ""), Pictures(), "packetization-mode=1"),
    ("too low a profile", lambda text: text, Pictures(profile=HIGH), "profile-level-id=64001f"),
    ("a stream of VP8", lambda text: text, Pictures("vp8"), "VP8"),
    ("no Opus", lambda text: text.replace("opus/48000/2", "PCMU/8000"), Pictures(), "Opus"),
    ("no bundle", lambda text: without(text, "a=group"), Pictures(), "BUNDLE"),
    ("no rtcp-mux", lambda text: without(text, "a=rtcp-mux"), Pictures(), "rtcp-mux"),
    ("plain RTP", lambda text: text.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), Pictures(), "DTLS-SRTP"),
]


@pytest.mark.parametrize(("change", "pictures", "words"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_refusals_name_the_remedy(change: Callable[[str], str], pictures: Pictures, words: str) -> None:
    with pytest.raises(OfferRefused) as refusal:
        decide(change(write_offer(LOCAL)), pictures)
    assert words in refusal.value.detail


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "hello",
        lambda text: text.replace("v=0", "v=1"),
        lambda text: without(text, "a=setup"),
        lambda text: without(text, "a=fingerprint"),
        lambda text: without(text, "a=ice-pwd"),
    ],
)
def test_what_cannot_be_read(change: Callable[[str], str]) -> None:
    with pytest.raises(OfferMalformed):
        decide(change(write_offer(LOCAL)))


def test_one_section_of_each_kind_is_taken() -> None:
    text = write_offer(LOCAL, kinds=("audio", "video", "video", "audio"))
    said = answer(text)
    assert [section.port != 0 for section in said.media] == [True, True, False, False]
    assert said.bundle() == ("0", "1")


@pytest.mark.parametrize(("stream", "chosen"), [(None, "42001f"), (MAIN, "4d001f"), (HIGH, "f4001f")])
def test_what_chromium_offers_to_receive(stream: int | None, chosen: str) -> None:
    text = (FOLDER / "viewers" / "chromium.offer.sdp").read_text()
    audio, video = answer(text, Pictures(profile=stream)).media
    assert [audio.codecs()[0].name, *(codec.name for codec in video.codecs())] == ["opus", "h264", "rtx"]
    assert video.codecs()[0].parameters["profile-level-id"] == chosen


def test_sendrecv_is_answered_sendonly() -> None:
    said = answer(write_offer(LOCAL).replace("a=recvonly", "a=sendrecv"))
    assert [section.direction for section in said.media] == ["sendonly", "sendonly"]


def test_the_sound_of_a_stream_whose_pictures_are_of_no_use() -> None:
    (audio,) = answer(write_offer(LOCAL, kinds=("audio",)), Pictures("vp8")).media
    assert audio.direction == "sendonly"
