"""WHEP out of a running relay: what a viewer gets is what was published, whoever publishes and whoever else watches."""

import asyncio
from itertools import pairwise

import httpx

from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from tests.support.eventually import eventually
from tests.support.impairer import Profile, impaired
from tests.support.numbered import NumberedPublisher, numbered, vcl
from tests.support.relay import Relay, running_relay
from tests.support.rtc import open_things
from tests.support.viewing import Viewer, viewing


def assert_sent_again(viewer: Viewer, publisher: NumberedPublisher) -> None:
    """From the first on, each picture and each sound, byte for byte and once."""
    for got, sent in (
        ([vcl(picture.parts) for picture in viewer.pictures], [vcl(parts) for parts in publisher.pictures.values()]),
        ([sound.data for sound in viewer.sounds], list(publisher.sounds.values())),
    ):
        begin = sent.index(got[0])
        assert got == sent[begin : begin + len(got)]


def assert_in_order(packets: list[RtpPacket]) -> None:
    """As one source sends them: no number left out, and time never goes back."""
    assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(packets))
    assert all((b.timestamp - a.timestamp) & 0xFFFFFFFF < 2**31 for a, b in pairwise(packets))


async def test_what_is_published_is_what_is_watched() -> None:
    async with running_relay() as relay, numbered(relay.client, relay.whip_url()) as user:
        await eventually(lambda: len(user.pictures) > 5, what="pictures are sent")
        async with viewing(relay.client, relay.whep_url()) as viewer:
            await eventually(lambda: len(viewer.pictures) > 50 and len(viewer.sounds) > 60, what="media")
            assert_sent_again(viewer, user)
            assert viewer.pictures[0].key
            for kind in ("audio", "video"):
                assert_in_order(viewer.of(kind))
            # The parameter sets are there where decoding begins.
            assert [part[0] & 31 for part in viewer.pictures[0].parts][:2] == [7, 8]
            sounds = [packet.timestamp for packet in viewer.of("audio")]
            assert {(b - a) & 0xFFFFFFFF for a, b in pairwise(sounds)} == {960}
            assert_one_timeline(viewer, user)


def assert_one_timeline(viewer: Viewer, user: NumberedPublisher) -> None:
    """By the sender reports, pictures and sounds lie to each other as they were published."""
    offsets = {}
    for kind, rate, sent in (
        ("video", 90_000, {bytes(vcl(parts)[0][:20]): at for at, parts in user.pictures.items()}),
        ("audio", 48_000, {data: at for at, data in user.sounds.items()}),
    ):
        report = [report for report in viewer.reports if report.ssrc == viewer.ssrcs[kind]][-1]
        if kind == "video":
            frame = viewer.pictures[-1]
            at, own = sent[bytes(vcl(frame.parts)[0][:20])], frame.rtp_time
        else:
            heard = viewer.sounds[-1]
            at, own = sent[heard.data], heard.rtp_time
        since = ((own - report.rtp_time + 2**31) & 0xFFFFFFFF) - 2**31
        offsets[kind] = report.ntp / 2**32 + since / rate - at
    assert abs(offsets["video"] - offsets["audio"]) < 0.010


async def test_two_per_cent_of_loss_are_repaired() -> None:
    lossy = Profile(loss=0.02, delay=0.02)
    async with (
        running_relay() as relay,
        numbered(relay.client, relay.whip_url()) as user,
        impaired(relay.url, up=lossy, down=lossy) as network,
        httpx.AsyncClient(base_url=network.url, timeout=10) as client,
        viewing(client, Relay(network.url, client).whep_url()) as viewer,
    ):
        await eventually(lambda: len(viewer.pictures) > 200 and len(viewer.sounds) > 350, within=30, what="media")
        assert network.sessions[0].down.counters.lost > 10
        assert viewer.reception is not None
        assert sum(track.recovered for track in viewer.reception.stats.tracks) > 5
        assert_sent_again(viewer, user)


async def test_a_key_frame_is_asked_of_the_publisher_no_more_than_once_a_second() -> None:
    async with (
        running_relay() as relay,
        numbered(relay.client, relay.whip_url(), answers_pli=False) as user,
        viewing(relay.client, relay.whep_url()) as viewer,
        viewing(relay.client, relay.whep_url()) as other,
    ):
        await eventually(lambda: viewer.pictures and other.pictures, what="pictures")
        count = len(user.asked)
        loop = asyncio.get_running_loop()
        began = loop.time()

        def insisting() -> bool:
            viewer.ask_for_key_frame()
            other.ask(rtcp._packet(rtcp.PSFB, 4, bytes(8) + other.ssrcs["video"].to_bytes(4, "big") + bytes(4)))
            return loop.time() > began + 3

        await eventually(insisting)
        assert 3 <= len(user.asked) - count <= 4
        assert all(b - a > 0.9 for a, b in pairwise(user.asked[count:]))


async def test_a_viewer_who_comes_late_begins_at_once() -> None:
    """With the head of the stream where that is young, else with a key frame that is asked for."""
    async with running_relay() as relay, numbered(relay.client, relay.whip_url()) as user:
        await eventually(lambda: len(user.pictures) > 50, what="a stream whose key frame is long ago")
        asked = len(user.asked)
        async with viewing(relay.client, relay.whep_url()) as first:
            await eventually(lambda: first.pictures, within=2, what="the key frame that was asked for")
            assert len(user.asked) == asked + 1
            async with viewing(relay.client, relay.whep_url()) as second:
                await eventually(lambda: len(second.pictures) > 5, within=2, what="the head")
                assert len(user.asked) == asked + 1
                assert vcl(second.pictures[0].parts) == vcl(first.pictures[0].parts)
                # What is past is shown in quick motion.
                await eventually(lambda: len(second.pictures) > 30, what="live pictures")
                assert_sent_again(second, user)
                assert_in_order(second.of("video"))


async def test_viewers_stay_while_publishers_come_and_go() -> None:
    async with running_relay() as relay, numbered(relay.client, relay.whip_url(), kinds=("video",)) as first:
        await eventually(lambda: first.pictures)
        async with viewing(relay.client, relay.whep_url()) as viewer:
            await eventually(lambda: len(viewer.pictures) > 10, what="pictures of the first")
            first.caster.close()
            await eventually(lambda: published(relay, 0), what="the relay knows")
            refused = await relay.client.post(relay.whep_url(), content="", headers=SDP)
            assert refused.status_code == 409
            # Another clock, other numbers, and sound as well.
            async with numbered(relay.client, relay.whip_url(), first=1000, begin=7000.0) as second:
                await eventually(lambda: len(viewer.sounds) > 30, what="sound of the second")
                await eventually(lambda: len(viewer.pictures) > 40, what="pictures of the second")
                assert viewer.closed == []
                assert_sent_again(viewer_from(viewer, second), second)
                assert_in_order(viewer.of("video"))
                assert_in_order(viewer.of("audio"))
                assert_one_timeline(viewer, second)


def viewer_from(viewer: Viewer, publisher: NumberedPublisher) -> Viewer:
    """What it got of `publisher`."""
    known = [vcl(parts) for parts in publisher.pictures.values()]
    begin = next(i for i, picture in enumerate(viewer.pictures) if vcl(picture.parts) in known)
    assert viewer.pictures[begin].key
    return Viewer(viewer.transport, viewer.local, [], frames=[*viewer.pictures[begin:], *viewer.sounds])


SDP = {"Content-Type": "application/sdp"}


async def figure(relay: Relay, name: str) -> float:
    lines = (await relay.client.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def published(relay: Relay, count: int) -> bool:
    return await figure(relay, "relay_publishers") == count


async def test_a_bad_network_is_one_viewers_own() -> None:
    """One loses most of what it is sent, one leaves, one is killed: the others see every picture."""
    async with running_relay() as relay, numbered(relay.client, relay.whip_url(stream_type=1)) as user:
        await eventually(lambda: user.pictures)
        url = relay.whep_url(stream_type=1)
        before = open_things()
        async with (
            viewing(relay.client, url) as good,
            viewing(relay.client, url) as bad,
            viewing(relay.client, url) as killed,
            viewing(relay.client, url, kinds=("audio",)) as listener,
        ):
            async with viewing(relay.client, url) as leaver:
                await eventually(lambda: leaver.pictures)
            bad.lose = lambda packet: packet.sequence % 3 > 0
            await eventually(lambda: killed.pictures)
            killed.transport.kill()
            seen, heard = len(good.pictures), len(listener.sounds)
            await eventually(lambda: len(good.pictures) > seen + 100, what="pictures")
            assert len(listener.sounds) > heard + 150
            assert listener.pictures == []
            assert_sent_again(good, user)
            assert await figure(relay, "relay_viewers") == 4  # the killed one says nothing
            assert (await relay.client.delete(listener.location)).status_code == 200
            await eventually(lambda: listener.closed == ["closed by the peer"], what="its goodbye")
            assert set(listener.ssrcs.values()) <= set(listener.byes)
        await eventually(lambda: open_things()[1] <= before[1], what="no thread is left")
