"""Every real client's offer gets the answer that the media contract demands, read back from its text."""

import base64
import re

import pytest

from relay.core.h264 import parse_sps
from relay.core.offer import OfferMalformed, OfferRefused
from relay.core.rtp import twcc
from relay.rtc import sdp
from relay.rtc.answer import decide, write_answer
from tests.unit.rtc.offers import LOCAL, NAMES, offer, without

REFUSED = {
    "firefox-vp8": ("H.264", "VP8, VP9, AV1", "setCodecPreferences"),
    "twovid": ("more than one video", "session of its own"),
}
TAKEN = [name for name in NAMES if name not in REFUSED]

# name: our setup, kinds, H.264 payload type, its profile, RTX payload type, remote candidates
TABLE = {
    "cr-basic": ("passive", {"audio", "video"}, 102, "42001f", 103, 4),
    "cr-noloop": ("passive", {"audio", "video"}, 102, "42001f", 103, 2),
    "ev-audioonly": ("passive", {"audio"}, None, None, None, 4),
    "ev-videoonly": ("passive", {"video"}, 102, "42001f", 103, 4),
    "ff-cert": ("active", {"audio", "video"}, 106, "42001e", 105, 0),
    "ff-high": ("active", {"audio", "video"}, 106, "64001f", 105, 0),
    "gst-high": ("passive", {"audio", "video"}, 102, "64001e", 96, 1),
    "gst-lo": ("passive", {"audio", "video"}, 102, "42c01e", 96, 1),
    "lib-medooze": ("passive", {"audio", "video"}, 102, "42001f", 103, 0),
    "mdns-fake": ("passive", {"audio", "video"}, 102, "42001f", 103, 0),
    "opus": ("passive", {"audio", "video"}, 102, "42001f", 103, 4),
    "screen": ("passive", {"video"}, 102, "42001f", 103, 4),
    "simulcast": ("passive", {"audio", "video"}, 102, "42001f", 103, 4),
}

# name: identifier of the header extension; GStreamer and FFmpeg do not offer it
TRANSPORT_WIDE = {
    "cr-basic": 3, "cr-noloop": 3, "ev-audioonly": 3, "ev-videoonly": 4, "lib-medooze": 3, "mdns-fake": 3, "opus": 3,
    "screen": 4, "simulcast": 3,
}  # fmt: skip


def answer(text: str, **options: int) -> sdp.Description:
    return sdp.parse_session(write_answer(decide(text), LOCAL, session_id=1, **options))


def section(description: sdp.Description, kind: str) -> sdp.Section:
    (found,) = (s for s in description.media if s.kind == kind and s.port)
    return found


def test_the_table_is_whole() -> None:
    assert sorted(TABLE) == TAKEN


@pytest.mark.parametrize("name", TAKEN)
def test_sections_mirror_the_offer(name: str) -> None:
    setup, kinds, *_ = TABLE[name]
    asked, told = sdp.parse_session(offer(name)), answer(offer(name))
    assert [(s.kind, s.mid) for s in told.media] == [(s.kind, s.mid) for s in asked.media]
    assert {s.kind for s in told.media if s.port} == kinds
    assert told.bundle() == asked.bundle()
    for media in told.media:
        assert media.direction == "recvonly"
        assert media.has("rtcp-mux")
        assert media.first("setup") == setup
        assert media.first("fingerprint") == f"sha-256 {LOCAL.fingerprint}"
        assert (media.first("ice-ufrag"), media.first("ice-pwd")) == (LOCAL.ufrag, LOCAL.password)
    # The offerer's BUNDLE transport is the first section's.
    assert [len(media.attributes.get("candidate", ())) for media in told.media] == [2] + [0] * (len(told.media) - 1)
    assert told.media[0].has("end-of-candidates")
    assert not told.session.has("ice-lite")


@pytest.mark.parametrize("name", [name for name in TAKEN if TABLE[name][2] is not None])
def test_video_is_h264_and_its_retransmissions(name: str) -> None:
    _, _, payload_type, profile, rtx, _ = TABLE[name]
    codecs = section(answer(offer(name)), "video").codecs()
    assert [(c.payload_type, c.name) for c in codecs] == [(payload_type, "h264"), (rtx, "rtx")]
    h264, again = codecs
    assert h264.parameters == {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": profile,
        "x-google-start-bitrate": "2500",
    }
    assert again.parameters == {"apt": str(payload_type)}
    offered = next(c for c in section_offered(name).codecs() if c.payload_type == payload_type)
    extension = section_offered(name).extension(twcc.URI)
    assert set(h264.feedback) == set(offered.feedback) - ({"transport-cc"} if extension is None else set())


def section_offered(name: str) -> sdp.Section:
    return next(s for s in sdp.parse_session(offer(name)).media if s.kind == "video")


@pytest.mark.parametrize("name", [name for name in TAKEN if "audio" in TABLE[name][1]])
def test_audio_is_stereo_opus_with_nack(name: str) -> None:
    (opus,) = section(answer(offer(name)), "audio").codecs()
    assert (opus.name, opus.payload_type, opus.rtpmap.lower()) == ("opus", 111, "opus/48000/2")
    assert opus.parameters == {"minptime": "10", "useinbandfec": "1", "stereo": "1", "maxaveragebitrate": "128000"}
    assert set(opus.feedback) == {"nack"} | ({"transport-cc"} if name in TRANSPORT_WIDE else set())


@pytest.mark.parametrize("name", TAKEN)
def test_header_extensions_are_few(name: str) -> None:
    """Not video-orientation: the sender rotates the pixels then."""
    asked, told = sdp.parse_session(offer(name)), answer(offer(name))
    for theirs, ours in zip(asked.media, told.media, strict=True):
        offered = set(theirs.attributes.get("extmap", ()))
        answered = ours.attributes.get("extmap", [])
        assert set(answered) <= offered
        wanted = {"mid"} | ({"rtp-stream-id", "repaired-rtp-stream-id"} if theirs.has("simulcast") else set())
        names = {a.rpartition(":")[2].rpartition("/")[2] for a in answered}
        transport_wide = {twcc.URI.rpartition("/")[2]} if name in TRANSPORT_WIDE else set()
        assert names == (wanted | transport_wide if offered else set())


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_told_to_reception(name: str) -> None:
    decision = decide(offer(name))
    _, kinds, payload_type, _, rtx, candidates = TABLE[name]
    assert {t.kind for t in decision.tracks} == kinds
    assert len(decision.transport.candidates) == candidates
    for track in decision.tracks:
        assert track.nack
        if track.kind == "video":
            assert (track.payload_type, track.clock_rate, track.rtx_payload_type) == (payload_type, 90000, rtx)
        else:
            assert (track.payload_type, track.clock_rate, track.rtx_payload_type) == (111, 48000, None)
        assert (track.ssrc is None) == (name == "simulcast" and track.kind == "video")


def test_parameter_sets_that_the_offer_gives() -> None:
    assert decide(offer("cr-basic")).tracks[1].parameter_sets == ()
    for name in ("gst-high", "gst-lo"):
        sps, pps = next(t for t in decide(offer(name)).tracks if t.kind == "video").parameter_sets
        assert parse_sps(sps).width == 640
        assert pps[:2] in (b"\x68\xef", b"\x68\xce")
        assert "sprop" not in write_answer(decide(offer(name)), LOCAL, session_id=1)


@pytest.mark.parametrize(
    "value",
    ["", ",", "Z0LAHtoCgL/lwFqDAwNSgAAAAwCAAAAeR4sXUA==",
     "aM48gA==", "Z0LAHg==,aM48gA==", "=,aM48gA==", "*", "a", "AAAA",
     "aM48gA==," * 20],
)  # fmt: skip
def test_parameter_sets_that_are_none(value: str) -> None:
    given = "Z0LAHtoCgL/lwFqDAwNSgAAAAwCAAAAeR4sXUA==,aM48gA=="
    assert given in offer("gst-lo")
    assert all(track.parameter_sets == () for track in decide(offer("gst-lo").replace(given, value)).tracks)


def test_parameter_sets_of_h265_that_the_offer_gives() -> None:
    # x265's of 160x120.
    sets = {
        "sprop-vps": "QAEMAf//AWAAAAMAkAAAAwAAAwA8ugJA",
        "sprop-sps": "QgEBAWAAAAMAkAAAAwAAAwA8oBQgIHy5bpKTC5oCAAADAAIAAAMAPBA=",
        "sprop-pps": "RAHAc8CJ",
    }
    fmtp = ";".join(f"{name}={value}" for name, value in sets.items())
    text = offer("gst-lo").replace("H264/90000", "H265/90000")
    given = re.sub(r"a=fmtp:102 .*", f"a=fmtp:102 {fmtp}", text)
    (video,) = (track for track in decide(given, ("h265",)).tracks if track.kind == "video")
    assert video.parameter_sets == tuple(base64.b64decode(value) for value in sets.values())
    without_pps = given.replace(";sprop-pps=", ";sprop-ppx=")
    assert all(track.parameter_sets == () for track in decide(without_pps, ("h265",)).tracks)


@pytest.mark.parametrize("name", TAKEN)
def test_transport_wide_feedback_where_it_is_offered_whole(name: str) -> None:
    decision = decide(offer(name))
    assert decision.transport_extension == TRANSPORT_WIDE.get(name)
    assert decision.remb == (name in TRANSPORT_WIDE and TABLE[name][2] is not None)


def test_transport_wide_feedback_takes_both_the_extension_and_the_feedback() -> None:
    both = offer("cr-basic")
    assert both.count("transport-cc") > 2
    told = answer(both)
    for kind in ("audio", "video"):
        assert section(told, kind).extension(twcc.URI) == 3
        assert "transport-cc" in section(told, kind).codecs()[0].feedback

    for text in (without(both, f"a=extmap:3 {twcc.URI}"), re.sub(r"a=rtcp-fb:\d+ transport-cc\r?\n", "", both)):
        assert decide(text).transport_extension is None
        assert "transport" not in write_answer(decide(text), LOCAL, session_id=1)
        assert decide(text).remb


def test_transport_wide_feedback_of_video_alone() -> None:
    text = offer("cr-basic").replace("a=rtcp-fb:111 transport-cc", "a=x")
    told = answer(text)
    assert decide(text).transport_extension == 3
    assert section(told, "video").extension(twcc.URI) == 3
    assert section(told, "audio").extension(twcc.URI) is None
    assert section(told, "audio").codecs()[0].feedback == ("nack",)


def test_one_number_of_the_extension_for_the_transport() -> None:
    audio, separator, video = offer("cr-basic").partition("m=video")
    text = audio + separator + video.replace(f"a=extmap:3 {twcc.URI}", f"a=extmap:12 {twcc.URI}")
    told = answer(text)
    assert decide(text).transport_extension == 3
    assert section(told, "audio").extension(twcc.URI) == 3
    assert section(told, "video").extension(twcc.URI) is None


def test_source_identifiers() -> None:
    audio, video = decide(offer("cr-basic")).tracks
    assert (audio.ssrc, audio.rtx_ssrc) == (2571246781, None)
    assert (video.ssrc, video.rtx_ssrc) == (1157300435, 3835658388)


def test_simulcast_takes_exactly_one_layer() -> None:
    video = section(answer(offer("simulcast")), "video")
    assert video.attributes["rid"] == ["h recv"]
    assert video.attributes["simulcast"] == ["recv h"]


def test_bit_rate_cap() -> None:
    text = write_answer(decide(offer("cr-basic")), LOCAL, session_id=1, max_video_bitrate=1200)
    audio, video = text.split("m=")[1:]
    assert "b=" not in audio
    assert "b=AS:1200\r\nb=TIAS:1200000\r\n" in video
    assert "x-google-start-bitrate=1200\r\n" in video
    assert "b=" not in write_answer(decide(offer("cr-basic")), LOCAL, session_id=1)


def test_line_order_is_that_of_rfc_8866() -> None:
    text = write_answer(decide(offer("cr-basic")), LOCAL, session_id=7, max_video_bitrate=2000)
    assert text.endswith("\r\n")
    session, *media = text.split("m=")
    assert [line[0] for line in session.splitlines()][:4] == ["v", "o", "s", "t"]
    for part in media:
        kinds = [line[0] for line in part.splitlines()[1:]]
        assert kinds == sorted(kinds, key="cba".index)
    assert media[0].startswith("audio 40000 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.0.2.9\r\n")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(OfferRefused) as refusal:
        decide(offer(name))
    assert refusal.value.status == 406
    for words in REFUSED[name]:
        assert words in refusal.value.detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("a=sendonly", "a=recvonly"), "sends no audio and no video"),
        (lambda t: t.replace("a=sendonly", "a=inactive"), "sends no audio and no video"),
        (lambda t: without(t, "a=group"), "max-bundle"),
        (lambda t: t.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), "max-bundle"),
        (lambda t: without(t, "a=rtcp-mux"), "rtcpMuxPolicy"),
        (lambda t: t.replace("opus/48000/2", "speex/16000"), "no Opus"),
        (lambda t: t.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "DTLS-SRTP"),
        (lambda t: t.replace("profile-level-id=4", "profile-level-id=f"), "no H.264"),
        (lambda t: t.replace("packetization-mode=0", "m=2").replace("packetization-mode=1", "packetization-mode=2")
            .replace("H264/90000", "H265/90000"), "H265"),
        (lambda t: t.replace("m=audio", "m=video"), "more than one video"),
        (lambda t: t.replace("m=video", "m=audio"), "more than one audio"),
        (lambda t: without(t, "a=").split("m=")[0] + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n",
            "data channel"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken(change, words: str) -> None:
    text = change(offer("cr-basic"))
    if "more than one" in words:
        text = text.replace("H264/90000", "opus/48000/2") if "audio" in words else text
        text = text.replace("opus/48000/2", "H264/90000") if "video" in words else text
    with pytest.raises(OfferRefused) as refusal:
        decide(text)
    assert words in refusal.value.detail


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "",
        lambda t: "hello",
        lambda t: '{"sdp": "v=0"}',
        lambda t: "v=0\r\n",
        lambda t: without(t, "a=ice-ufrag"),
        lambda t: without(t, "a=ice-pwd"),
        lambda t: t.replace("a=ice-pwd:1Mk38EU6bv6WdTly1ZNDuEPu", "a=ice-pwd:short"),
        lambda t: without(t, "a=fingerprint"),
        lambda t: t.replace("sha-256", "md5"),
        lambda t: without(t, "a=setup"),
        lambda t: t.replace("a=setup:actpass", "a=setup:holdconn"),
        lambda t: t.replace("m=video 9", "m=video nine"),
        lambda t: t.replace("m=video 9", "m=video 99999"),
        lambda t: t + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 20,
        lambda t: t + "a=x\r\n" * 2500,
        lambda t: t + "a=candidate:" + "x" * 70000,
    ],
)
def test_malformed(change) -> None:
    with pytest.raises(OfferMalformed) as error:
        decide(change(offer("cr-basic")))
    assert error.value.status == 400


def test_a_data_channel_beside_media_is_turned_down_alone() -> None:
    text = offer("ev-audioonly").replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 d")
    told = answer(text + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n")
    assert [(m.kind, m.port, m.mid) for m in told.media] == [("audio", 40000, "0"), ("application", 0, "d")]
    assert told.bundle() == ("0",)


def test_the_publishers_first_h264_is_taken_and_mode_1_preferred() -> None:
    first_is_mode_0 = offer("cr-basic").replace("SAVPF 102 103 104 107 108", "SAVPF 104 107 102 103 108")
    assert decide(first_is_mode_0).tracks[1].payload_type == 102
    only_mode_0 = offer("cr-basic").replace("packetization-mode=1", "packetization-mode=0")
    assert decide(only_mode_0).tracks[1].payload_type == 102
    unsaid = offer("cr-basic").replace("packetization-mode=1;", "").replace("packetization-mode=0;", "")
    assert "packetization-mode" not in write_answer(decide(unsaid), LOCAL, session_id=1)


@pytest.mark.parametrize("profile", ["42e01f", "42001f", "4d001f", "64001f", "640c1f", "4D401F"])
def test_profiles(profile: str) -> None:
    text = offer("ff-high").replace("64001f", profile)
    assert f"profile-level-id={profile};" in write_answer(decide(text), LOCAL, session_id=1)


@pytest.mark.parametrize("profile", ["6e001f", "7a001f", "f4001f", "58001f", "64", "zzzzzz"])
def test_profiles_that_players_do_not_have(profile: str) -> None:
    with pytest.raises(OfferRefused):
        decide(offer("ff-high").replace("64001f", profile))


def test_without_rtx_none_is_answered() -> None:
    text = without(offer("ff-high"), "a=rtpmap:105", "a=fmtp:105")
    assert [c.name for c in section(answer(text), "video").codecs()] == ["h264"]
    assert decide(text).tracks[1].rtx_payload_type is None
    assert decide(text).tracks[1].rtx_ssrc is None


def test_nack_of_video_only_where_it_is_offered() -> None:
    text = without(offer("ff-high"), "a=rtcp-fb")
    assert section(answer(text), "video").codecs()[0].feedback == ()
    assert [t.nack for t in decide(text).tracks] == [True, False]
