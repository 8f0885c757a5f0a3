"""Makes the corpus: `python -m tests.fuzz.seeds` from the clip, the fixtures and nginx-rtmp's own words.

`python -m tests.fuzz.seeds merge TARGET...` adds what a long run under atheris has found to reach new code.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import math
import struct
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import av

from relay.cli.source import ClipSource, Picture, Sound, builtin_clip
from relay.core import flv
from relay.core.codecs import CODECS
from relay.core.h264 import decoder_configuration, length_prefixed
from relay.core.push_url import PushUrl
from relay.core.rtmp import amf0
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.publisher import Publisher, State
from relay.core.rtp import rtcp
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.sender import RtpSender
from relay.core.token import Privilege, RoomToken, issue
from tests.fuzz import credentials, rtmp, sdp
from tests.fuzz.reception import AUDIO_PT, RTX_PT, STEPS, VIDEO_PT, Scene, dressed
from tests.fuzz.runs import quieten, work_folder
from tests.fuzz.tape import blob
from tests.fuzz.targets import CORPUS, TARGETS, Target
from tests.support.clip import flv_clip
from tests.support.mono import mono_blocks
from tests.support.nginx import Nginx, nginx
from tests.support.whep_answers import ALL_OF_THEM, ONE_EACH

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sdp"
MAX_GROWN = 30
"""Inputs that a merge adds to a target's corpus at most, the smallest."""
MAX_LOOKED_AT = 400


def put(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data[: TARGETS[target].max_size])


def media() -> tuple[list[Picture], list[Sound]]:
    """The clip's first second, its pictures' slices shortened to a packet or two."""
    pictures, sounds = [], []
    for item in itertools.islice(ClipSource(builtin_clip()), 80):
        if isinstance(item, Picture):
            pictures.append(Picture([nal[:1500] for nal in item.nals], item.key, item.time))
        else:
            sounds.append(item)
    return pictures, sounds


def senders() -> tuple[RtpSender, RtpSender]:
    video = RtpSender(
        kind="video",
        payload_type=VIDEO_PT,
        clock_rate=90000,
        ssrc=0x5EED0001,
        cname="publisher",
        first_sequence=65533,
        rtp_offset=2**32 - 9000,
        rtx_payload_type=RTX_PT,
        rtx_ssrc=0x5EEE,
    )
    audio = RtpSender(
        kind="audio",
        payload_type=AUDIO_PT,
        clock_rate=48000,
        ssrc=0xA0D10001,
        cname="publisher",
        first_sequence=65533,
        rtp_offset=2**32 - 4800,
    )
    return video, audio


def rtp_seeds() -> None:
    pictures, sounds = media()
    video, audio = senders()
    packets = [
        p for item in pictures[:3] for p in video.send_access_unit(item.nals, round(item.time * 90000), item.time)
    ]
    packets += audio.send_opus(sounds[0].data, 0, 0.0)
    for number, data in enumerate(packets[:6]):
        put("rtp_packet", f"seed-{number}", data)
    put("rtp_packet", "seed-dressed", dressed(packets[-1], 5))
    reports = {
        "sr": video.report(1.0, 3.9e9),
        "bye": video.bye(),
        "nack": rtcp.nack(1, video.ssrc, [65533, 65534, 65535, 65540]),
        "pli": rtcp.pli(1, video.ssrc),
        "remb": rtcp.remb(1, 2_500_000, [video.ssrc, audio.ssrc]),
        "rr": rtcp.receiver_report(
            rtcp.ReceiverReport(1, (rtcp.ReportBlock(video.ssrc, 12, -3, 70000, 900, 0x12345678, 65536),) * 2)
        ),
        "fir": bytes.fromhex("84ce0004000000010000000000005eed05000000"),
        "transport-cc": bytes.fromhex("8fcd0005000000015eed000100010003000001002003d40810150000"),
        "xr": bytes.fromhex("80cf0005000000010400000200000000000000000000000000"[:48]),
    }
    for name, data in reports.items():
        put("rtcp", f"seed-{name}", data)
    put("rtcp", "seed-compound", b"".join((reports["rr"], reports["nack"], reports["pli"], reports["remb"])))
    programme = b"".join(
        bytes((1 if number == last else 0, 1 if number == 0 else 0)) + blob(payload)
        for picture in pictures[:5]
        for payloads in [packetize(picture.nals, 1200)]
        for last in [len(payloads) - 1]
        for number, payload in enumerate(payloads)
    )
    put("h264_payload", "seed-clip", programme)
    put("h264_payload", "seed-parts", b"".join(b"\1\1" + blob(p) for p in packetize(pictures[0].nals, 300)))
    datagrams = [*[data for data in packets if len(data) < 900][:6], reports["sr"], reports["bye"]]
    inject = bytes((STEPS.index(Scene.inject),))
    put("reception", "seed-datagrams", b"\x21" + b"".join(inject + blob(data) for data in datagrams))


def video_seeds() -> None:
    """Frames of VP8 and VP9 in two payloads each, behind the plainest descriptors."""
    others = sorted(name for name in CODECS if name != "h264")
    for name, encoder, first, last in (("vp8", "libvpx", b"\x10", b"\0"), ("vp9", "libvpx-vp9", b"\x08", b"\4")):
        codec = av.CodecContext.create(encoder, "w")
        codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "yuv420p", Fraction(1, 30)
        codec.options = {"deadline": "realtime", "lag-in-frames": "0"}
        programme = bytes((others.index(name),)) if name in others else b"\0"
        for index in range(4):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts = index
            for plane in picture.planes:
                plane.update(bytes((index * 40 + at) & 0xFF for at in range(plane.buffer_size)))
            for frame in map(bytes, codec.encode(picture)):
                half = len(frame) // 2
                programme += b"\0\1" + blob(first + frame[:half]) + b"\1\0" + blob(last + frame[half:])
        put("video_payload", f"seed-{name}", programme)


def _step(move: Callable[[Scene], None], *arguments: int) -> bytes:
    return bytes((STEPS.index(move), *arguments))


def reception_seeds() -> None:
    """Programmes in the words of `Scene`."""
    everything = _step(Scene.deliver_some, 255)
    key, inter, large = (_step(Scene.send_picture, *shape) for shape in ((1, 2), (0, 2), (15, 4)))
    tick, wait, soon = _step(Scene.tick), _step(Scene.wait, 1), _step(Scene.wait, 3)
    sound, lose = _step(Scene.send_sound, 2), _step(Scene.lose_some, 1)
    frame = inter + sound + everything + wait + tick
    swap = _step(Scene.reorder, 5) + _step(Scene.repeat, 2)
    dress = b"".join(_step(Scene.dress, 255, 254 - number) for number in range(6))
    reports = _step(Scene.send_report, 0, 0, 0) + frame + _step(Scene.send_report, 1, 0, 0)
    leave = _step(Scene.leave, 0) + _step(Scene.leave, 1)
    again = _step(Scene.new_sources)
    aggregate = blob(b"\x78\0\3\x65\x88\1\0\2\x41\x88")
    forge = _step(Scene.forge, 1, 2, 255, 4, 128) + _step(Scene.corrupt, 0, 12, 255, 255, 255, 255, 0)
    programmes = {
        "clean": [key, sound, everything, wait, tick, frame * 6],
        "loss": [large, _step(Scene.deliver_some, 2), lose, everything, tick, soon, tick, everything, tick, frame * 3],
        "given-up": [key, everything, inter, lose, (frame + soon) * 8, large, everything],
        "reorder": [large, swap * 4, everything, tick, frame],
        "dressed": [large, dress, _step(Scene.send_padding, 0), everything, tick],
        "reports": [key, everything, reports * 5],
        "reload": [key, everything, leave, again, key, sound, everything, _step(Scene.wait, 6), tick, key, everything],
        "unmarked": [(_step(Scene.send_picture, 33, 2) + everything + wait) * 4, tick],
        "reordered": [
            b"".join(
                _step(Scene.send_picture, shape, 2) + everything + wait
                for shape in (1, 64, 128, 0, 64, 128, 128, 192, 0)
            )
        ],
        "forged": [large, forge, _step(Scene.insert, 0, 1), aggregate, b"\x01", everything, tick],
    }
    for name, programme in programmes.items():
        for flags in (1, 38, 231) if name in ("loss", "reload", "dressed") else (65,):
            put("reception", f"seed-{name}-{flags}", bytes((flags,)) + b"".join(programme))


def media_seeds() -> None:
    pictures, sounds = media()
    sps, pps = pictures[0].nals[0], pictures[0].nals[1]
    record = decoder_configuration([sps], [pps])
    high = bytes.fromhex("67640028acd940780227e5c05a808080a0000003002000000781e30632c0")
    seeds = {
        "sps": sps,
        "sps-high": high,
        "sps-vui": bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832480"),
        "pps": pps,
        "avcc": record,
        "avcc-high": decoder_configuration([high], [pps, pps]),
        "lengths": length_prefixed([sps, pps, b"\x65" * 40]),
        "annex-b": b"\0\0\0\1" + sps + b"\0\0\1" + pps + b"\0\0\1\x65\x88\x84",
        "asc": b"\x12\x10",
        "opus": sounds[0].data[:80],
    }
    for name, data in seeds.items():
        put("parameter_sets", f"seed-{name}", data)

    for seed, level in enumerate((0.0, 0.02, 0.2, 0.2)):
        for index in (2, 5, 8):
            put("aac_block", f"seed-{seed}-{index}", mono_blocks(seed, level, 32_000)[index])

    def plane(scale: int, data: bytes) -> bytes:
        return b"\0" + (len(data) - 1).to_bytes(2, "big") + bytes((scale,)) + data

    wave = bytes(round(128 + 100 * math.sin(0.05 * at)) for at in range(2011))
    rough = bytes(at * at * 7919 % 256 for at in range(1999))
    blow = b"\x80" * 1500 + rough[:300]
    for name, rate, planes in (
        ("silence", 1, [plane(3, b"\0")]),
        ("both", 2, [plane(0, wave)]),
        ("apart", 2, [plane(0, wave), plane(1, rough)]),
        ("blows", 4, [plane(1, blow), plane(0, wave[:500])]),
        ("loud", 0, [plane(6, blow)]),
        ("floats", 3, [b"\1" + (399).to_bytes(2, "big") + struct.pack("<100f", *(0.9**at for at in range(100)))]),
    ):
        step = b"\5" + planes[0] + (b"\0" + planes[1] if len(planes) > 1 else b"\1")
        put("aac_encoder", f"seed-{name}", bytes((rate, rate % 4)) + step + step[:3000])

    for name, slides in (("straight", (128,)), ("slides", (128, 255, 128, 0, 130)), ("loud", (128, 120))):
        pcm = b"\xff\x7f\x00\x80" * 50 if name == "loud" else rough[:600]
        steps = [(959 + 700 * at).to_bytes(2, "big") + bytes((slide,)) + blob(pcm) for at, slide in enumerate(slides)]
        put("resampler", f"seed-{name}", b"".join(steps))

    def opus(data: bytes, place: int = 0, step: int = 0) -> bytes:
        return bytes((0, place, step)) + blob(data)

    def tick(length: int = 0) -> bytes:
        return bytes((4, length))

    real = [sound.data for sound in sounds[:10]]
    put("feed", "seed-sound", b"".join(opus(data[:350]) + tick() for data in real))
    put(
        "feed",
        "seed-gaps",
        b"".join(opus(data[:300], number % 5, number % 9) + tick(3) for number, data in enumerate(real)),
    )
    small = b"".join(opus(bytes((toc,)) + bytes(9)) + tick() for toc in range(0, 256, 7))
    put("feed", "seed-configurations", small)
    video = b"\2\1\0\0" + blob(bytes(60)) + b"\2\0\1\1" + blob(bytes(30)) + tick()
    put("feed", "seed-video", video * 4 + b"\7" + video + b"\6" + b"\2\1\2" + sps[1:13] + b"\0" + blob(b"\1"))
    put("feed", "seed-many-sets", b"\2\1\3\0" + blob(bytes(9)) + video)


def sdp_seeds() -> None:
    for path in sorted(FIXTURES.glob("*.offer.sdp")):
        text = path.read_text()
        name = f"seed-{path.name.partition('.')[0]}"
        put("sdp_offer", name, text.encode())
        watching = text.replace("a=sendonly", "a=recvonly").encode()
        put("sdp_viewer_offer", name, b"\0" + watching)
        if path.name.startswith(("cr-basic", "gst-lo", "mdns", "ff-high", "simulcast")):
            lines = text.splitlines()
            kept = [line for line in lines if line.startswith(("a=ice-", "a=candidate", "m=", "a=mid", "a=end"))]
            more = ["a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host generation 0", "a=end-of-candidates"]
            fragment = "\r\n".join([*kept, *more, ""]).encode()
            put("sdp_fragment", name, fragment)
            whip = b"\0\x04" + blob(b"app/room/user?StreamType=1") + blob(b"") + blob(b"relay.test") + text.encode()
            put("whip", name, whip)
            put("whep", name, b"\0\x04" + blob(b"app/room/user") + blob(b"") + blob(b"relay.test") + watching)
            put("sdp_answer", name, sdp.answered(text).encode())
            put(
                "whip",
                f"{name}-fragment",
                b"\1\5" + blob(b"app/room/user/0/s1") + blob(b'"tag"') + blob(b"h") + fragment,
            )
    for name, text in (("one-each", ONE_EACH), ("all-of-them", ALL_OF_THEM)):
        put("whep_answer", f"seed-{name}", text.encode())
        put("whep_answer", f"seed-{name}-vp8", text.replace("H264", "VP8").encode())
    for name, text in (
        ("mediamtx", "http://localhost:8889/{RoomId}/{UserId}/whep"),
        ("srs", "http://localhost:1985/rtc/v1/whep/?app={RoomId}&stream={UserId}-{Stream}"),
        (
            "apps",
            "app:https://h:1/{AppId}/{RoomId}?t={StreamType}\n# c\nhttp://[::1]:8080/{UserId},other:http://i/{UserId}",
        ),
    ):
        put("whep_url", f"seed-{name}", text.encode())
    zone = "a=ice-ufrag:abcd\r\na=candidate:1 1 udp 2130706431 2001:db8::1%\u00e9 50000 typ host\r\n"
    put("sdp_fragment", "case-zone", zone.encode())
    put("whip", "seed-delete", b"\2\4" + blob(b"app/room/user/0/s1") + blob(b"") + blob(b"[::1]:8080"))
    put("whip", "seed-slash", b"\0\4" + blob(b"app/room/user/") + blob(b"*") + blob(b"a b"))
    for face in ("whip", "whep"):
        put(face, "seed-options", b"\3\4" + blob(b"app/room/user") + blob(b"") + blob(b""))
    put("whep", "seed-get", b"\4\4" + blob(b"app/room/user/0/s1") + blob(b"") + blob(b"h"))


def name_seeds() -> None:
    urls = (
        "rtmp://cdn.example/live/key",
        "rtmps://cdn.example:8443/app/more/key?token=a%2Fb/c&sign=1",
        "rtmp://user:pass@[2001:db8::1%25eth0]:1935/live/key",
        "rtmp://h/app?token=x/key",
        "RTMP://192.0.2.1/live/%E4%BD%A0?x",
    )
    for number, url in enumerate(urls):
        put("push_url", f"seed-{number}", url.encode())
    for number, name in enumerate(("user@1.x_-", "a" * 128, "комната", "a\n", "")):
        put("ident", f"seed-{number}", name.encode())
    start = {
        "AppId": "app",
        "RoomId": "room",
        "TaskId": "task",
        "Stream": {"UserId": "user", "StreamType": 1},
        "PushURL": urls[1],
        "Control": {"MediaType": 0, "MaxIdleTime": 180},
        "BusinessId": None,
    }
    put("control_api", "seed-start", b"\0" + json.dumps(start).encode())
    put("control_api", "seed-stop", b"\1" + json.dumps(start).encode())
    put("control_api", "seed-get", b"\2" + json.dumps(start).encode())
    put("control_api", "seed-request-start", b"\3\0\1" + blob(b"") + json.dumps(start).encode())
    put("control_api", "seed-request-stop", b"\4\0\1" + blob(b"") + json.dumps(start).encode())
    put("control_api", "seed-request-get", b"\5\1\1" + blob(b"AppId=app&RoomId=room&TaskId=t%61&UserId="))
    put("control_api", "seed-deep", b"\0" + b'{"Stream":' * 700 + b"1" + b"}" * 700)
    put("control_api", "seed-no-action", b"\3\0\0" + blob(b"Action=&Version=x&a=b"))


def credential_seeds() -> None:
    for name, data in credentials.signed_requests().items():
        put("signature", f"seed-{name}", data)
    for number, privileges in enumerate(({Privilege.PUBLISH: 0}, {7: 5, Privilege.SUBSCRIBE: 2**32 - 1})):
        said = RoomToken("room", "user", 7, 1_700_000_000, 2_000_000_000 * (1 - number), privileges)
        text = issue(said, app_id=credentials.APP_ID, app_key=credentials.APP_KEY)
        put("room_token", f"seed-text-{number}", b"\0" + text.encode())
        content = base64.b64decode(text[len("001" + credentials.APP_ID) :])
        put("room_token", f"seed-message-{number}", b"\1" + content[2 : 2 + int.from_bytes(content[:2], "little")])


def rtmp_seeds() -> None:
    values = {
        "metadata": flv.metadata_body(width=1280, height=720, frame_rate=30.0, video_bit_rate=2_000_000),
        "connect": amf0.encode(
            "connect", 1, {"app": "live", "type": "nonprivate", "tcUrl": "rtmp://h/live", "on": True}
        ),
        "kinds": amf0.encode(None, [1, "two", [None]], amf0.EcmaArray(a=1.5)) + b"\x0b" + bytes(10) + b"\6\x0d",
        "typed": b"\x10\0\3abc\0\1a\2\0\1b\0\0\x09\x0f\0\0\0\4<a/>\x0c\0\0\0\1x",
    }
    for name, data in values.items():
        put("amf0", f"seed-{name}", data)
    clip = flv_clip()
    put("flv_tags", "seed-clip", clip[:4000])
    put(
        "flv_tags",
        "seed-headers",
        flv.file_header(audio=True, video=True) + flv.write_tag(flv.Tag(18, 5, values["metadata"])),
    )
    answers = b"".join((rtmp._CONNECTED, rtmp._CREATED, rtmp._STARTED))
    control = bytes.fromhex(
        "020000000000040500000000002625a00200000000000506000000000026 25a002020000000000060400000000 000601020304"
    )
    put("rtmp_publisher", "seed-answers", b"\1" + control + answers)
    put("rtmp_publisher", "seed-greeting", b"\4" + rtmp.GREETING + answers)
    refusal = rtmp.command(
        "onStatus",
        0,
        None,
        {"level": "error", "code": "NetStream.Publish.BadName", "description": "Already publishing"},
        stream_id=1,
    )
    put("rtmp_publisher", "seed-refused", b"\2" + rtmp._CREATED + refusal)
    put(
        "rtmp_publisher",
        "seed-secret",
        b"\2" + rtmp.command("_error", 4, None, {"code": rtmp.KEY, "description": f"{rtmp.TOKEN} {rtmp.KEY}"}),
    )
    put(
        "rtmp_publisher",
        "seed-closed",
        b"\3" + rtmp.command("onStatus", 0, None, {"code": "NetStream.Unpublish.Success"}),
    )
    # Type 1, 2 and 3 headers, and an extended timestamp over several chunks.
    long = b"\2\0\4long" + b"\x08" + bytes(4) + b"\0\0\x09" + b"\5" * 300
    chunks = b"\4\xff\xff\xff" + len(long).to_bytes(3, "big") + b"\x14\0\0\0\0\1\0\0\0"
    for at in range(0, len(long), 128):
        chunks += (b"\xc4\1\0\0\0" if at else b"") + long[at : at + 128]
    put(
        "rtmp_publisher",
        "seed-chunks",
        b"\6"
        + chunks
        + b"\x44\0\0\1\0\0\2\x14\5\5"
        + b"\x84\0\0\2\5\5"
        + b"\xc4\5\5"
        + b"\0\5\0\0\0\0\0\1\x14\0\0\0\0\5",
    )
    put("rtmp_server", "seed-chunks", b"\x0a" + chunks + b"\x44\0\0\1\0\0\2\x14\5\5" + b"\x84\0\0\2\5\5" + b"\xc4\5\5")
    put("rtmp_server", "seed-requests", b"\1" + rtmp._CONNECT + rtmp._PUBLISH)
    put(
        "rtmp_server",
        "seed-unpublish",
        b"\3" + rtmp.command("FCUnpublish", 6, None, "name") + rtmp.command("deleteStream", 7, None, 1),
    )


async def transcript(server: Nginx, url: str, *, tags: list[flv.Tag]) -> tuple[bytes, bytes]:
    """All bytes of a push by our publisher to nginx-rtmp: what it sent, and what came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.rtmp_port)
    session = Publisher(PushUrl.parse(url), nonce=bytes(NONCE_SIZE), chunk_size=4096)
    sent = received = b""

    async def flush() -> None:
        nonlocal sent
        data = b"".join(session.data_to_send())
        sent += data
        writer.write(data)
        await writer.drain()

    await flush()
    while session.state not in (State.LIVE, State.ENDED) and (data := await reader.read(65536)):
        received += data
        session.receive(data, asyncio.get_running_loop().time())
        await flush()
    if session.state is State.LIVE:
        for tag in tags:
            session.send(tag.type, tag.timestamp, tag.body)
        session.close()
        await flush()
        writer.write_eof()
        received += await reader.read()
    writer.close()
    return sent, received


def nginx_seeds() -> None:
    tags = flv.TagReader().receive(flv_clip())[:12]
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as server:
        server.denied.add("denied")
        for name in ("clip", "denied"):
            sent, received = asyncio.run(transcript(server, server.push_url(f"{name}?token=t"), tags=tags))
            put("rtmp_publisher", f"seed-nginx-{name}", b"\0" + received)
            put("rtmp_publisher", f"seed-nginx-{name}-answers", b"\5" + received[3073:])
            put("rtmp_server", f"seed-client-{name}", b"\1" + sent[3073:])
        put("rtmp_server", "seed-client-greeting", b"\0" + sent)
        recording = server.recording("clip").read_bytes()
        put("flv_tags", "seed-nginx", recording)


def merge(name: str) -> None:
    """Of what a long run has grown, a few small inputs that take steps through our code which the corpus does not."""
    target = TARGETS[name]
    seen = set[tuple[str, int, int]]()
    for data in target.corpus():
        seen |= _steps(target, data)
    grown = sorted((path.read_bytes() for path in (work_folder() / name).iterdir()), key=len)
    kept = 0
    for data in grown[:MAX_LOOKED_AT]:
        steps = _steps(target, data)
        if steps <= seen:
            continue
        seen |= steps
        put(name, f"grown-{hashlib.sha256(data).hexdigest()[:12]}", data)
        kept += 1
        if kept == min(MAX_GROWN, target.short):
            break


def _steps(target: Target, data: bytes) -> set[tuple[str, int, int]]:
    """From line to line in each file of the relay."""
    steps = set[tuple[str, int, int]]()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if "/relay/" not in file:
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
            nonlocal last
            steps.add((file, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return steps


def main() -> None:
    if sys.argv[1:2] == ["merge"]:
        quieten()
        for name in sys.argv[2:]:
            merge(name)
        return
    for make in (
        rtp_seeds,
        video_seeds,
        reception_seeds,
        media_seeds,
        sdp_seeds,
        name_seeds,
        credential_seeds,
        rtmp_seeds,
        nginx_seeds,
    ):
        make()


if __name__ == "__main__":
    main()
