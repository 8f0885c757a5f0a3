"""FFmpeg's libraries and libopus, which PyAV brings along, and the C library below them, by cffi in ABI mode.

Through PyAV itself each access unit and each frame is an object with fractions for its times, made and dropped on the
way. What of the libraries' structures is declared here holds for the major versions that are asked for; `av` is pinned
to them.
"""

import mmap
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

import cffi  # type: ignore[import-untyped]  # it ships no types
from av.codec import context

_AVCODEC, _AVUTIL, _SWRESAMPLE = 62, 60, 6
"""Major versions."""
_MADV_DONTNEED = 4
_PAGE = mmap.PAGESIZE
_SEARCH_CHILDREN = 1  # AV_OPT_SEARCH_CHILDREN: an encoder's own options, too

_DECLARATIONS = """
unsigned avcodec_version(void); unsigned avutil_version(void); unsigned swresample_version(void);

typedef struct { int order; int nb_channels; uint64_t mask; void *opaque; } AVChannelLayout;
typedef struct { int num; int den; } AVRational;
typedef struct {
    int codec_type; int codec_id; uint32_t codec_tag;
    uint8_t *extradata; int extradata_size;
    void *coded_side_data; int nb_coded_side_data;
    int format; int64_t bit_rate;
    int bits_per_coded_sample; int bits_per_raw_sample; int profile; int level; int width; int height;
    AVRational sample_aspect_ratio; AVRational framerate;
    int field_order; int color_range; int color_primaries; int color_trc; int color_space; int chroma_location;
    int video_delay;
    AVChannelLayout ch_layout; int sample_rate;
} AVCodecParameters;
typedef struct { void *buf; int64_t pts; int64_t dts; uint8_t *data; int size; } AVPacket;
typedef struct {
    uint8_t *data[8]; int linesize[8]; uint8_t **extended_data;
    int width; int height; int nb_samples; int format; int pict_type;
    AVRational sample_aspect_ratio; int64_t pts; int64_t pkt_dts; AVRational time_base;
    int quality; void *opaque; int repeat_pict; int sample_rate;
    void *buf[8]; void **extended_buf; int nb_extended_buf; void **side_data; int nb_side_data;
    int flags; int color_range; int color_primaries; int color_trc; int colorspace; int chroma_location;
    int64_t best_effort_timestamp; void *metadata; int decode_error_flags; void *hw_frames_ctx; void *opaque_ref;
    size_t crop_top; size_t crop_bottom; size_t crop_left; size_t crop_right; void *private_ref;
    AVChannelLayout ch_layout;
} AVFrame;
typedef struct { const char *class_name; } AVClass;
typedef struct {
    const AVClass *av_class; int log_level_offset; int codec_type; const void *codec; int codec_id; unsigned codec_tag;
    void *priv_data;
} AVCodecContext;
typedef struct AVCodec AVCodec;
typedef struct SwrContext SwrContext;

const AVCodec *avcodec_find_encoder_by_name(const char *name);
AVCodecContext *avcodec_alloc_context3(const AVCodec *codec);
int avcodec_open2(AVCodecContext *context, const AVCodec *codec, void *options);
void avcodec_free_context(AVCodecContext **context);
AVCodecParameters *avcodec_parameters_alloc(void);
void avcodec_parameters_free(AVCodecParameters **parameters);
int avcodec_parameters_from_context(AVCodecParameters *parameters, const AVCodecContext *context);
int avcodec_parameters_to_context(AVCodecContext *context, const AVCodecParameters *parameters);
int avcodec_send_frame(AVCodecContext *context, const AVFrame *frame);
int avcodec_receive_packet(AVCodecContext *context, AVPacket *packet);
AVPacket *av_packet_alloc(void);
void av_packet_free(AVPacket **packet);
AVFrame *av_frame_alloc(void);
void av_frame_free(AVFrame **frame);
int av_frame_get_buffer(AVFrame *frame, int align);
int av_frame_make_writable(AVFrame *frame);
int av_opt_set(void *object, const char *name, const char *value, int flags);
void av_channel_layout_default(AVChannelLayout *layout, int channels);

SwrContext *swr_alloc(void);
int swr_init(SwrContext *context);
void swr_free(SwrContext **context);
int swr_set_matrix(SwrContext *context, const double *matrix, int stride);
int64_t swr_next_pts(SwrContext *context, int64_t pts);
int swr_convert(SwrContext *context, uint8_t *const *out, int out_count, const uint8_t *const *in, int in_count);

typedef struct OpusDecoder OpusDecoder;
OpusDecoder *opus_decoder_create(int32_t rate, int channels, int *error);
int opus_decode(OpusDecoder *decoder, const char *data, int32_t length, int16_t *pcm, int frame_size, int fec);
void opus_decoder_destroy(OpusDecoder *decoder);

size_t malloc_usable_size(void *allocated);
int madvise(void *address, size_t length, int advice);
"""


class CodecError(Exception):
    """A library refused what it was told or given."""


class Libraries:
    """Of the process."""

    def __init__(self) -> None:
        self.ffi = ffi = cffi.FFI()
        ffi.cdef(_DECLARATIONS)
        # A symbol is looked for in what the extension module is linked with, too, wherever that has come from.
        self.lib: Any = ffi.dlopen(context.__file__)
        found = tuple(
            version() >> 16
            for version in (self.lib.avcodec_version, self.lib.avutil_version, self.lib.swresample_version)
        )
        if found != (_AVCODEC, _AVUTIL, _SWRESAMPLE):
            raise ImportError(f"FFmpeg's libraries of av have major versions {found}, not those of av 18.1")

    def owned(self, pointer: Any, free: Callable[[Any], None], kind: str) -> Any:
        """`pointer`, freed with its Python object by a function that takes its address."""
        if not pointer:
            raise MemoryError(kind)
        return self.ffi.gc(pointer, lambda it: free(self.ffi.new(f"{kind} **", it)))

    def set(self, target: Any, options: Mapping[str, str]) -> None:
        for name, value in options.items():
            if self.lib.av_opt_set(target, name.encode(), value.encode(), _SEARCH_CHILDREN) < 0:
                raise CodecError(f"{name}={value} is no option")

    def release_zeros(self, allocated: Any) -> int:
        """Gives the pages of `allocated` in which there are only zeros back to the kernel, and says how many: it makes
        them anew, with zeros, when somebody looks. Nobody else may write there meanwhile."""
        address = int(self.ffi.cast("uintptr_t", allocated))
        start = -(-address // _PAGE) * _PAGE
        whole = max((address + self.lib.malloc_usable_size(allocated) - start) // _PAGE * _PAGE, 0)
        content, zeros, released = bytes(self.ffi.buffer(self._at(start), whole)), bytes(_PAGE), 0
        pages = range(0, whole, _PAGE)
        for empty, group in groupby(pages, lambda page: content[page : page + _PAGE] == zeros):
            run = list(group)
            if empty and self.lib.madvise(self._at(start + run[0]), len(run) * _PAGE, _MADV_DONTNEED) == 0:
                released += len(run)
        return released

    def _at(self, address: int) -> Any:
        return self.ffi.cast("void *", address)


@lru_cache(maxsize=1)
def libraries() -> Libraries:
    return Libraries()
