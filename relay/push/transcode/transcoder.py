"""Opus to AAC-LC, 44100 Hz, stereo: once per stream, shared by all pushes of it.

The AAC timeline has no holes and never goes back: frame k begins at start + k * 1024 / 44100, whatever comes in. Three
things keep it so:

- What is missing between two packets, by their RTP timestamps, is filled: for up to 100 ms the Opus decoder conceals it
  (it takes a frame of no bytes as lost, RFC 6716 3.2.1), beyond that with silence.
- What comes again, or too late because its place is filled already, is trimmed or dropped.
- A drift of the publisher's clock, seen as a slow slide of `time`, is resampled away, at most 0.5 %. Where `time` and
  the timeline are 40 ms apart, silence is inserted or sound cut out.

At every such joint 5 ms of the old sound, played backwards and faded out, are blended with the new. After a
concealment the decoder's picture of the signal is wrong for a while: no step between samples is let through that is
larger than those before the loss. So there is no step that was not in the source, and no click.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.aac import FRAME_SAMPLES
from relay.core.media import OpusPacket
from relay.core.opus import MAX_SAMPLES, RATE, joined, lost_frame, parse_toc
from relay.push.transcode import pcm
from relay.push.transcode.codecs import AAC_RATE, FLOAT, OpusDecoder
from relay.push.transcode.coders import DEFAULT_BIT_RATE, DEFAULT_CODER, CoderName, make_coder
from relay.push.transcode.pcm import SAMPLE

_CONCEAL = RATE // 10
_HARD = RATE // 25
_NEAR = RATE // 1000
_WARY = RATE * 3 // 50
"""Samples after a concealment that are looked at: three packets of 20 ms."""
_MEMORY = RATE // 5
"""Samples before a loss whose steps are the measure."""
_EARLY = 1.0
"""Seconds that a packet's `time` may be ahead of its arrival: more is a broken timestamp, not a gap."""
_MAX_FILL = 10 * RATE
"""One call encodes no more than 10 s of silence; the next call goes on."""


@dataclass(slots=True)
class AacFrame:
    """One raw AAC access unit (no ADTS), 1024 samples; `time` is that of the first, on the stream's timeline."""

    data: bytes
    time: float


@dataclass(slots=True)
class TranscodeStats:
    """Counts of packets, and seconds of sound that did not come from the publisher."""

    packets: int = 0
    broken: int = 0
    """Undecodable, or timestamped far ahead of their arrival."""
    late: int = 0
    """Came after their place on the timeline was filled, wholly or in part."""
    concealed: float = 0.0
    silence: float = 0.0


class Transcoder:
    """One stream's sound. Not thread-safe; every method runs at once and never raises for what a publisher sent."""

    def __init__(self, *, coder: CoderName = DEFAULT_CODER, bit_rate: int = DEFAULT_BIT_RATE) -> None:
        """`coder`: see `coders`."""
        self._coder = make_coder(coder, bit_rate)
        self.config = self._coder.config
        """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
        self.bit_rate = bit_rate
        self.stats = TranscodeStats()
        self._decoder = OpusDecoder()
        self._resampler = self._coder.make_resampler()
        self._start = 0.0
        self._resampled = 0  # samples at 44100 Hz out of the resampler
        self._encoded = -1  # access units out of the coder; the first is priming
        self._next = 0  # position (48 kHz) that follows the last frame, by its own time
        self._next_rtp: int | None = None
        self._recent: deque[bytes] = deque()  # the last sound given; none after silence
        self._lost = b""  # the packet that makes the decoder conceal one frame
        self._lost_samples = 0
        self._conceal_left = 0
        self._joint = False
        self._wary = 0  # samples still to be looked at after a concealment
        self._steps = (0, 0)  # the largest that they may have

    def start(self, time: float) -> None:
        """The AAC timeline begins at `time`: the first sample of the first frame. Call once, before anything else."""
        self._start = time

    def push(self, packets: Sequence[OpusPacket]) -> list[AacFrame]:
        """Takes a batch of packets in order of their time; returns the frames that are whole now (0 or more).

        The encoder looks ahead: a frame comes out when some 50 ms of sound beyond its start are in.
        """
        out: list[AacFrame] = []
        for run in _runs(packets):
            if len(run) == 1 or not self._together(run, out):
                for packet in run:
                    self._packet(packet, out)
        return out

    def fill(self, until: float) -> list[AacFrame]:
        """The publisher is silent or absent: concealment, then silence, up to `until` on the stream's timeline."""
        out: list[AacFrame] = []
        missing = round((until - self._start) * RATE - self._end())
        if 0 < self._lost_samples <= self._conceal_left and missing <= self._conceal_left:
            missing -= missing % self._lost_samples  # the decoder conceals whole frames: the rest can wait
        if missing > 0:
            self._fill(min(missing, _MAX_FILL), out)
        return out

    def close(self) -> None:
        """Frees the codecs. What the encoder still holds (some 50 ms) is dropped."""
        del self._decoder, self._resampler, self._coder
        self._recent.clear()

    def _end(self) -> float:
        """Position (48 kHz) on the timeline where the sound given so far really ends, resampling included."""
        return self._resampled * RATE / AAC_RATE + self._resampler.held if self._resampled else self._next

    @property
    def end(self) -> float:
        """Where the sound given so far ends, on the stream's timeline."""
        return self._start + self._end() / RATE

    def _together(self, run: Sequence[OpusPacket], out: list[AacFrame]) -> bool:
        """Takes a run as one packet if it goes on where the sound ends, and nothing of it wants a closer look."""
        first, last = run[0], run[-1]
        position = (first.time - self._start) * RATE
        if not self._recent or self._joint or self._wary > 0 or self._conceal_left < _CONCEAL:
            return False
        if first.rtp_time != self._next_rtp or abs(position - self._end()) >= _HARD:
            return False
        try:
            frame = self._decoder.decode(joined([packet.data for packet in run]))
        except ValueError:  # one of them is too long to be a packet
            return False
        if frame is None:
            return False
        self.stats.packets += len(run)
        self._next = round(position)
        samples = len(frame) // SAMPLE
        self._next_rtp = first.rtp_time + samples
        self._lost = lost_frame(last.data)
        self._lost_samples = samples // len(run)
        self._give(frame, out)
        return True

    def _packet(self, packet: OpusPacket, out: list[AacFrame]) -> None:
        stats = self.stats
        stats.packets += 1
        toc = parse_toc(packet.data)
        if toc is None or packet.time > packet.arrival + _EARLY:
            stats.broken += 1
            return
        position = (packet.time - self._start) * RATE
        offset = position - self._end()
        step = 0 if self._next_rtp is None else packet.rtp_time - self._next_rtp
        # After silence the sound takes its exact place. Else the RTP timestamps give a gap exactly, unless the time
        # disagrees by much (another session, a new mapping): then it decides.
        if not self._recent:
            gap = round(offset) if abs(offset) >= _NEAR else 0
        elif abs(step - offset) < _HARD:
            gap = step
        else:
            gap = round(offset) if abs(offset) >= _HARD else 0
        if -gap >= toc.samples:
            stats.late += 1
            return
        if gap > 0:
            self._fill(min(gap, _MAX_FILL), out)
        if step and step != gap:
            self._joint = True
        frame = self._decoder.decode(packet.data)
        if frame is None:
            stats.broken += 1
            return
        if gap < 0:
            stats.late += 1
            self._joint = True
            frame = frame[-gap * SAMPLE :]
            if not frame:
                return
        self._next = round(position) - min(gap, 0)
        self._next_rtp = packet.rtp_time + toc.samples
        self._lost = lost_frame(packet.data)
        self._lost_samples = toc.frame_samples
        self._conceal_left = _CONCEAL
        if self._joint:
            frame = pcm.blend(self._recent[-1] if self._recent else None, frame)
            self._joint = False
        if self._wary > 0:
            softened = pcm.soften(self._recent[-1], frame, self._steps)
            # As long as there is something to soften, the next frame may not begin where this one ends.
            self._wary = max(self._wary - len(frame) // SAMPLE, softened is not frame)
            frame = softened
        self._give(frame, out)

    def _fill(self, samples: int, out: list[AacFrame]) -> None:
        if self._next_rtp is not None:
            self._next_rtp += samples
        while samples >= self._lost_samples and self._conceal_left >= self._lost_samples > 0:
            self._conceal_left -= self._lost_samples
            frame = self._decoder.decode(self._lost)
            if frame is None or len(frame) > samples * SAMPLE:
                break
            if self._wary <= 0:
                self._steps = pcm.steepest(self._recent)
            self._wary = _WARY
            frame = pcm.soften(self._recent[-1], frame, self._steps)
            self._give(frame, out)
            samples -= len(frame) // SAMPLE
            self.stats.concealed += len(frame) / SAMPLE / RATE
        self._conceal_left = self._conceal_left if samples == 0 else 0
        self.stats.silence += samples / RATE
        while samples > 0:
            frame = bytes(min(samples, MAX_SAMPLES) * SAMPLE)
            if self._recent:
                frame = pcm.blend(self._recent[-1], frame)
                self._recent.clear()
            self._joint = True
            self._wary = 0
            self._encode(frame, out)
            samples -= len(frame) // SAMPLE

    def _give(self, frame: bytes, out: list[AacFrame]) -> None:
        self._encode(frame, out)
        self._recent.append(frame)
        while sum(map(len, self._recent)) >= _MEMORY * SAMPLE + len(self._recent[0]):
            self._recent.popleft()

    def _encode(self, frame: bytes, out: list[AacFrame]) -> None:
        planes = self._resampler.resample(frame, self._next)
        self._next += len(frame) // SAMPLE
        self._resampled += len(planes[0]) // FLOAT
        for unit in self._coder.encode(planes):
            if self._encoded >= 0:
                out.append(AacFrame(unit, self._start + self._encoded * FRAME_SAMPLES / AAC_RATE))
            self._encoded += 1


def _runs(packets: Sequence[OpusPacket]) -> list[list[OpusPacket]]:
    """The packets in rows that may be decoded as one: of one frame each, one after the other, up to 120 ms."""
    runs: list[list[OpusPacket]] = []
    head, samples, room, rtp_time, time = b"", 0, 0, 0, 0.0
    for packet in packets:
        data = packet.data
        if (
            head
            and data[:1] == head
            and packet.rtp_time == rtp_time
            and samples <= room
            and abs(packet.time - time) * RATE < _NEAR
            and packet.time <= packet.arrival + _EARLY
        ):
            runs[-1].append(packet)
        else:
            runs.append([packet])
            toc = parse_toc(data)
            if toc is not None and not data[0] & 3 and packet.time <= packet.arrival + _EARLY:
                head, samples = data[:1], toc.samples
            else:
                head, samples = b"", 0
            room, rtp_time = MAX_SAMPLES, packet.rtp_time
        room -= samples
        rtp_time += samples
        time = packet.time + samples / RATE
    return runs
