"""A push while somebody asks far more often than they may."""

import asyncio

from relay.api.actions import GET, START, STOP
from relay.api.rates import RateLimits
from relay.cli.measure import audio_holes
from tests.interop.test_push import assert_carried, pushing, stop_and_record
from tests.support.bodies import changed
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.publishing import publishing
from tests.support.relay import running_relay

AT_ONCE, TIMES = 8, 60


async def test_a_running_push_does_not_notice(cdn: Nginx) -> None:
    rates = RateLimits({START: 5, STOP: 150, GET: 150})
    async with running_relay(rates=rates) as relay, publishing(relay) as user:
        await relay.start(cdn.push_url("limited"))
        await eventually(lambda: pushing(relay))
        codes: list[int] = []
        for turn in range(TIMES):
            bodies = [changed(TaskId=f"{turn}-{number}") for number in range(AT_ONCE)]
            answers = await asyncio.gather(*(relay.call(START, body) for body in bodies))
            codes += [answer.status_code for answer in answers]
        assert codes.count(429) > len(codes) / 2
        assert set(codes) == {200, 429}
        assert await relay.states() == (2, 5, "")
        assert (await relay.task()).connects == 1
        tags = await stop_and_record(relay, cdn, user, "limited")
        assert (await relay.task()).dropped == 0
    assert_carried(tags, user.sent)
    assert audio_holes(tags) == []
