"""WHEP URLs from templates, and what is shown for being let in: never to anybody else."""

import pickle

import pytest

from relay.core.ident import StreamKey, StreamType
from relay.core.whep_source import NoSuchStream, WhepSource, WhepTokens, WhepUrls, parse_header

KEY = StreamKey("app", "room@1", "user.a")
SCREEN = KEY._replace(stream_type=StreamType.SCREEN)


def test_each_placeholder_is_filled_in_and_encoded() -> None:
    urls = WhepUrls.parse("https://sfu:8443/{AppId}/{RoomId}?u={UserId}&t={StreamType}&s={Stream}&{UserId}")
    assert urls.url(KEY) == "https://sfu:8443/app/room%401?u=user.a&t=0&s=main&user.a"
    assert urls.url(SCREEN) == "https://sfu:8443/app/room%401?u=user.a&t=1&s=screen&user.a"


def test_a_value_that_looks_like_a_placeholder_or_a_path_stays_a_value() -> None:
    strange = StreamKey("{RoomId}", "a/../b", "?&#%")
    assert (
        WhepUrls.parse("http://h/{AppId}/{RoomId}/{UserId}").url(strange)
        == "http://h/%7BRoomId%7D/a%2F..%2Fb/%3F%26%23%25"
    )


def test_a_name_of_dots_does_not_lead_elsewhere() -> None:
    urls = WhepUrls.parse("http://h/{AppId}/{RoomId}/{UserId}")
    for key in (KEY._replace(room_id=".."), KEY._replace(user_id=".")):
        with pytest.raises(NoSuchStream, match="lead elsewhere"):
            urls.url(key)
    assert urls.url(KEY._replace(room_id="...")) == "http://h/app/.../user.a"
    assert WhepUrls.parse("http://h/w-{RoomId}?u={UserId}").url(StreamKey("a", "..", "..")) == "http://h/w-..?u=.."


def test_single_applications() -> None:
    urls = WhepUrls.parse("http://all/{UserId}, app:https://one/{RoomId}\n# a comment\nother:http://two/{RoomId}")
    assert urls.url(KEY) == "https://one/room%401"
    assert urls.url(KEY._replace(app_id="other")) == "http://two/room%401"
    assert urls.url(KEY._replace(app_id="third")) == "http://all/user.a"
    with pytest.raises(NoSuchStream, match="no WHEP URL for the application third"):
        WhepUrls.parse("app:http://one/{RoomId}").url(KEY._replace(app_id="third"))


def test_screens_need_a_url_of_their_own() -> None:
    with pytest.raises(NoSuchStream, match="Stream"):
        WhepUrls.parse("http://h/{RoomId}/{UserId}").url(SCREEN)
    assert WhepUrls.parse("http://h/{UserId}-{Stream}").url(SCREEN) == "http://h/user.a-screen"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no URL"),
        ("# http://h/{UserId}", "there is no URL"),
        ("ftp://h/{UserId}", "does not begin with http"),
        ("app:ws://h/{UserId}", "does not begin with http"),
        ("h/{UserId}", "does not begin with http"),
        ("http://h/stream", "neither {UserId} nor {RoomId}"),
        ("http://h/{AppId}/{Stream}", "neither {UserId} nor {RoomId}"),
        ("http://h/{RoomID}/{UserId}", "{RoomID} is no placeholder: there are {AppId}, {RoomId}"),
        ("http://h/{}/{UserId}", "{} is no placeholder"),
        ("http://h/{RoomId/{UserId}", "brace"),
        ("http://h/{UserId}}", "brace"),
        ("http:///{UserId}", "host and port"),
        ("http://h:99999/{UserId}", "host and port"),
        ("http://h:port/{UserId}", "host and port"),
        ("http://{UserId}.example.org/{RoomId}", "host and port"),
        ("http://[::1/{UserId}", "host and port"),
        ("http://h/a b/{UserId}", "space"),
        ("http://me:sekret@h/{UserId}", "user name"),
        ("http://h/{UserId},http://i/{UserId}", "entry 2 is the second for every application"),
        ("app:http://h/{UserId},app:http://i/{UserId}", "entry 2 is the second for app"),
    ],
)
def test_what_is_wrong_with_a_template_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"entry|no URL") as error:
        WhepUrls.parse(text)
    assert told in str(error.value)
    assert "sekret" not in str(error.value)


def test_tokens() -> None:
    tokens = WhepTokens.parse("abc.DEF-1~+/==\napp:other")
    assert tokens.get("app") == "other"
    assert tokens.get("any") == "abc.DEF-1~+/=="
    assert WhepTokens.parse("app:one").get("any") is None
    assert (tokens | WhepTokens.parse("app:third")).get("app") == "third"
    assert repr(tokens) == "WhepTokens(*, app)"
    for bad in ("", "a b", "app:", ":x", "a\u00fc", "app:sekret app", "a,a"):
        with pytest.raises(ValueError, match=r"entry|no token") as error:
            WhepTokens.parse(bad)
        assert "sekret" not in str(error.value)


def test_a_header() -> None:
    assert parse_header(" X-Api-Key:  a b ") == ("X-Api-Key", "a b")
    for bad in ("", "X-Api-Key", "X Key: a", "X-Key: a\r\nHost: b", "X-Key:", "Content-Type: a", "host: a"):
        with pytest.raises(ValueError, match="header"):
            parse_header(bad)


def test_an_endpoint_shows_its_host_alone() -> None:
    source = WhepSource(
        WhepUrls.parse("http://h:1/{UserId}?token=sekret1"), WhepTokens.parse("sekret2"), ("X-Key", "sekret3")
    )
    endpoint = source.endpoint(KEY)
    assert endpoint.url == "http://h:1/user.a?token=sekret1"
    assert endpoint.headers == {"Authorization": "Bearer sekret2", "X-Key": "sekret3"}
    assert endpoint.host == "h:1"
    assert "sekret" not in repr((source, endpoint, source.urls, source.tokens))
    assert pickle.loads(pickle.dumps(source)).endpoint(KEY) == endpoint  # noqa: S301  our own
