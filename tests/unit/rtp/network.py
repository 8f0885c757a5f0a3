"""A publisher made of two RtpSenders, a network that harms, and a Reception, in virtual time."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.rtp.reception import Reception, ReceptionSettings, TrackSpec
from relay.core.rtp.sender import RtpSender

SPS, PPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832480"), bytes.fromhex("68cb83cb20")
VIDEO = TrackSpec("video", 102, 90000, rtx_payload_type=103)
AUDIO = TrackSpec("audio", 111, 48000)
TICK = 0.01


def video_sender(
    *, rtx: bool = True, first_sequence: int = 65500, ssrc: int = 0x5EED, history: int = 1024
) -> RtpSender:
    return RtpSender(
        kind="video",
        payload_type=102,
        clock_rate=90000,
        ssrc=ssrc,
        cname="publisher",
        first_sequence=first_sequence,
        rtp_offset=2**32 - 90000,
        rtx_payload_type=103 if rtx else None,
        rtx_ssrc=0x5EEE if rtx else None,
        rtx_first_sequence=7,
        history=history,
    )


def audio_sender(*, first_sequence: int = 65500, ssrc: int = 0xA0D10, history: int = 1024) -> RtpSender:
    return RtpSender(
        kind="audio",
        payload_type=111,
        clock_rate=48000,
        ssrc=ssrc,
        cname="publisher",
        first_sequence=first_sequence,
        rtp_offset=2**32 - 48000,
        history=history,
    )


def reception(
    *tracks: TrackSpec,
    settings: ReceptionSettings | None = None,
    transport_extension: int | None = None,
    remb: bool = False,
) -> Reception:
    return Reception(
        tracks or (VIDEO, AUDIO),
        ssrc=1,
        cname="relay",
        settings=settings or ReceptionSettings(),
        transport_extension=transport_extension,
        remb=remb,
    )


def picture(index: int, *, key: bool, size: int = 3000) -> list[bytes]:
    """NAL units that tell which picture they are of."""
    name = index.to_bytes(4, "big")
    if key:
        return [SPS, PPS, b"\x65\x88" + name + bytes(3 * size)]
    return [b"\x41" + name + bytes(size)]


def picture_index(nals: list[bytes]) -> int:
    start = 2 if nals[-1][0] == 0x65 else 1
    return int.from_bytes(nals[-1][start : start + 4], "big")


@dataclass
class Harm:
    """What the network does to packets in both directions, as probabilities; delays in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    until: float = float("inf")
    """The network heals then."""


@dataclass
class Session:
    """Runs in steps of a tick; what came out is in `units` and `sounds`."""

    harm: Harm
    seed: int = 0
    rtx: bool = True
    size: int = 3000
    now: float = 100.0
    units: list[AccessUnit] = field(default_factory=list)
    sounds: list[OpusPacket] = field(default_factory=list)
    sent_units: list[list[bytes]] = field(default_factory=list)
    sent_sounds: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - a seeded simulation
        self.video = video_sender(rtx=self.rtx)
        self.audio = audio_sender()
        self.reception = reception()
        self._air: list[tuple[float, int, bool, bytes]] = []
        self._count = 0
        self._start = self.now
        self._key_wanted = True

    def _send(self, data: bytes, *, up: bool) -> None:
        harm = self.harm
        harmful = self.now - self._start < harm.until
        if harmful and self.chance.random() < harm.loss:
            return
        copies = 2 if harmful and self.chance.random() < harm.duplicate else 1
        for _ in range(copies):
            late = self.chance.uniform(0, 0.06) if harmful and self.chance.random() < harm.reorder else 0.0
            self._count += 1
            heapq.heappush(self._air, (self.now + harm.delay + late, self._count, up, data))

    def _publish(self) -> None:
        elapsed = self.now - self._start
        while len(self.sent_units) <= elapsed * 30:
            index = len(self.sent_units)
            nals = picture(index, key=self._key_wanted, size=self.size)
            self._key_wanted = False
            self.sent_units.append(nals)
            for packet in self.video.send_access_unit(nals, index * 3000, self.now):
                self._send(packet, up=True)
        while len(self.sent_sounds) <= elapsed * 50:
            index = len(self.sent_sounds)
            data = index.to_bytes(4, "big") * 20
            self.sent_sounds.append(data)
            for packet in self.audio.send_opus(data, index * 960, self.now):
                self._send(packet, up=True)

    def _deliver(self) -> None:
        while self._air and self._air[0][0] <= self.now:
            _, _, up, data = heapq.heappop(self._air)
            if up:
                self._take(self.reception.receive_rtp(data, self.now))
                continue
            for sender in (self.video, self.audio):
                feedback = sender.receive_rtcp(data, self.now)
                self._key_wanted |= feedback.key_frame_wanted
                for packet in feedback.retransmissions:
                    self._send(packet, up=True)

    def _take(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if isinstance(frame, AccessUnit):
                self.units.append(frame)
            else:
                self.sounds.append(frame)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self._publish()
            self._deliver()
            self._take(self.reception.poll(self.now))
            for datagram in self.reception.feedback(self.now):
                self._send(datagram, up=False)
            self.now += TICK
