"""What a worker process is told once, when it begins."""

from dataclasses import dataclass, field

from relay.core.codecs import CODECS
from relay.core.egress import ANY, EgressPolicy
from relay.core.load import MAX_CPU_SHARE
from relay.core.whep_source import WhepSource
from relay.push.transcode import DEFAULT_BIT_RATE, DEFAULT_CODER, CoderName
from relay.rtc.settings import RtcSettings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    shortest_tick: float = 0.01
    """Seconds from one look at the sockets to the next where there is little to do."""
    longest_tick: float = 0.04
    """The same under load: latency against cost."""
    rtc: RtcSettings = field(default_factory=RtcSettings)
    source: WhepSource | None = None
    """Where streams come from; None: publishers bring them, by WHIP."""
    audio_coder: CoderName = DEFAULT_CODER
    audio_bit_rate: int = DEFAULT_BIT_RATE
    """Bits per second of the AAC."""
    interleave: bool = False
    """Every push has its tags in the order of their time, and those to SRS have anyhow: see `push.interleave`."""
    egress: EgressPolicy = ANY
    """Where pushes may go."""
    max_sessions: int = 1000
    """Publishers at once."""
    max_viewers: int = 100
    """Viewers at once."""
    max_tasks: int = 1000
    """Running pushes at once."""
    max_cpu_share: float = MAX_CPU_SHARE
    """Of a core, by the thread of the media loop: beyond it new publishers and tasks are refused."""
    measure_cpu: bool = False
    """The phases of ticks are told in CPU seconds, whose clock is a system call; else in seconds that passed."""
    first_timestamp: int = 0
    """Milliseconds at which each push's RTMP clock begins."""

    @property
    def fourccs(self) -> tuple[str, ...]:
        """Of the video that may be pushed by Enhanced RTMP."""
        codecs = (CODECS[name] for name in self.rtc.enhanced_codecs)
        return tuple(codec.fourcc.decode() for codec in codecs if codec.fourcc is not None)
