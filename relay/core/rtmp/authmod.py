"""Users and passwords as Flash Media Live Encoder tells them (`authmod=adobe`): Akamai and Wowza ask encoders for them.

There is no specification; FFmpeg and librtmp do the same. A server refuses `connect` with "code=403 need auth", and is
asked again with the user's name in the application's query; refuses that with a salt and a challenge, and is asked
again with the answer. Each time by another connection.
"""

from base64 import b64encode
from dataclasses import replace
from hashlib import md5
from urllib.parse import unquote

from relay.core.push_url import PushUrl

_MODE = "authmod=adobe"


def authorized(url: PushUrl, description: str, challenge: str) -> PushUrl | None:
    """With what to ask again after a refusal of `connect` by `url`; None where the refusal stands.

    `description`: the server's. `challenge`: random, of letters and digits.
    """
    user, _, password = url.tc_url.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")
    if not user or _MODE not in description:
        return None
    user, password = unquote(user), unquote(password)
    _, asks, parameters = description.partition("?reason=needauth")
    if not asks:
        if "need auth" not in description or _MODE in url.app:
            return None
        return _with(url, f"{_MODE}&user={user}")
    if "&response=" in url.app:
        return None
    told = dict(pair.partition("=")[::2] for pair in parameters.split()[0].split("&")) if parameters.strip() else {}
    opaque = told.get("opaque", "")
    hashed = _hash(user, told.get("salt", ""), password)
    response = _hash(hashed, opaque or told.get("challenge", ""), challenge)
    query = f"{_MODE}&user={user}&challenge={challenge}&response={response}"
    return _with(url, f"{query}&opaque={opaque}" if opaque else query)


def _hash(*texts: str) -> str:
    # What these servers compare with, and no choice of ours.
    return b64encode(md5("".join(texts).encode(), usedforsecurity=False).digest()).decode()


def _with(url: PushUrl, query: str) -> PushUrl:
    """The application with `query`, in place of one of this kind."""
    app, _, _ = url.app.partition(_MODE)
    tc_url, _, _ = url.tc_url.partition(_MODE)
    app, tc_url = app.rstrip("?&"), tc_url.rstrip("?&")
    mark = "&" if "?" in app else "?"
    return replace(url, app=f"{app}{mark}{query}", tc_url=f"{tc_url}{mark}{query}")
