"""What a CDN connection is sent first, and what a new push begins with."""

import pytest

from relay.core import flv
from relay.core.flv import Tag
from relay.core.head import HEAD_LIMIT, MAX_FRAMES, Head
from relay.core.media import AccessUnit, OpusPacket
from relay.core.rtmp import amf0
from relay.push.feed import MediaTag, VideoConfig
from relay.push.output import VIDEO_WAIT, Output

CONFIG = VideoConfig(1280, 720, flv.avc_sequence_header(b"avcC"))
OTHER = VideoConfig(720, 1280, flv.avc_sequence_header(b"other"))
AAC_HEADER = flv.aac_sequence_header(b"\x12\x10")


def picture(time: float, *, key: bool = False, config: VideoConfig = CONFIG) -> MediaTag:
    return MediaTag(flv.VIDEO, time, flv.video_body(b"\0\0\0\1\x65", key=key), key, config)


def sound(time: float) -> MediaTag:
    return MediaTag(flv.AUDIO, time, flv.aac_body(b"aac"), key=False, config=None)


def make_output(*, video: bool = True, first_timestamp: int = 0) -> Output:
    return Output(
        video=video, audio_config=AAC_HEADER, audio_bit_rate=96_000, opened=100.0, first_timestamp=first_timestamp
    )


def sent(output: Output, *tags: MediaTag, now: float = 100.0, video_expected: bool = True) -> list[Tag]:
    return [
        piece for tag in tags if output.admits(tag, now, video_expected=video_expected) for piece in output.tags(tag)
    ]


def test_headers_come_first_and_a_key_frame_begins() -> None:
    tags = sent(make_output(), sound(100.0), picture(100.01), picture(100.04, key=True), sound(100.03), sound(100.05))
    assert [(tag.type, tag.timestamp) for tag in tags] == [(18, 0), (9, 0), (8, 0), (9, 0), (8, 10)]
    assert tags[1].body == CONFIG.sequence_header
    assert tags[2].body == AAC_HEADER
    assert b"videocodecid" in tags[0].body
    assert b"audiocodecid" in tags[0].body


@pytest.mark.parametrize("video", [False, True])
def test_the_metadata_tells_of_the_sound_that_there_is(video: bool) -> None:
    (tag, *_) = sent(make_output(video=video), picture(100.0, key=True), sound(100.0))
    _, values = amf0.decode(tag.body)
    assert isinstance(values, dict)
    assert values["audiodatarate"] == 96.0


def test_a_new_configuration_goes_before_its_key_frame() -> None:
    output = make_output()
    sent(output, picture(100.0, key=True), picture(100.03))
    tags = sent(output, picture(100.07, key=True, config=OTHER))
    assert [tag.type for tag in tags] == [flv.DATA, flv.VIDEO, flv.VIDEO]
    assert tags[1].body == OTHER.sequence_header


def test_sound_alone_has_no_word_of_video() -> None:
    tags = sent(make_output(video=False), picture(100.0, key=True), sound(100.0), sound(100.023))
    assert [tag.type for tag in tags] == [flv.DATA, flv.AUDIO, flv.AUDIO, flv.AUDIO]
    assert b"videocodecid" not in tags[0].body


def test_sound_goes_ahead_where_no_picture_is_to_be_expected() -> None:
    assert sent(make_output(), sound(100.0)) == []
    assert sent(make_output(), sound(100.0), video_expected=False)
    output = make_output()
    assert sent(output, sound(103.0), now=100.0 + VIDEO_WAIT)
    late = sent(output, picture(104.0, key=True))
    assert [tag.type for tag in late] == [flv.DATA, flv.VIDEO, flv.VIDEO]
    assert b"videocodecid" in late[0].body


@pytest.mark.parametrize("first", [0, 0xFFFFFF - 5, 2**31 - 5, 2**32 - 5])
def test_each_track_moves_forward_only(first: int) -> None:
    output = make_output(first_timestamp=first)
    tags = sent(output, picture(100.0, key=True), picture(100.0), picture(99.9), picture(100.5), sound(100.4))
    pictures = [tag.timestamp for tag in tags if tag.type == flv.VIDEO and not tag.is_header]
    assert pictures == [first, first + 1, first + 2, first + 500]
    assert tags[-1].timestamp == first + 400


def unit(time: float, *, key: bool = False) -> AccessUnit:
    return AccessUnit([b"\x65" if key else b"\x41"], key, 0, time, time)


def opus(time: float) -> OpusPacket:
    return OpusPacket(b"\xfc", 0, time, time)


def test_the_head_is_what_came_since_the_last_key_frame() -> None:
    head = Head()
    assert head.begin is None
    for frame in (unit(1.0), opus(1.0), unit(2.0, key=True), opus(2.01), unit(2.03)):
        head.push(frame)
    assert head.begin == 2.0
    assert [frame.time for frame in head.pictures] == [2.0, 2.03]
    assert [frame.time for frame in head.sounds] == [2.01]
    head.push(unit(3.0, key=True))
    assert [frame.time for frame in head.pictures] == [3.0]


def test_the_head_is_bounded() -> None:
    head = Head()
    head.push(unit(0.0, key=True))
    head.push(unit(HEAD_LIMIT + 0.01))
    assert head.begin is None
    head.push(unit(5.0, key=True))
    for _ in range(MAX_FRAMES + 1):
        head.push(opus(5.0))
    assert head.begin is None
