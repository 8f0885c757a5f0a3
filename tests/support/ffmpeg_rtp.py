"""RTP packets as FFmpeg's muxer makes them: the sender against which depacketizers are tested."""

from collections.abc import Sequence
from fractions import Fraction

import av

from relay.core.rtp.packet import RtpPacket
from tests.support.coded import FPS, HEIGHT, WIDTH, Coded


class _Packets:
    """A file to FFmpeg: each write is a packet."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.written.append(bytes(data))
        return len(data)


def rtp_packets(encoder: str, units: Sequence[Coded], *, payload_type: int, size: int = 1200) -> list[RtpPacket]:
    """Of `units` that `encoder` made; RTP times are those of the units, on an offset of FFmpeg's choice."""
    file = _Packets()
    options = {"packetsize": str(size), "rtpflags": "skip_rtcp", "strict": "experimental"}
    with av.open(file, "w", format="rtp", options={**options, "payload_type": str(payload_type)}) as output:
        stream = output.add_stream(encoder, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for unit in units:
            packet = av.Packet(unit.data)
            packet.stream, packet.is_keyframe, packet.time_base = stream, unit.key, Fraction(1, 90000)
            packet.pts, packet.dts = unit.pts, unit.dts
            output.mux(packet)
    packets = [RtpPacket.parse(data) for data in file.written]
    return [packet for packet in packets if packet is not None]
