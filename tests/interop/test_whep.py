"""WHEP out of a running relay: what a viewer gets is what was published."""

from relay.cli.measure import vcl_digests
from relay.cli.source import ClipSource, builtin_clip
from tests.support.eventually import eventually
from tests.support.publishing import publishing
from tests.support.relay import running_relay
from tests.support.viewing import viewing


async def test_what_is_published_is_what_is_watched() -> None:
    source = ClipSource(builtin_clip())
    async with running_relay() as relay, publishing(relay, source=source) as user:
        await eventually(lambda: len(user.sent) > 5, what="pictures are sent")
        async with viewing(relay.client, relay.whep_url()) as viewer:
            await eventually(lambda: len(viewer.pictures) > 60 and len(viewer.sounds) > 60, what="media")
            got = [vcl_digests(picture.parts) for picture in viewer.pictures]
            begin = user.sent.index(got[0])
            assert got == user.sent[begin : begin + len(got)]
