"""Callback messages: the published test vector, and what a receiver that verifies them computes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from relay.core.callback import VERSION, CallbackEvent, EventType, event_time, message, retry_pause, sign

SECRET = "the secret of this test"  # noqa: S105
README = (Path(__file__).parents[2] / "README.md").read_text()
VECTOR = {
    "EventType": "RoomCreate",
    "EventData": '{"RoomId":"room1","Timestamp":1679383924691}',
    "EventTime": "2023-03-21T15:32:04+08:00",
    "EventId": "123456",
    "AppId": "appId",
    "Version": "2020-12-01",
    "Nonce": "aaBc",
}


def test_the_published_vector() -> None:
    assert sign(VECTOR, "1234") == "1c7200723842eff514b65fc3f065597432bbb4249e10d33db79b3853d05f3691"


def test_values_are_sorted_by_their_bytes() -> None:
    # U+FF5E is before U+1F600 by code point and by UTF-8, and after it by UTF-16: the order of other languages.
    fields = {"EventData": "\U0001f600", "EventId": "\uff5e", "Nonce": "Zzzz"}
    wanted = hashlib.sha256("Zzzza\uff5e\U0001f600".encode()).hexdigest()
    assert sign(fields, "a") == wanted


def test_a_message_is_what_its_signature_says() -> None:
    event = CallbackEvent.of("app", "app/room", EventType.ROOM_CREATE, 1679383924691, RoomId="räum")
    body = json.loads(message(event, event_id="e1", nonce="aaBc", secret=SECRET))
    assert body.pop("Signature") == sign(body, SECRET)
    assert body == {
        "EventType": "RoomCreate",
        "EventData": '{"RoomId":"räum"}',
        "EventTime": "2023-03-21T07:32:04+00:00",
        "EventId": "e1",
        "AppId": "app",
        "Version": VERSION,
        "Nonce": "aaBc",
    }
    assert all(isinstance(value, str) for value in body.values())


def test_the_readme_tells_receivers_how_to_verify() -> None:
    code = next(block for block in README.split("```") if block.startswith("python\n") and "def verify" in block)
    told: dict[str, Any] = {}
    exec(code.removeprefix("python\n"), told)  # noqa: S102
    event = CallbackEvent.of("app", "app/room", EventType.ROOM_CREATE, 1679383924691, RoomId="räum")
    body = message(event, event_id="e1", nonce="aaBc", secret=SECRET)
    assert told["verify"](body, SECRET) == {"RoomId": "räum"}
    with pytest.raises(PermissionError):
        told["verify"](body.replace(b"RoomCreate", b"RoomDestroy"), SECRET)


def test_event_time_has_whole_seconds() -> None:
    assert event_time(1679383924999) == "2023-03-21T07:32:04+00:00"


def test_three_calls_that_outlast_a_minute() -> None:
    pauses = [pause for calls in (1, 2) if (pause := retry_pause(calls)) is not None]
    assert len(pauses) == 2
    assert sum(pauses) > 60
    assert retry_pause(3) is None
