"""The target of whole publishers: a programme of what one sends, and of what network and clock do to it.

As long as nothing but the network does harm, what comes out has to be what was sent: whole pictures, in order, none
without the one that it refers to. Forged packets may do anything but raise, stop the clock or fill memory.
"""

import math
from collections import deque
from collections.abc import Sequence

from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.rtp import rtcp
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.packet import RtpPacket, is_rtcp
from relay.core.rtp.reception import Reception, ReceptionSettings, TrackSpec
from relay.core.rtp.track import MAX_JUMP, MAX_WAITING, MAX_WAITING_BYTES
from tests.fuzz.tape import Tape

MAX_STEPS = 400
MAX_AHEAD = 1.5
"""Seconds that a frame may be placed before its arrival, whatever its timestamp says."""
MAX_COMPOSITION = 10.0
MAX_DELAY = 0.4
"""Seconds after which the network has lost what it holds. Old numbers after a long silence would be a new numbering."""
VIDEO_PT, RTX_PT, AUDIO_PT = 102, 103, 111
_SPS, _PPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832480"), bytes.fromhex("68cb83cb20")
_SIZES = (1, 40, 700, 1300, 5000)
_WAITS = (0.001, 0.02, 0.04, 0.12, 0.3, 0.6, 1.2, 6.0, 40.0)


class _Source:
    """One SSRC of the publisher."""

    def __init__(self, payload_type: int, ssrc: int, sequence: int, offset: int) -> None:
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.sequence = sequence
        self.offset = offset
        self.history: dict[int, RtpPacket] = {}

    def send(self, payload: bytes, rtp_time: int, *, marker: bool = False) -> bytes:
        timestamp = (rtp_time + self.offset) & 0xFFFFFFFF
        packet = RtpPacket(self.payload_type, self.sequence, timestamp, self.ssrc, payload, marker)
        self.history[self.sequence] = packet
        self.sequence = (self.sequence + 1) & 0xFFFF
        return packet.serialise(padding=0 if payload else 9)


class Scene:
    """A publisher, its network and a Reception."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        flags = tape.number(1)
        video = TrackSpec(
            "video", VIDEO_PT, 90000, rtx_payload_type=RTX_PT if flags & 1 else None, nack=not flags & 2, ssrc=None
        )
        audio = TrackSpec("audio", AUDIO_PT, 48000, nack=not flags & 4)
        kinds = (video, audio) if flags & 24 != 8 else (video,)
        self.reception = Reception(
            kinds,
            ssrc=1,
            cname="relay",
            settings=ReceptionSettings(max_bitrate=2_000_000 if flags & 32 else None),
            transport_extension=3 if flags & 64 else None,
            remb=bool(flags & 128),
        )
        self.rtx = _Source(RTX_PT, 0x5EEE, 7, 0)
        self.has_rtx = bool(flags & 1)
        self.sources = 0
        self.video = self.audio = _Source(0, 0, 0, 0)
        self.new_sources()
        self.now = 1000.0
        self.start = self.now
        self.air: deque[tuple[float, bytes]] = deque()
        """What is under way, and since when."""
        self.pictures: list[list[bytes]] = []
        self.sounds: list[bytes] = []
        self.last_picture = self.last_sound = -1
        self.times = {AccessUnit: -math.inf, OpusPacket: -math.inf}
        self.honest = True

    def new_sources(self) -> None:
        """The publisher's page is loaded again: other SSRCs, other numbers."""
        self.sources += 1
        step = self.sources * 7919
        self.video = _Source(VIDEO_PT, 0x5EED0000 + self.sources, (65520 + step) & 0xFFFF, 2**32 - 90000 + step)
        self.audio = _Source(AUDIO_PT, 0xA0D10000 + self.sources, (65530 + step) & 0xFFFF, 2**32 - 48000 + step)

    # what the publisher does

    def send(self, data: bytes) -> None:
        self.air.append((self.now, data))

    def send_picture(self) -> None:
        shape = self.tape.number(1)
        key, slices, repeated = bool(shape & 1) or not self.pictures, 1 + (shape >> 1 & 3), bool(shape & 8)
        size = self.tape.choose(_SIZES)
        index = len(self.pictures)
        nals: list[bytes] = [b"\x06\x05\x01\x00\x80"] if shape & 16 else []
        for number in range(slices):
            if key and (number == 0 or repeated):
                nals += [_SPS, _PPS]
            # first_mb_in_slice is 0 in the first slice only.
            head = bytes((0x65 if key else 0x41, 0x48 if number else 0x88, number + 1))
            nals.append(head + index.to_bytes(4, "big") + b"\xaa" * size)
        self.pictures.append(nals)
        # Some are shown in another order than they are sent, as B-frames are.
        rtp_time = round((self.now - self.start) * 90000) + index + (0, 6000, -6000, 200_000)[shape >> 6]
        payloads = packetize(nals, 1200)
        marked = not shape & 32
        for number, payload in enumerate(payloads):
            self.send(self.video.send(payload, rtp_time, marker=marked and number == len(payloads) - 1))

    def send_sound(self) -> None:
        for _ in range(1 + self.tape.number(1) % 8):
            index = len(self.sounds)
            self.sounds.append(b"\xfc" + index.to_bytes(4, "big") * 20)
            self.send(self.audio.send(self.sounds[-1], index * 960))

    def send_padding(self) -> None:
        source = self.tape.choose((self.video, self.audio))
        self.send(source.send(b"", round((self.now - self.start) * 90000)))

    def send_report(self) -> None:
        source, rate = self.tape.choose(((self.video, 90000), (self.audio, 48000)))
        elapsed = self.now - self.start
        rtp_time = (round(elapsed * rate * self.tape.choose((1, 1, 2, 0))) + source.offset) & 0xFFFFFFFF
        ntp = self.tape.choose((int((3.9e9 + elapsed) * 2**32), 0, 2**64 - 1))
        self.control(rtcp.sender_report(rtcp.SenderReport(source.ssrc, ntp, rtp_time, 5, 500)))

    def leave(self) -> None:
        self.control(rtcp.bye([self.tape.choose((self.video, self.audio)).ssrc]))

    def retransmit(self, message: rtcp.Nack) -> None:
        for source in (self.video, self.audio):
            if source.ssrc != message.media:
                continue
            for number in message.lost:
                packet = source.history.get(number)
                if packet is not None and source is self.video and self.has_rtx:
                    payload = number.to_bytes(2, "big") + packet.payload
                    if packet.payload:
                        self.rtx.offset = packet.timestamp
                        self.send(self.rtx.send(payload, 0, marker=packet.marker))
                elif packet is not None:
                    self.send(packet.serialise(padding=0 if packet.payload else 9))

    # what the network does

    def deliver(self, data: bytes) -> None:
        self.take(self.reception.receive_rtp(data, self.now))

    def control(self, data: bytes) -> None:
        self.reception.receive_rtcp(data, self.now)

    def deliver_some(self) -> None:
        for _ in range(min(len(self.air), self.tape.number(1) + 1)):
            self.deliver(self.air.popleft()[1])

    def lose_some(self) -> None:
        for _ in range(min(len(self.air), self.tape.number(1) % 16 + 1)):
            self.air.popleft()

    def reorder(self) -> None:
        if self.air:
            index = self.tape.number(1) % len(self.air)
            data = self.air[index][1]
            del self.air[index]
            self.deliver(data)

    def repeat(self) -> None:
        if self.air:
            self.deliver(self.air[self.tape.number(1) % len(self.air)][1])

    def dress(self) -> None:
        """Delivers one with a CSRC, a header extension and padding, which change nothing."""
        if self.air:
            self.deliver(dressed(self.air.popleft()[1], self.tape.number(2)))

    def wait(self) -> None:
        self.now += self.tape.choose(_WAITS)
        while self.air and self.air[0][0] < self.now - MAX_DELAY:
            self.air.popleft()

    def tick(self) -> None:
        reception = self.reception
        self.take(reception.poll(self.now))
        for _ in range(40):
            datagrams = reception.feedback(self.now)
            for datagram in datagrams:
                assert len(datagram) <= 1500
                messages = rtcp.parse(datagram)
                assert messages, datagram.hex()
                for message in messages:
                    if isinstance(message, rtcp.Nack):
                        self.retransmit(message)
            deadline = reception.deadline()
            if deadline is None or deadline > self.now:
                break
        else:
            raise AssertionError("its deadline never passes")
        self.check_size()

    def ask(self) -> None:
        if self.tape.number(1) & 1:
            self.reception.request_key_frame()
        else:
            self.reception.key_frames_wanted = not self.reception.key_frames_wanted

    # what a forger does

    def forge(self) -> None:
        """Another header on a packet that was sent."""
        if not self.air:
            return
        self.honest = False
        data = bytearray(self.air.popleft()[1])
        for _ in range(1 + self.tape.number(1) % 3):
            field = self.tape.choose((0, 1, 2, 3, 4, 5, 6, 7, 8, 11))
            data[field] = self.tape.number(1)
        self.deliver(bytes(data))

    def corrupt(self) -> None:
        if not self.air:
            return
        self.honest = False
        data = bytearray(self.air.popleft()[1])
        place = self.tape.number(2) % len(data)
        data[place : place + 4] = self.tape.take(4)
        self.deliver(bytes(data[: self.tape.number(2)] if self.tape.number(1) & 1 else data))

    def inject(self) -> None:
        """Any bytes, as RTP or as RTCP."""
        self.honest = False
        data = self.tape.blob()
        if len(data) > 1 and is_rtcp(data):
            self.control(data)
        else:
            self.deliver(data)

    def insert(self) -> None:
        """Any payload under a good header."""
        self.honest = False
        source = self.tape.choose((self.video, self.audio, self.rtx))
        timestamp = self.tape.choose((0, 3000, 1 << 31, 1 << 20))
        self.deliver(source.send(self.tape.blob(), timestamp, marker=bool(self.tape.number(1) & 1)))

    # what comes out

    def take(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            assert math.isfinite(frame.time)
            assert self.times[type(frame)] <= frame.time <= self.now + MAX_AHEAD, (frame.time, self.now)
            assert frame.arrival <= self.now
            self.times[type(frame)] = frame.time
            if isinstance(frame, OpusPacket):
                assert frame.data
                if self.honest:
                    self.check_sound(frame.data)
            else:
                assert frame.parts
                assert 0 <= frame.composition < MAX_COMPOSITION, frame.composition
                assert all(frame.parts)
                if self.honest:
                    self.check_picture(frame)

    def check_sound(self, data: bytes) -> None:
        index = int.from_bytes(data[1:5], "big")
        assert data == self.sounds[index]
        assert index > self.last_sound
        self.last_sound = index

    def check_picture(self, unit: AccessUnit) -> None:
        index = int.from_bytes(unit.parts[-1][3:7], "big")
        assert unit.parts == self.pictures[index], f"picture {index} is not whole"
        assert unit.key == (unit.parts[-1][0] == 0x65)
        assert index > self.last_picture if unit.key else index == self.last_picture + 1, "its reference is lost"
        self.last_picture = index

    def check_size(self) -> None:
        for track in self.reception._tracks:
            buffer = track.receiver._buffer
            assert len(buffer.packets) <= MAX_WAITING
            assert buffer.size <= MAX_WAITING_BYTES
            assert buffer.size == sum(len(packet.data) for packet in buffer.packets.values())
            assert len(buffer.missing) <= MAX_JUMP
        assert len(self.reception._sources) <= 2


def dressed(data: bytes, extension: int) -> bytes:
    """The packet with a CSRC, `extension` in a header extension (RFC 8285) of identifier 3, and padding."""
    head = bytes((data[0] | 0x31,)) + data[1:12] + b"\0\0\0\x09"
    head += b"\xbe\xde\0\1\x31" + extension.to_bytes(2, "big") + b"\0"
    if data[0] & 0x20:
        return head + data[12:]
    return head + data[12:] + b"\0\0\0\4"


STEPS = (
    Scene.deliver_some,
    Scene.send_picture,
    Scene.send_sound,
    Scene.lose_some,
    Scene.tick,
    Scene.wait,
    Scene.reorder,
    Scene.repeat,
    Scene.dress,
    Scene.send_padding,
    Scene.send_report,
    Scene.leave,
    Scene.ask,
    Scene.new_sources,
    Scene.forge,
    Scene.corrupt,
    Scene.inject,
    Scene.insert,
)


def play(data: bytes) -> None:
    tape = Tape(data)
    scene = Scene(tape)
    for _ in range(MAX_STEPS):
        if not tape:
            break
        tape.choose(STEPS)(scene)
    scene.tick()
    scene.now += 50.0
    scene.tick()
