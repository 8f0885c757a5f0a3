"""The table of what is fuzzed. A new parser gets a line here and seeds in corpus/<name>/ (tests.fuzz.seeds)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relay.api.errors import ApiError
from relay.core.offer import SessionError
from relay.core.rtmp.amf0 import Amf0Error
from relay.core.token import TokenError
from tests.fuzz import credentials, faces, media, reception, rtmp, rtp, sdp, sound

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    run: Callable[[bytes], None]
    """Takes any bytes; what it raises beyond `allowed` is a finding, and so is what its assertions say."""
    allowed: tuple[type[Exception], ...] = ()
    max_size: int = 4096
    """Bytes of one input."""
    words: tuple[bytes, ...] = ()
    """Pieces of the language, for mutation."""
    short: int = 1000
    """Mutations in the short run."""

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except self.allowed:
            return

    @property
    def folder(self) -> Path:
        return CORPUS / self.name

    def corpus(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.iterdir())] if self.folder.is_dir() else []


_SDP_WORDS = (
    *(b"\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", b"\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", b"\r\na=", b"\r\n"),
    *(b"a=rtpmap:", b"a=fmtp:", b"a=rtcp-fb:", b"a=mid:", b"a=group:BUNDLE ", b"a=simulcast:send ", b"a=rid:"),
    *(b"a=ssrc-group:FID ", b"a=ssrc:", b"a=candidate:", b"a=ice-ufrag:", b"a=ice-pwd:", b"a=fingerprint:sha-256 "),
    *(b"a=setup:passive\r\n", b"a=setup:active\r\n", b"a=bundle-only\r\n", b"a=extmap:", b"a=sendrecv\r\n"),
    *(
        b"profile-level-id=",
        b"packetization-mode=",
        b"sprop-parameter-sets=Z0LAH9kAUAW7ARA=,aMuDyyA=",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\x0b",
        "\u0661".encode(),
    ),
)
_AMF_WORDS = (
    *(b"\2\0\7_result", b"\2\0\6_error", b"\2\0\x08onStatus", b"\0\0\0\x09", b"\0\0\x09", b"\3", b"\x08\0\0\0\1"),
    *(
        b"\0\x3f\xf0\0\0\0\0\0\0",
        b"\0\x7f\xf8\0\0\0\0\0\0",
        b"\0\4code\2\0\x17NetStream.Publish.Start",
        b"\x0a\0\0\0\2",
    ),
    *(b"\0\x0bdescription\2\0\x0asekretkey7", b"\0\5level\2\0\5error", b"\x0c\0\0\0\4", b"\5\5\5", b"\x10\0\0"),
)
_CHUNK_WORDS = (
    *_AMF_WORDS,
    *(b"\2\0\0\0\0\0\4\1\0\0\0\0\0\0\0\1", b"\2\0\0\0\0\0\4\1\0\0\0\0\x7f\xff\xff\xff", b"\2\0\0\0\0\0\4\2\0\0\0\0"),
    *(
        b"\2\0\0\0\0\0\6\4\0\0\0\0\0\6\1\2\3\4",
        b"\2\0\0\0\0\0\5\6\0\0\0\0\0\0\1\0\2",
        b"\2\0\0\0\0\0\4\5\0\0\0\0\0\0\0\1",
    ),
    *(b"\3\xff\xff\xff", b"\xc3", b"\x43", b"\x83", b"\x00\xff", b"\x01\xff\xff", b"\x14\0\0\0\0", b"\xff\xff\xff\xff"),
)
_JSON_WORDS = (
    *(b'"AppId":', b'"RoomId":', b'"TaskId":', b'"Stream":', b'"UserId":', b'"Control":{}', b'"MaxIdleTime":', b"null"),
    *(b'"PushURL":"rtmp://h/a/k"', b'"StreamType":', b'"MediaType":', b"true", b"1e999", b"NaN", b"[" * 40, b"-"),
    *(b'{"a":' * 30, b'"\\ud800"', b"\xff", b"1" * 40, b'""', b"{}", b"&AppId=a&RoomId=b&TaskId=%ff"),
)
_URL_WORDS = (b"rtmp://", b"rtmps://", b"@", b"[::1]", b":65536", b"?token=", b"%2F", b"/", b"//", b"\xc2\xa0", b"%25")
_TEMPLATE_WORDS = (
    *(b"http://", b"https://h/", b"{AppId}", b"{RoomId}", b"{UserId}", b"{StreamType}", b"{Stream}", b"{", b"}"),
    *(b"app:", b",", b"\n", b"?a=", b"#", b"[::1]", b":65536", b"@", b"%2F", b"\xc2\xa0"),
)
_SIGNATURE_WORDS = (
    *(
        b"X-Signature=",
        b"X-SignedQueries=",
        b"X-SignedHeaders=",
        b"X-Date=",
        b"X-Expires=",
        b"X-Credential=",
        b"%ff",
        b";",
    ),
    *(b"HMAC-SHA256 ", b"Credential=AKID/", b", SignedHeaders=", b"/rtc/request", b"host;x-date", b":443", b"&", b"+"),
)
_VIDEO_WORDS = (b"\x10\0\0\0\x9d\1\x2a\x80\2\xe0\1", b"\x90\x80\x80\1", b"\x0c\x82\x49\x83\x42", b"\x0a\x0b\0\0\0")
_PATH_WORDS = (b"/whip/app/room/user", b"/0/id", b"?StreamType=1", b"%00", b"..", b"//", b"\xff", *_SDP_WORDS[:12])

TARGETS = {
    target.name: target
    for target in (
        Target("rtp_packet", rtp.packet, max_size=600, short=2000),
        Target("rtcp", rtp.control, max_size=1500, short=1000, words=(b"\x81\xc8\0\6", b"\x81\xcd\0\3", b"REMB")),
        Target("h264_payload", rtp.h264_payload, max_size=8192, short=1250, words=(b"\x78", b"\x7c\x85", b"\x7c\x45")),
        Target("video_payload", rtp.video_payload, max_size=8192, short=750, words=_VIDEO_WORDS),
        Target("reception", reception.play, max_size=2048, short=350),
        Target("parameter_sets", media.parameter_sets, max_size=1024, short=2000),
        Target("sdp_offer", sdp.an_offer, (SessionError,), max_size=16384, short=250, words=_SDP_WORDS),
        Target("sdp_fragment", sdp.a_fragment, (SessionError,), max_size=4096, short=750, words=_SDP_WORDS),
        Target("sdp_answer", sdp.an_answer, (SessionError,), max_size=8192, short=500, words=_SDP_WORDS),
        Target("sdp_viewer_offer", sdp.a_viewers_offer, (SessionError,), max_size=16384, short=250, words=_SDP_WORDS),
        Target("whep_answer", sdp.a_whep_answer, (SessionError,), max_size=8192, short=400, words=_SDP_WORDS),
        Target("whep_url", faces.whep_url, (ValueError,), max_size=2000, short=1000, words=_TEMPLATE_WORDS),
        Target("rtmp_publisher", rtmp.publisher_answers, max_size=4096, short=450, words=_CHUNK_WORDS),
        Target("rtmp_server", rtmp.server_requests, max_size=4096, short=500, words=_CHUNK_WORDS),
        Target("amf0", rtmp.amf0_values, (Amf0Error,), max_size=4096, short=2000, words=_AMF_WORDS),
        Target("flv_tags", rtmp.flv_tags, max_size=4096, short=300),
        Target("push_url", faces.push_url, (ValueError,), max_size=3000, short=1500, words=_URL_WORDS),
        Target("ident", faces.ident, (UnicodeDecodeError,), max_size=256, short=1500),
        Target("signature", credentials.signature, max_size=2048, short=350, words=_SIGNATURE_WORDS),
        Target("room_token", credentials.room_token, (TokenError,), max_size=2048, short=1500),
        Target("aac_block", media.aac_block, (ValueError,), max_size=1536, short=1000, words=(b"\x01\x40", b"\x0e")),
        Target("aac_encoder", sound.encoder, max_size=4096, short=100),
        Target("resampler", sound.resampler, max_size=4096, short=60),
        Target("feed", media.feed, max_size=4096, short=20),
        Target("control_api", faces.control_api, (ApiError,), max_size=8192, short=750, words=_JSON_WORDS),
        Target("whip", faces.whip, max_size=8192, short=250, words=_PATH_WORDS),
        Target("whep", faces.whep, max_size=8192, short=150, words=_PATH_WORDS),
    )
}
