"""The video codecs by SDP name. H.264 goes into plain FLV; the others need Enhanced RTMP (v1, v2), where it is on."""

from relay.core import av1, h264, h265, vp8, vp9
from relay.core.codec import VideoCodec, never_reorders, no_parameter_sets
from relay.core.rtp import av1_payload, h264_payload, h265_payload, vp8_payload, vp9_payload

H264 = VideoCodec(
    name="h264",
    fourcc=None,
    depacketizer=h264_payload.H264Depacketizer,
    starts_picture=h264_payload.starts_access_unit,
    carries_key=h264_payload.carries_idr,
    reorder_depth=h264.reorder_depth,
    parameter_sets=h264.parameter_sets,
    describe=h264.describe,
    sample=h264.length_prefixed,
)
H265 = VideoCodec(
    name="h265",
    fourcc=b"hvc1",
    depacketizer=h265_payload.H265Depacketizer,
    starts_picture=h265_payload.starts_picture,
    carries_key=h265_payload.carries_key,
    reorder_depth=h265.reorder_depth,
    parameter_sets=h265.parameter_sets,
    describe=h265.describe,
    sample=h264.length_prefixed,
)
VP8 = VideoCodec(
    name="vp8",
    fourcc=b"vp08",
    depacketizer=vp8_payload.Vp8Depacketizer,
    starts_picture=vp8_payload.starts_picture,
    carries_key=vp8_payload.starts_key_picture,
    reorder_depth=never_reorders,
    parameter_sets=no_parameter_sets,
    describe=vp8.describe,
    sample=b"".join,
)
VP9 = VideoCodec(
    name="vp9",
    fourcc=b"vp09",
    depacketizer=vp9_payload.Vp9Depacketizer,
    starts_picture=vp9_payload.starts_picture,
    carries_key=vp9_payload.starts_key_picture,
    reorder_depth=never_reorders,
    parameter_sets=no_parameter_sets,
    describe=vp9.describe,
    sample=b"".join,
)
AV1 = VideoCodec(
    name="av1",
    fourcc=b"av01",
    depacketizer=av1_payload.Av1Depacketizer,
    starts_picture=av1_payload.starts_sequence,
    carries_key=av1_payload.starts_sequence,
    reorder_depth=never_reorders,
    parameter_sets=no_parameter_sets,
    describe=av1.describe,
    sample=b"".join,
)

CODECS = {codec.name: codec for codec in (H264, H265, AV1, VP9, VP8)}
