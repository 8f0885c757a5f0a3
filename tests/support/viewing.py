"""A viewer of our own cores: a recvonly offer, real ICE, DTLS and SRTP, and what `Reception` makes of what comes."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import httpx

from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket, is_rtcp
from relay.core.rtp.reception import Reception, ReceptionSettings, TrackSpec
from relay.gateway.resources import FRAGMENT_TYPE, OFFER_TYPE
from relay.rtc import sdp
from relay.rtc.fragment import write_fragment
from relay.rtc.parameters import LocalParameters
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport

H264, RTX, OPUS = 102, 103, 111
SETTINGS = RtcSettings(addresses=("127.0.0.1",))


def write_offer(
    local: LocalParameters,
    *,
    kinds: Sequence[str] = ("audio", "video"),
    rtx: bool = True,
    profile: str = "42e01f",
    candidates: bool = True,
) -> str:
    """As a browser offers to receive, less what is beside the point."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(map(str, range(len(kinds))))}"]
    for mid, kind in enumerate(kinds):
        if kind == "audio":
            lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", f"a=rtpmap:{OPUS} opus/48000/2"]
        else:
            lines += [f"m=video 9 UDP/TLS/RTP/SAVPF {H264}{f' {RTX}' if rtx else ''}", f"a=rtpmap:{H264} H264/90000"]
            lines += [f"a=rtcp-fb:{H264} {word}" for word in ("nack", "nack pli", "ccm fir", "transport-cc")]
            lines += [f"a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"]
            if rtx:
                lines += [f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={H264}"]
        lines += [f"a=mid:{mid}", "a=recvonly", "a=rtcp-mux", "a=rtcp-rsize", "a=setup:actpass"]
        lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}"]
        lines += [f"a=fingerprint:sha-256 {local.fingerprint}"]
        if mid == 0 and candidates:
            lines += [f"a=candidate:{candidate}" for candidate in local.candidates]
    return "\r\n".join(lines) + "\r\n"


@dataclass
class Viewer:
    """What has come, and how to ask for more."""

    transport: Transport
    local: LocalParameters
    closed: list[str]
    ssrcs: dict[str, int] = field(default_factory=dict)
    """By kind, as the answer says."""
    frames: list[Frame] = field(default_factory=list)
    packets: list[RtpPacket] = field(default_factory=list)
    reports: list[rtcp.SenderReport] = field(default_factory=list)
    byes: list[int] = field(default_factory=list)
    location: str = ""
    etag: str = ""
    lose: Callable[[RtpPacket], bool] = lambda packet: False
    """Packets that are taken for lost."""
    reception: Reception | None = None

    @property
    def pictures(self) -> list[AccessUnit]:
        return [frame for frame in self.frames if isinstance(frame, AccessUnit)]

    @property
    def sounds(self) -> list[OpusPacket]:
        return [frame for frame in self.frames if isinstance(frame, OpusPacket)]

    def of(self, kind: str) -> list[RtpPacket]:
        return [packet for packet in self.packets if packet.ssrc == self.ssrcs[kind]]

    async def accept(self, answer: str) -> None:
        """Begins to connect."""
        said = sdp.parse_session(answer)
        taken = [section for section in said.media if section.port]
        tracks = []
        for section in taken:
            ssrc, rtx_ssrc = section.ssrcs()
            assert ssrc is not None
            self.ssrcs[section.kind] = ssrc
            codec, *others = section.codecs()
            rtx = others[0].payload_type if others else None
            kind = "video" if section.kind == "video" else "audio"
            nack = "nack" in codec.feedback
            tracks.append(TrackSpec(kind, codec.payload_type, codec.clock_rate, rtx, nack, ssrc, rtx_ssrc))
        settings = ReceptionSettings(pli_interval=0.2)
        self.reception = Reception(tracks, ssrc=secrets.randbits(32), cname="viewer", settings=settings)
        await self.transport.add_candidates(said.candidates())
        assert said.attribute(taken[0], "setup") == ["passive"]
        self.transport.start(said.transport(taken[0]), "client")

    def tick(self, now: float) -> None:
        reception = self.reception
        if not self.transport.connected or reception is None:
            return
        for arrival, data in self.transport.receive(now):
            if is_rtcp(data):
                for message in rtcp.parse(data) or ():
                    if isinstance(message, rtcp.SenderReport):
                        self.reports.append(message)
                    elif isinstance(message, rtcp.Bye):
                        self.byes += message.ssrcs
                reception.receive_rtcp(data, arrival)
                continue
            packet = RtpPacket.parse(data)
            assert packet is not None
            if not self.lose(packet):
                self.packets.append(packet)
                self.frames += reception.receive_rtp(data, arrival)
        self.frames += reception.poll(now)
        for report in reception.feedback(now):
            self.transport.send(report)

    def ask(self, message: bytes) -> None:
        """An RTCP message of the test's own."""
        assert self.transport.send(message)

    def ask_for_key_frame(self) -> None:
        self.ask(rtcp.pli(1, self.ssrcs["video"]))


@contextlib.asynccontextmanager
async def opened(settings: RtcSettings = SETTINGS) -> AsyncIterator[Viewer]:
    """A viewer that has yet to `accept` an answer, and ticks until the context ends; then it has said goodbye."""
    closed: list[str] = []
    transport = Transport(settings, offering=True, on_closed=closed.append)
    viewer = Viewer(transport, await transport.gather(), closed)
    ticking = asyncio.create_task(_run(viewer))
    try:
        yield viewer
    finally:
        transport.close("test over")
        ticking.cancel()
        await asyncio.wait([ticking])
        await transport.wait_closed()


@contextlib.asynccontextmanager
async def viewing(
    client: httpx.AsyncClient,
    url: str,
    *,
    kinds: Sequence[str] = ("audio", "video"),
    rtx: bool = True,
    profile: str = "42e01f",
    trickle: bool = False,
    headers: dict[str, str] | None = None,
    settings: RtcSettings = SETTINGS,
) -> AsyncIterator[Viewer]:
    """A viewer that is connected by WHEP."""
    async with opened(settings) as viewer:
        offer = write_offer(viewer.local, kinds=kinds, rtx=rtx, profile=profile, candidates=not trickle)
        given = {"Content-Type": OFFER_TYPE} | (headers or {})
        response = await client.post(url, content=offer, headers=given)
        assert response.status_code == 201, response.text
        viewer.location, viewer.etag = response.headers["location"], response.headers["etag"]
        if trickle:
            local = viewer.local
            fragment = write_fragment(local.ufrag, local.password, "0", local.candidates)
            given |= {"Content-Type": FRAGMENT_TYPE, "If-Match": viewer.etag}
            assert (await client.patch(viewer.location, content=fragment, headers=given)).status_code == 204
        await viewer.accept(response.text)
        assert await viewer.transport.wait_connected(), viewer.transport.closed_reason
        yield viewer


async def _run(viewer: Viewer) -> None:
    loop = asyncio.get_running_loop()
    while True:
        viewer.tick(loop.time())
        await asyncio.sleep(0.005)
