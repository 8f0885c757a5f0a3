"""Webhook receivers as an operator writes them."""

import json

import pytest

from relay.api.receivers import Receivers
from relay.core.callback import EventType

TOML = """
# The application of the shop.
[shop]
url = "https://shop.example/hooks/relay"
secret = "hidden-1"
events = ["TranscodeStarted", "TranscodeStopped"]

["*"]
url = "http://127.0.0.1:9000"
secret = "hidden-2"
"""


def test_toml_and_json_say_the_same() -> None:
    as_json = json.dumps(
        {
            "shop": {
                "url": "https://shop.example/hooks/relay",
                "secret": "hidden-1",
                "events": ["TranscodeStopped", "TranscodeStarted"],
            },
            "*": {"url": "http://127.0.0.1:9000", "secret": "hidden-2"},
        }
    )
    for receivers in (Receivers.parse(TOML), Receivers.parse(as_json)):
        assert len(receivers) == 2
        assert repr(receivers) == "Receivers(shop, *)"
        shop, other = receivers.get("shop"), receivers.get("other")
        assert shop is not None
        assert other is not None
        assert (shop.url, shop.secret) == ("https://shop.example/hooks/relay", "hidden-1")
        assert other.url == "http://127.0.0.1:9000"
        assert receivers.wants("shop", EventType.TRANSCODE_STOPPED)
        assert not receivers.wants("shop", EventType.ROOM_CREATE)
        assert all(receivers.wants("other", event) for event in EventType)


def test_without_a_star_other_applications_have_none() -> None:
    receivers = Receivers.parse('{"shop": {"url": "http://h", "secret": "s"}}')
    assert receivers.get("other") is None
    assert not receivers.wants("other", EventType.ROOM_CREATE)


def test_both_settings_together() -> None:
    one = Receivers.parse('{"a": {"url": "http://one", "secret": "s"}, "b": {"url": "http://one", "secret": "s"}}')
    other = Receivers.parse('{"b": {"url": "http://two", "secret": "s"}}')
    both = one | other
    assert [receiver.url for name in "ab" if (receiver := both.get(name))] == ["http://one", "http://two"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no receiver in it"),
        ("{}", "there is no receiver in it"),
        ("{hidden", r"no JSON: .* \(at line 1, column 2\)"),
        ("hidden", r"neither JSON nor TOML \(at "),
        ("{" * 5000, "no JSON"),
        ('{"an app": {}}', "named by an AppId"),
        ('{"app": "hidden"}', "entry app: it must have url, secret"),
        ('{"app": {"url": "http://h", "secret": "s", "hidden": 1}}', "entry app: 1 unknown keys"),
        ('{"app": {"secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": 1, "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "ftp://hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "https:///hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "https://h:99999/hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "https://h/ hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "https://[hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "https://\u2603.example/hidden", "secret": "hidden"}}', "entry app: url must be"),
        ('{"app": {"url": "http://h/hidden"}}', "entry app: secret must be"),
        ('{"app": {"url": "http://h/hidden", "secret": ""}}', "entry app: secret must be"),
        ('{"app": {"url": "http://h", "secret": "s", "events": "hidden"}}', "entry app: events must be a list of "),
        ('{"app": {"url": "http://h", "secret": "s", "events": ["hidden"]}}', "entry app: events must be a list of "),
        ('{"app": {"url": "http://h", "secret": "s", "events": [[]]}}', "entry app: events must be a list of "),
        ('{"app": {"url": "http://h", "secret": "s", "events": 5}}', "entry app: events must be a list of "),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        Receivers.parse(text)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
