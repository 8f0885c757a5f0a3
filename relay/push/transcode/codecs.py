"""What turns Opus into AAC: libopus, FFmpeg's resampler and its AAC encoders. Bytes go in and come out."""

import errno
from collections.abc import Mapping, Sequence
from functools import lru_cache

from relay.core.aac import FRAME_SAMPLES
from relay.core.opus import MAX_SAMPLES, RATE
from relay.push.transcode.libraries import CodecError, libraries
from relay.push.transcode.pcm import SAMPLE

AAC_RATE = 44_100
MAX_DRIFT = RATE // 200
"""Samples of each second that resampling may add or leave out."""
_PIECE = RATE * 3 // 50
"""Samples that it is given at once: its buffers grow with them, to 0.5 MB for 100 ms, and stay."""
_ROOM = _PIECE + 64
"""What a piece becomes at most: with what was held back, and with drift."""
_AUDIO, _FLTP = 1, 8  # AVMEDIA_TYPE_AUDIO, AV_SAMPLE_FMT_FLTP
FLOAT = 4
"""Bytes of one sample of a plane."""
BLOCK = FRAME_SAMPLES * FLOAT
"""Bytes of one channel of an AAC frame."""


class _Room:
    """For what the libraries give: calls are synchronous and on one thread, so one serves the whole process."""

    def __init__(self) -> None:
        ffi = libraries().ffi
        self.samples = ffi.new("int16_t[]", MAX_SAMPLES * 2)
        self.pcm = ffi.buffer(self.samples)
        self._floats = [ffi.new("float[]", _ROOM) for _ in range(3)]
        self.planes = [ffi.buffer(plane) for plane in self._floats]
        self.out = ffi.new("uint8_t *[]", [ffi.cast("uint8_t *", plane) for plane in self._floats])
        self.input = ffi.new("uint8_t *[1]")


@lru_cache(maxsize=1)
def _room() -> _Room:
    return _Room()


class OpusDecoder:
    """libopus: 48 kHz, 16 bits, two channels, interleaved; mono packets come on both."""

    def __init__(self) -> None:
        ffi, lib = libraries().ffi, libraries().lib
        error = ffi.new("int *")
        state = lib.opus_decoder_create(RATE, 2, error)
        if error[0]:
            raise CodecError(f"libopus: {error[0]}")
        self._state = ffi.gc(state, lib.opus_decoder_destroy)
        self._decode = lib.opus_decode
        self._room = _room()

    def decode(self, packet: bytes) -> bytes | None:
        """None where it cannot be decoded."""
        room = self._room
        if not packet:  # libopus would conceal as much as there is room for
            return None
        count = self._decode(self._state, packet, len(packet), room.samples, MAX_SAMPLES, 0)
        return room.pcm[: count * SAMPLE] if count > 0 else None


class Resampler:
    """48 to 44.1 kHz, sliding by `MAX_DRIFT` at most towards each frame's position; its hard corrections are off."""

    held = 17
    """Samples (48 kHz) that it holds back: half its filter."""

    def __init__(self, mix: Sequence[tuple[float, float]]) -> None:
        """`mix`: how much of left and right is in each channel that comes out, of which there are two or three."""
        self._libraries = libraries()
        ffi, lib = self._libraries.ffi, self._libraries.lib
        self._context = self._libraries.owned(lib.swr_alloc(), lib.swr_free, "SwrContext")
        options = {"in_chlayout": "stereo", "in_sample_rate": str(RATE), "in_sample_fmt": "s16"}
        options |= {"out_chlayout": "stereo" if len(mix) == 2 else "3.0", "out_sample_rate": str(AAC_RATE)}
        options |= {"out_sample_fmt": "fltp", "async": str(MAX_DRIFT), "min_hard_comp": "1000000"}
        # 147 phases, which is what 48 to 44.1 kHz needs, also where it slides: by default it makes 882 then, 141 kB.
        options |= {"phase_shift": "8"}
        self._libraries.set(self._context, options)
        matrix = ffi.new("double[]", [part for row in mix for part in row])
        if lib.swr_set_matrix(self._context, matrix, 2) < 0 or lib.swr_init(self._context) < 0:
            raise CodecError("the resampler does not take its settings")
        self._channels = len(mix)
        self._room = _room()

    def resample(self, pcm: bytes, position: int) -> list[bytes]:
        """Takes 16-bit stereo, whose place is `position` in samples; gives floats, a plane for each channel."""
        ffi, lib, room = self._libraries.ffi, self._libraries.lib, self._room
        planes: list[list[bytes]] = [[] for _ in range(self._channels)]
        for start in range(0, len(pcm), _PIECE * SAMPLE):
            piece = pcm[start : start + _PIECE * SAMPLE]
            room.input[0] = ffi.from_buffer("uint8_t[]", piece)
            lib.swr_next_pts(self._context, (position + start // SAMPLE) * AAC_RATE)
            count = lib.swr_convert(self._context, room.out, _ROOM, room.input, len(piece) // SAMPLE)
            if count < 0:
                raise CodecError("the resampler failed")
            for plane, buffer in zip(planes, room.planes, strict=False):
                plane.append(buffer[: count * FLOAT])
        return [b"".join(plane) for plane in planes]


class AacEncoder:
    """FFmpeg's. The first raw data block that it gives is priming."""

    def __init__(self, channels: int, bit_rate: int, options: Mapping[str, str]) -> None:
        """`options`: FFmpeg's, of this encoder or of all."""
        self._libraries = libraries()
        ffi, lib, owned = self._libraries.ffi, self._libraries.lib, self._libraries.owned
        codec = lib.avcodec_find_encoder_by_name(b"aac")
        self._context = owned(lib.avcodec_alloc_context3(codec), lib.avcodec_free_context, "AVCodecContext")
        parameters = owned(lib.avcodec_parameters_alloc(), lib.avcodec_parameters_free, "AVCodecParameters")
        lib.avcodec_parameters_from_context(parameters, self._context)
        parameters.codec_type, parameters.format = _AUDIO, _FLTP
        parameters.bit_rate, parameters.sample_rate = bit_rate, AAC_RATE
        lib.av_channel_layout_default(ffi.addressof(parameters, "ch_layout"), channels)
        lib.avcodec_parameters_to_context(self._context, parameters)
        general = {"time_base": f"1/{AAC_RATE}", "threads": "1", "flags": "+global_header"}
        self._libraries.set(self._context, general)
        self._libraries.set(self._context, options)
        if lib.avcodec_open2(self._context, codec, ffi.NULL) < 0:
            raise CodecError("the AAC encoder does not take its settings")
        # It has cleared half a megabyte for costs by scale factor, most of which never occur.
        self._libraries.release_zeros(self._context.priv_data)
        lib.avcodec_parameters_from_context(parameters, self._context)
        self.config = ffi.buffer(parameters.extradata, parameters.extradata_size)[:]
        """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
        self._packet = owned(lib.av_packet_alloc(), lib.av_packet_free, "AVPacket")
        self._frame = owned(lib.av_frame_alloc(), lib.av_frame_free, "AVFrame")
        self._frame.format, self._frame.sample_rate, self._frame.nb_samples = _FLTP, AAC_RATE, FRAME_SAMPLES
        lib.av_channel_layout_default(ffi.addressof(self._frame, "ch_layout"), channels)
        if lib.av_frame_get_buffer(self._frame, 0) < 0:
            raise MemoryError("AVFrame")

    def encode(self, *planes: bytes) -> list[bytes]:
        """Takes floats, a plane for each channel, in whole blocks of 1024 samples; gives a raw data block for each
        block but the first."""
        context, frame, packet = self._context, self._frame, self._packet
        ffi, lib = self._libraries.ffi, self._libraries.lib
        units: list[bytes] = []
        for start in range(0, len(planes[0]), BLOCK):
            # The encoder has let go of the block before: nothing is copied here.
            if lib.av_frame_make_writable(frame) < 0:
                raise MemoryError("AVFrame")
            for data, plane in zip(frame.data, planes, strict=False):
                ffi.memmove(data, plane[start : start + BLOCK], BLOCK)
            if lib.avcodec_send_frame(context, frame) < 0:
                raise CodecError("the AAC encoder failed")
            received = lib.avcodec_receive_packet(context, packet)
            if received == 0:
                units.append(ffi.buffer(packet.data, packet.size)[:])
            elif received != -errno.EAGAIN:  # that is the first block's answer
                raise CodecError("the AAC encoder failed")
        return units
