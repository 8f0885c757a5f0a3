"""What no relay of this kind can do without, measured alone: transcoding sound, SRTP, reading and writing sockets.

CPU seconds per stream-second of the clip, by this machine, these libraries and this thread.
"""

import socket
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from relay.cli.source import ClipSource, Item, Picture
from relay.core.media import OpusPacket
from relay.core.rtp.sender import RtpSender
from relay.push.feed import AUDIO_BATCH
from relay.push.transcode import Transcoder
from relay.rtc.srtp import session_pair

SECONDS = 10.0
"""Of the clip."""
_PER_CODING = round(AUDIO_BATCH / 0.02) + 1  # packets of 20 ms: what a feed gives at once
_PER_READ = 8  # packets: what a stream of some 260 a second brings in a tick of 30 ms


def floor(clip: Path) -> dict[str, float]:
    """`sound`, `srtp`, `udp` and `tcp`. Raises `SourceError`."""
    items = list(takewhile(lambda item: item.time < SECONDS, ClipSource(clip)))
    packets = list(_packets(items))
    return {
        "sound": round(_sound(items) / SECONDS, 5),
        "srtp": round(_srtp(packets) / SECONDS, 5),
        "udp": round(_udp(packets) / SECONDS, 5),
        "tcp": round(_tcp(items) / SECONDS, 5),
    }


def _packets(items: list[Item]) -> Iterator[bytes]:
    """As a publisher sends them, before SRTP."""
    video = RtpSender(
        kind="video", payload_type=96, clock_rate=90000, ssrc=1, cname="floor", first_sequence=0, rtp_offset=0
    )
    audio = RtpSender(
        kind="audio", payload_type=111, clock_rate=48000, ssrc=2, cname="floor", first_sequence=0, rtp_offset=0
    )
    for item in items:
        if isinstance(item, Picture):
            yield from video.send_access_unit(item.nals, round(item.time * 90000), item.time)
        else:
            yield from audio.send_opus(item.data, round(item.time * 48000), item.time)


def _sound(items: list[Item]) -> float:
    transcoder = Transcoder()
    transcoder.start(0.0)
    sounds = [
        OpusPacket(item.data, round(item.time * 48000), item.time, item.time)
        for item in items
        if not isinstance(item, Picture)
    ]
    began = time.thread_time()
    for first in range(0, len(sounds), _PER_CODING):
        transcoder.push(sounds[first : first + _PER_CODING])
    spent = time.thread_time() - began
    transcoder.close()
    return spent


def _srtp(packets: list[bytes]) -> float:
    protect, unprotect = session_pair()
    protected = [protect(packet) for packet in packets]
    began = time.thread_time()
    for packet in protected:
        unprotect(packet)
    return time.thread_time() - began


def _udp(packets: list[bytes]) -> float:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        spent = 0.0
        for first in range(0, len(packets), _PER_READ):
            batch = packets[first : first + _PER_READ]
            for packet in batch:
                sender.send(packet)
            began = time.thread_time()
            for _ in batch:
                receiver.recv(2048)
            spent += time.thread_time() - began
        return spent


def _tcp(items: list[Item]) -> float:
    """One write a picture."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            receiver.settimeout(5)
            spent = 0.0
            for item in items:
                if isinstance(item, Picture):
                    data = b"".join(item.nals)
                    began = time.thread_time()
                    sender.sendall(data[:100_000])
                    spent += time.thread_time() - began
                    left = min(len(data), 100_000)
                    while left > 0:
                        left -= len(receiver.recv(1 << 16))
            return spent
