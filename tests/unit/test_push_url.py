import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.push_url import MAX_LENGTH, PushUrl


@pytest.mark.parametrize(
    ("text", "host", "port", "app", "name", "tc_url", "redacted"),
    [
        ("rtmp://h/app/key", "h", 1935, "app", "key", "rtmp://h/app", "rtmp://h/app/***"),
        (
            "RTMPS://h.example/a/b/key",
            "h.example",
            443,
            "a/b",
            "key",
            "rtmps://h.example/a/b",
            "rtmps://h.example/a/b/***",
        ),
        ("rtmp://h:19/app/key?a=b/c&d", "h", 19, "app", "key?a=b/c&d", "rtmp://h:19/app", "rtmp://h:19/app/***"),
        ("rtmp://h/app?tok=x/key", "h", 1935, "app?tok=x", "key", "rtmp://h/app?tok=x", "rtmp://h/app/***"),
        ("rtmp://[::1]:20/app/key", "::1", 20, "app", "key", "rtmp://[::1]:20/app", "rtmp://[::1]:20/app/***"),
        (
            "rtmp://[fe80::1%25eth0]/a/k",
            "fe80::1%eth0",
            1935,
            "a",
            "k",
            "rtmp://[fe80::1%25eth0]/a",
            "rtmp://[fe80::1%25eth0]/a/***",
        ),
        ("rtmp://me:pw@h/app/key", "h", 1935, "app", "key", "rtmp://me:pw@h/app", "rtmp://h/app/***"),
        ("rtmp://me:p%40w@h/app/k%20y", "h", 1935, "app", "k%20y", "rtmp://me:p%40w@h/app", "rtmp://h/app/***"),
        ("rtmp://h/app/直播?签=名", "h", 1935, "app", "直播?签=名", "rtmp://h/app", "rtmp://h/app/***"),
    ],
)
def test_forms(text, host, port, app, name, tc_url, redacted):
    url = PushUrl.parse(text)
    assert (url.host, url.port, url.app, url.stream_name) == (host, port, app, name)
    assert (url.tc_url, url.redacted, url.secret) == (tc_url, redacted, text)
    assert url.tls == text.lower().startswith("rtmps")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://h/app/key", "rtmp://"),
        ("h/app/key", "rtmp://"),
        ("", "rtmp://"),
        ("rtmp://h", "stream key"),
        ("rtmp://h/app", "stream key"),
        ("rtmp://h/app/", "stream key"),
        ("rtmp://h//key", "stream key"),
        ("rtmp://h/app/?token=1", "stream key"),
        ("rtmp:///app/key", "host"),
        ("rtmp://::1/app/key", "host"),
        ("rtmp://h:x/app/key", "host"),
        ("rtmp://h:0/app/key", "port"),
        ("rtmp://h:65536/app/key", "port"),
        ("rtmp://h/app/ke y", "space"),
        (" rtmp://h/app/key", "space"),
        ("rtmp://h/app/key\n", "space"),
        ("rtmp://h/app/k\0y", "control"),
        ("rtmp://h/app/\ud800", "control"),
        ("rtmp://h/app/" + "k" * MAX_LENGTH, "longer"),
    ],
)
def test_errors_name_the_remedy(text, says):
    with pytest.raises(ValueError, match=says) as caught:
        PushUrl.parse(text)
    assert "key\n" not in str(caught.value)


def test_nothing_shows_a_secret():
    url = PushUrl.parse("rtmps://user:passw0rd@h/live?apptoken=zzz/streamkey123?sign=abcdef")
    for shown in (str(url), repr(url), f"{url}", url.redacted, repr([url]), repr({"url": url})):
        for secret in ("user", "passw0rd", "zzz", "streamkey123", "abcdef"):
            assert secret not in shown


def test_scrub():
    url = PushUrl.parse("rtmp://me:pw1@h/live/k%65y?sign=abcdef&t=99")
    told = "stream k%65y (key) at me:pw1, abcdef: rtmp://me:pw1@h/live/k%65y?sign=abcdef&t=99\r\n" + "x" * 500
    scrubbed = url.scrub(told)
    assert scrubbed.startswith("stream *** (***) at ***, ***: ***")
    assert len(scrubbed) == 200
    assert scrubbed.isprintable()


@given(st.text(max_size=60), st.sampled_from(["", "rtmp://", "rtmp://h/", "rtmp://h/a/"]))
def test_any_text(text, start):
    try:
        url = PushUrl.parse(start + text)
    except ValueError:
        return
    assert url.app
    assert url.stream_name
    assert 1 <= url.port <= 65535
