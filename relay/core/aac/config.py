"""AudioSpecificConfig of AAC-LC (ISO/IEC 14496-3, 1.6.2.1)."""

from typing import NamedTuple

SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
LC = 2
"""Audio object type of AAC-LC."""
FRAME_SAMPLES = 1024


class AudioSpecificConfig(NamedTuple):
    object_type: int
    sample_rate: int
    channels: int
    """Channel configuration: 1 mono, 2 stereo."""

    def encode(self) -> bytes:
        """Two bytes. `ValueError` for a rate without an index or a type or channel count that does not fit."""
        if self.sample_rate not in SAMPLE_RATES:
            raise ValueError(f"no sampling frequency index for {self.sample_rate} Hz")
        if not 1 <= self.object_type <= 30 or not 1 <= self.channels <= 7:
            raise ValueError("object type or channel configuration out of range")
        bits = self.object_type << 11 | SAMPLE_RATES.index(self.sample_rate) << 7 | self.channels << 3
        return bits.to_bytes(2, "big")

    @classmethod
    def parse(cls, data: bytes) -> "AudioSpecificConfig":
        """Reads the first fields; extensions behind them are left alone. `ValueError` when cut short or reserved."""
        bits = int.from_bytes(data[:5].ljust(5, b"\0"), "big")
        object_type, index = bits >> 35, bits >> 31 & 15
        if len(data) < 2 or object_type in (0, 31) or (index == 15 and len(data) < 5):
            raise ValueError("no AudioSpecificConfig")
        if index == 15:  # the rate itself, in 24 bits
            return cls(object_type, bits >> 7 & 0xFFFFFF, bits >> 3 & 15)
        if index >= len(SAMPLE_RATES):
            raise ValueError(f"reserved sampling frequency index {index}")
        return cls(object_type, SAMPLE_RATES[index], bits >> 27 & 15)
