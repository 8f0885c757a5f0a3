"""FLV tags as FFmpeg's muxer makes them: the oracle for our bodies."""

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction

import av

from relay.core.flv import Tag, TagReader
from tests.support.coded import FPS, HEIGHT, WIDTH, Coded


def flv_tags(
    encoder: str,
    units: Sequence[Coded],
    options: Mapping[str, str] | None = None,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    pix_fmt: str = "yuv420p",
) -> list[Tag]:
    """Metadata, sequence header, then the tags of `units` that `encoder` made (tests.support.coded) with `options`.

    Where the muxer needs parameter sets, it has those of another encoder with the same options.
    """
    file = io.BytesIO()
    milliseconds = Fraction(1, 1000)
    with av.open(file, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as output:
        stream = output.add_stream(encoder, rate=FPS, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = milliseconds
        for unit in units:
            packet = av.Packet(unit.data)
            packet.stream, packet.is_keyframe, packet.time_base = stream, unit.key, milliseconds
            packet.pts, packet.dts = round(unit.pts / 90), round(unit.dts / 90)
            output.mux(packet)
    return TagReader().receive(file.getvalue())
