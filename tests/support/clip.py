"""A short H.264 and AAC clip in FLV, made by FFmpeg through PyAV: what a push carries, and the oracle for our tags."""

import functools
import io

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from relay.core.flv import Tag, TagReader

WIDTH, HEIGHT, FRAME_RATE = 160, 120, 25


@functools.cache
def flv_clip(seconds: float = 2.0) -> bytes:
    """An FLV file: a key frame each second, no B-frames, AAC-LC 44100 Hz stereo."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as output:
        video = output.add_stream("libx264", rate=FRAME_RATE, options={"tune": "zerolatency", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", FRAME_RATE
        audio = output.add_stream("aac", rate=44100, layout="stereo")
        for index in range(round(seconds * FRAME_RATE)):
            picture = VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for number, plane in enumerate(picture.planes):
                stripes = (np.arange(plane.buffer_size) // 16 + index * 7 + number * 40).astype(np.uint8)
                plane.update(stripes.tobytes())
            picture.pts = index
            output.mux(video.encode(picture))
        for start in range(0, round(seconds * 44100) - 1023, 1024):
            sound = AudioFrame("fltp", "stereo", 1024)
            sound.sample_rate, sound.pts = 44100, start
            for plane in sound.planes:
                plane.update(bytes(plane.buffer_size))
            output.mux(audio.encode(sound))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    return file.getvalue()


def clip_tags(seconds: float = 2.0) -> list[Tag]:
    return TagReader().receive(flv_clip(seconds))
