"""AAC-LC (ISO/IEC 14496-3): its configuration, and what encoders give, taken apart; `encoder` is one."""

from relay.core.aac.config import FRAME_SAMPLES, LC, SAMPLE_RATES, AudioSpecificConfig
from relay.core.aac.elements import SILENCE, ChannelStream, mid_pair, pair

__all__ = [
    "FRAME_SAMPLES",
    "LC",
    "SAMPLE_RATES",
    "SILENCE",
    "AudioSpecificConfig",
    "ChannelStream",
    "mid_pair",
    "pair",
]
