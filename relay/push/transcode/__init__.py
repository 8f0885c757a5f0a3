"""Opus to AAC: the sound of one stream, made ready for CDNs."""

from relay.core.aac import FRAME_SAMPLES as AAC_SAMPLES
from relay.push.transcode.codecs import AAC_RATE
from relay.push.transcode.coders import DEFAULT_BIT_RATE, DEFAULT_CODER, CoderName, prepare
from relay.push.transcode.transcoder import AacFrame, Transcoder, TranscodeStats

__all__ = [
    "AAC_RATE",
    "AAC_SAMPLES",
    "DEFAULT_BIT_RATE",
    "DEFAULT_CODER",
    "AacFrame",
    "CoderName",
    "TranscodeStats",
    "Transcoder",
    "prepare",
]
