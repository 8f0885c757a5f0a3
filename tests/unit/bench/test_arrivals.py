"""What the sink's process notes of the tags that arrive."""

from relay.cli.bench.arrivals import _Recorder
from relay.core import flv
from relay.core.flv import Tag
from relay.core.h264 import length_prefixed
from relay.push.sink import SinkStream

SLICES = [bytes((0x65, 1, 2)), bytes((0x41, 3)), bytes((0x41, 4))]
AAC_48000_STEREO = bytes((0x11, 0x90))


def video(timestamp: int, nal: bytes) -> Tag:
    return Tag(flv.VIDEO, timestamp, flv.video_body(length_prefixed([bytes((9, 0x10)), nal]), key=False))


def sound(timestamp: int) -> Tag:
    return Tag(flv.AUDIO, timestamp, flv.aac_body(b"frame"))


async def test_pictures_by_their_digests_and_holes_in_the_sound() -> None:
    recorder = _Recorder()
    stream = SinkStream("live", "bench-1?secret", 0.0)
    recorder._on_start(stream)
    headers = [
        Tag(flv.DATA, 0, flv.metadata_body()),
        Tag(flv.VIDEO, 0, flv.avc_sequence_header(b"record")),
        Tag(flv.AUDIO, 0, flv.aac_sequence_header(AAC_48000_STEREO)),
    ]
    # At 48 kHz a frame is 21.3 ms; the one at 64 is missing.
    tags = [*headers, *(sound(at) for at in (0, 21, 43, 85, 107)), *(video(0, nal) for nal in (*SLICES, SLICES[1]))]
    for number, tag in enumerate(tags):
        recorder._on_tag(stream, tag, float(number))

    arrived = recorder.streams["bench-1"]
    assert (arrived.connections, arrived.sounds, arrived.holes) == (1, 5, 1)
    digests = [digest for digest, _ in arrived.pictures]
    assert len(set(digests)) == 3
    assert digests[1] == digests[3]
    assert [at for _, at in arrived.pictures] == [8.0, 9.0, 10.0, 11.0]

    # Timestamps begin anew with a connection, which is no hole.
    recorder._on_start(stream)
    recorder._on_tag(stream, sound(0), 20.0)
    assert (arrived.connections, arrived.holes) == (2, 1)
