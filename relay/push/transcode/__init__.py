"""Opus to AAC: the sound of one stream, made ready for CDNs."""

from relay.push.transcode.codecs import AAC_RATE, AAC_SAMPLES, DEFAULT_BIT_RATE, DEFAULT_CODER
from relay.push.transcode.transcoder import AacFrame, Transcoder, TranscodeStats

__all__ = ["AAC_RATE", "AAC_SAMPLES", "DEFAULT_BIT_RATE", "DEFAULT_CODER", "AacFrame", "TranscodeStats", "Transcoder"]
