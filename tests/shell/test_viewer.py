"""A viewer's session over real ICE, DTLS and SRTP: what it is sent at once, again, or not at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from relay.core.rtp import rtcp
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.sender import MAX_PAYLOAD
from relay.rtc.tap import DtlsSession
from relay.rtc.viewer import Packed, ViewerSession
from relay.rtc.viewer_answer import Pictures
from tests.support.eventually import eventually
from tests.support.rtc import LOOPBACK, picture, sound
from tests.support.viewing import Viewer, opened, write_offer


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[tuple[ViewerSession, Viewer, list[float]]]:
    """The session, its viewer, and when key frames were wanted. The test ticks the session."""
    wanted: list[float] = []
    async with opened() as viewer:
        session, answer = await ViewerSession.answer(write_offer(viewer.local), Pictures(), settings=LOOPBACK)
        session.on_key_frame_wanted = lambda: wanted.append(now())
        await viewer.accept(answer)
        await eventually(lambda: session.connected and viewer.transport.connected, what="connected")
        session.tick(now())
        yield session, viewer, wanted
        session.close("test over")
        await session.wait_closed()


def now() -> float:
    return asyncio.get_running_loop().time()


def packed(number: int, parts: list[bytes], *, key: bool) -> Packed:
    return Packed("video", packetize(parts, MAX_PAYLOAD), number * 3_000, number / 30, key=key)


async def ticking(session: ViewerSession, check: Callable[[], object], what: str) -> None:
    """`eventually`, with the session's ticks."""

    def ticked() -> object:
        session.tick(now())
        return check()

    await eventually(ticked, what=what)


def sent(session: ViewerSession) -> int:
    return session._transport.stats.sent


async def test_it_begins_with_a_key_frame_and_its_sound_does_not_wait() -> None:
    async with watching() as (session, viewer, _):
        pictures = [packed(n, picture(n, key=n == 2), key=n == 2) for n in range(5)]
        session.send([*pictures, Packed("audio", [sound(0)], 0, 0.0, key=False)])
        await eventually(lambda: len(viewer.pictures) == 3 and viewer.sounds, what="three pictures and a sound")
        assert [p.parts for p in viewer.pictures] == [picture(n, key=n == 2) for n in range(2, 5)]


async def test_a_large_picture_leaves_bit_by_bit() -> None:
    """A megabyte at once is more than a socket holds by default."""
    async with watching() as (session, viewer, _):
        large = [*picture(0, key=True)[:2], b"\x65\x88" + bytes(range(256)) * 4096]
        session.send([packed(0, large, key=True), packed(1, picture(1, key=False), key=False)])
        assert 0 < sent(session) * MAX_PAYLOAD < 150_000
        await ticking(session, lambda: len(viewer.pictures) == 2, "both pictures")
        assert viewer.pictures[0].parts == large
        assert sent(session) * MAX_PAYLOAD > 1_000_000


async def test_what_does_not_leave_is_bounded() -> None:
    """Pictures beyond that are left out, until a key frame finds room."""
    async with watching() as (session, viewer, wanted):
        slices = b"\x88" + bytes(500_000)
        for number in range(20):
            session.send([packed(number, [b"\x65" + slices], key=True)])
        assert session._waiting_size < 5_000_000
        assert session.awaiting_key
        session.tick(now())
        assert wanted == [], "there may be room when the next one comes by itself"
        await ticking(session, lambda: not session._waiting, "what waits has left")
        session.send([packed(20, picture(20, key=False), key=False), packed(21, picture(21, key=True), key=True)])
        await ticking(
            session, lambda: viewer.pictures and viewer.pictures[-1].parts == picture(21, key=True), "the last"
        )
        assert not session.awaiting_key


async def test_repairs_cost_no_more_than_the_media() -> None:
    async with watching() as (session, viewer, _):
        session.send([packed(n, picture(n, key=n == 0), key=n == 0) for n in range(50)])
        await ticking(session, lambda: len(viewer.pictures) == 50, "pictures")
        before, numbers = sent(session), [packet.sequence for packet in viewer.of("video")]
        for _ in range(200):
            viewer.ask(rtcp.nack(1, viewer.ssrcs["video"], sorted(numbers)[:100]))
        received = session._transport.stats
        await ticking(session, lambda: received.datagrams >= 200, "all that is asked for")
        assert sent(session) > before + 50
        assert (sent(session) - before) * MAX_PAYLOAD < 600_000


@pytest.mark.parametrize("control", [False, True])
async def test_a_viewer_of_sources_without_end_is_let_go(control: bool) -> None:
    """SRTP would keep state of each."""
    async with watching() as (session, viewer, _):
        for ssrc in range(1100):
            viewer.ask(rtcp.pli(ssrc, 1) if control else RtpPacket(102, 1, 0, ssrc, b"\x41").serialise())
            session.tick(now())
            if session.closed_reason is not None:
                break
            if ssrc % 50 == 0:
                await asyncio.sleep(0)
        await ticking(session, lambda: session.closed_reason, "the end")
        assert session.closed_reason == "the peer sent packets of more than 1000 sources (SSRC)"


async def test_pictures_pause_where_most_is_lost() -> None:
    async with watching() as (session, viewer, wanted):
        session.send([packed(0, picture(0, key=True), key=True)])
        await eventually(lambda: viewer.pictures, what="the first picture")
        block = rtcp.ReportBlock(viewer.ssrcs["video"], 128, 10, 20, 0, 0, 0)
        viewer.ask(rtcp.receiver_report(rtcp.ReceiverReport(1, (block,))))
        await ticking(session, lambda: session.awaiting_key, "the report is heeded")
        before = len(viewer.of("video"))
        session.send([packed(1, picture(1, key=False), key=False), Packed("audio", [sound(1)], 0, 0.0, key=False)])
        # What it asks for meanwhile would cost the others.
        viewer.ask_for_key_frame()
        await eventually(lambda: viewer.sounds, what="sound goes on")
        session.tick(now())
        assert (len(viewer.of("video")), wanted) == (before, [])
        session.tick(now() + 2.5)
        assert len(wanted) == 1
        session.send([packed(2, picture(2, key=True), key=True)])
        await eventually(lambda: viewer.pictures[-1].parts == picture(2, key=True), what="pictures again")
        viewer.ask_for_key_frame()
        await ticking(session, lambda: len(wanted) == 2, "its own wish counts again")


async def test_an_error_while_it_connects_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would count as a viewer for ever."""

    async def broken(self: DtlsSession, fingerprints: object) -> None:
        raise RuntimeError("nobody thought of it")

    closed: list[str] = []
    async with opened() as viewer:
        session, answer = await ViewerSession.answer(write_offer(viewer.local), Pictures(), settings=LOOPBACK)
        session.on_closed = closed.append
        monkeypatch.setattr(DtlsSession, "shake_hands", broken)
        await viewer.accept(answer)
        await eventually(lambda: closed, what="it is closed")
        assert closed == ["not connected: an internal error"]
        await session.wait_closed()
