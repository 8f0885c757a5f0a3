"""Streams from an SFU as an operator says it, and what a relay of that kind refuses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from relay.app.settings import Settings
from relay.core.ident import StreamKey
from relay.core.whep_source import WhepSource, WhepUrls
from relay.rtc.settings import TurnServer
from relay.worker.settings import WorkerSettings
from tests.support.publishing import publishing
from tests.support.relay import LOOPBACK, running_relay

URL = "http://127.0.0.1:1/whep/{RoomId}/{UserId}"
KEY = StreamKey("app", "room", "user")


def test_from_the_settings_to_the_endpoint(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# of the second\nsecond:sekret2\n")
    given = {
        "source": "whep",
        "whep_url": f"{URL},second:https://sfu/{{UserId}}?key=sekret4",
        "whep_token": "sekret1",
        "whep_token_file": str(tokens),
        "whep_header": "X-Key: sekret3",
    }
    settings = Settings(**given)
    source = settings.worker().source
    assert source is not None
    first, second = source.endpoint(KEY), source.endpoint(KEY._replace(app_id="second"))
    assert (first.url, first.headers) == (
        "http://127.0.0.1:1/whep/room/user",
        {"X-Key": "sekret3", "Authorization": "Bearer sekret1"},
    )
    assert second.url == "https://sfu/user?key=sekret4"
    assert second.headers["Authorization"] == "Bearer sekret2"
    assert "sekret" not in f"{settings!r} {settings} {settings.worker()!r}"
    assert Settings().worker().source is None


def test_a_turn_server() -> None:
    given = {"turn_server": "turn.example.org:3478", "turn_username": "user", "turn_password": "sekret"}
    settings = Settings(**given)
    assert settings.worker().rtc.turn_server == TurnServer("turn.example.org", 3478, "user", "sekret")
    assert "sekret" not in f"{settings!r} {settings.worker()!r}"
    assert settings.ice_servers == ()  # publishers are not given its password


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": "whep"}, "needs whep_url"),
        ({"whep_url": URL}, "set RELAY_SOURCE=whep"),
        ({"source": "sfu"}, "room"),
        ({"source": "whep", "whep_url": "http://h/x"}, "neither {UserId} nor {RoomId}"),
        ({"source": "whep", "whep_url": "rtmp://h/{UserId}"}, "http:// or https://"),
        ({"whep_token": "sekret sekret"}, "entry 1"),
        ({"whep_token": "sekret"}, "of no use without RELAY_SOURCE=whep"),
        ({"whep_header": "X-Key: sekret"}, "of no use without RELAY_SOURCE=whep"),
        ({"turn_password": "sekret"}, "of no use without turn_server"),
        ({"whep_header": "sekret"}, "X-Api-Key: abc"),
        ({"turn_server": "h:1"}, "needs turn_username"),
        ({"turn_server": "h:1", "turn_password": "sekret"}, "needs turn_username"),
        ({"turn_server": "h"}, "host:port"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert told in str(caught.value)
    assert "sekret" not in str(caught.value)


async def test_a_relay_that_takes_streams_elsewhere_lets_nobody_publish() -> None:
    source = WhepSource(WhepUrls.parse(URL))
    async with running_relay(WorkerSettings(rtc=LOOPBACK, source=source)) as relay:
        with pytest.raises(Exception, match="from an SFU: publish there"):
            async with publishing(relay):
                pass


async def test_start_refuses_a_stream_that_has_no_url() -> None:
    source = WhepSource(WhepUrls.parse("app:http://127.0.0.1:1/{UserId}"))
    async with running_relay(WorkerSettings(rtc=LOOPBACK, source=source)) as relay:
        body = {
            "AppId": "app",
            "RoomId": "room",
            "TaskId": "task",
            "PushURL": "rtmp://127.0.0.1/live/key",
            "Control": {},
        }
        for changed, told in (
            ({"Stream": {"UserId": "user", "StreamType": 1}}, "{Stream}"),
            ({"AppId": "other", "Stream": {"UserId": "user"}}, "no WHEP URL for the application other"),
        ):
            answer = await relay.call("StartPushSingleStreamToCDN", {**body, **changed})
            error = answer.json()["ResponseMetadata"]["Error"]
            assert (answer.status_code, error["Code"]) == (400, "InvalidParameter")
            assert told in error["Message"]
