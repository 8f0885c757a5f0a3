import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import flv
from relay.core.flv import FlvError, Tag, TagReader
from relay.core.rtmp import amf0
from tests.support.clip import FRAME_RATE, HEIGHT, WIDTH, clip_tags, flv_clip

tags = st.builds(
    Tag, st.sampled_from([flv.AUDIO, flv.VIDEO, flv.DATA]), st.integers(0, 2**32 - 1), st.binary(max_size=90)
)


def test_ffmpegs_file_comes_out_as_it_went_in():
    """What our reader reads and our writer writes again is FFmpeg's file, byte for byte."""
    original = flv_clip()
    assert flv.file_header(audio=True, video=True) + b"".join(map(flv.write_tag, clip_tags())) == original


def test_bodies_are_those_of_ffmpeg():
    ours = []
    theirs = [tag for tag in clip_tags() if tag.type != flv.DATA]
    for tag in theirs:
        body = tag.body
        if tag.type == flv.AUDIO:
            ours.append(flv.aac_sequence_header(body[2:]) if tag.is_header else flv.aac_body(body[2:]))
        elif tag.is_header:
            ours.append(flv.avc_sequence_header(body[5:]))
        elif body[1] == 1:
            ours.append(flv.video_body(body[5:], key=tag.is_key))
    # FFmpeg ends with an end-of-sequence tag (AVCPacketType 2), which a live stream has no use for.
    assert ours == [tag.body for tag in theirs if not (tag.type == flv.VIDEO and tag.body[1] == 2)]


def test_metadata_tells_what_ffmpegs_tells():
    name, theirs = amf0.decode(clip_tags()[0].body)
    our_name, ours = amf0.decode(flv.metadata_body(width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE))
    assert our_name == name == "onMetaData"
    for value in ("width", "height", "framerate", "videocodecid", "audiocodecid", "audiosamplerate", "stereo"):
        assert ours[value] == theirs[value], value
    assert ours["hasAudio"] is ours["hasVideo"] is True
    assert "duration" not in ours


def test_enhanced_bodies_of_vp8():
    """FFmpeg has VP8 in no FLV: by bytes, as Enhanced RTMP v2 has it (ExVideoTagHeader)."""
    assert flv.enhanced_video_body(b"vp08", b"frame", key=True) == b"\x91vp08frame"
    assert flv.enhanced_video_body(b"vp08", b"frame", key=False) == b"\xa1vp08frame"
    assert flv.enhanced_sequence_header(b"vp08", b"record") == b"\x90vp08record"
    _, values = amf0.decode(flv.metadata_body(width=WIDTH, height=HEIGHT, fourcc=b"vp08"))
    assert values["videocodecid"] == 0x76703038


def test_kinds_of_enhanced_tags():
    def kinds(body):
        tag = Tag(flv.VIDEO, 0, body)
        return tag.is_header, tag.is_key

    assert kinds(flv.enhanced_sequence_header(b"hvc1", b"")) == (True, False)
    for composition in (0, 40):
        key, inter = (flv.enhanced_video_body(b"hvc1", b"\0", key=k, composition=composition) for k in (True, False))
        assert kinds(key) == (False, True)
        assert kinds(inter) == (False, False)
    assert kinds(flv.enhanced_video_body(b"av01", b"\0\0", key=True)) == (False, True)


def test_metadata_of_sound_alone():
    _, values = amf0.decode(flv.metadata_body())
    assert values["hasAudio"] is True
    assert not any(name.startswith(("hasVideo", "video", "width", "height", "frame")) for name in values)
    assert flv.file_header(audio=True, video=False)[4] == 4
    assert flv.file_header(audio=False, video=True)[4] == 1


def test_kinds_of_tags():
    kinds = [(tag.type, tag.is_header, tag.is_key) for tag in clip_tags()[:8]]
    assert kinds[:3] == [(flv.DATA, True, False), (flv.VIDEO, True, False), (flv.AUDIO, True, False)]
    assert kinds[4] == (flv.VIDEO, False, True)
    assert kinds[7] == (flv.VIDEO, False, False)
    empty = Tag(flv.VIDEO, 0, b"")
    assert not empty.is_header
    assert not empty.is_key


@given(st.lists(tags, max_size=6), st.integers(1, 50))
def test_round_trip_in_pieces(given_tags, step):
    data = flv.file_header(audio=True, video=True) + b"".join(map(flv.write_tag, given_tags))
    reader = TagReader()
    got = []
    for at in range(0, len(data), step):
        got += reader.receive(data[at : at + step])
    assert got == given_tags


def test_timestamps_beyond_32_bits_wrap():
    data = flv.file_header(audio=True, video=False) + flv.write_tag(Tag(flv.AUDIO, 2**32 + 7, b"x"))
    assert TagReader().receive(data) == [Tag(flv.AUDIO, 7, b"x")]


def test_not_flv():
    with pytest.raises(FlvError):
        TagReader().receive(b"FLX")
    with pytest.raises(FlvError):
        TagReader().receive(flv.file_header(audio=True, video=True) + b"\x55" + bytes(20))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else(data):
    reader = TagReader()
    try:
        reader.receive(flv.file_header(audio=True, video=True)[:9] + data)
    except FlvError:
        return
