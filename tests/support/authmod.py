"""An RTMP server that wants users and passwords as Akamai and Wowza do (`authmod=adobe`)."""

import hashlib
from base64 import b64encode

from relay.core.rtmp.server import ServerSession

USER, PASSWORD = "anna", "pass:word"
SALT, CHALLENGE, OPAQUE = "yl9Kzw==", "PwpqAg==", "vgoAAA=="
_WHO = "[ AccessManager.Reject ] : "


class AuthSession(ServerSession):
    """`accept_connect` accepts who knows the password."""

    opaque = OPAQUE

    def accept_connect(self) -> None:
        asked = dict(pair.partition("=")[::2] for pair in self._app.partition("?")[2].split("&"))
        if asked.get("authmod") != "adobe":
            self._refuse("[ code=403 need auth; authmod=adobe ] : ")
        elif "response" not in asked:
            told = f"user={asked['user']}&salt={SALT}&challenge={CHALLENGE}"
            opaque = f"&opaque={self.opaque}" if self.opaque else ""
            self._refuse(f"[ authmod=adobe ] : ?reason=needauth&{told}{opaque}")
        elif asked["response"] != self._expected(asked["challenge"]) or asked["user"] != USER:
            self._refuse(f"[ authmod=adobe ] : ?reason=authfailed&opaque={self.opaque}")
        else:
            super().accept_connect()

    def _refuse(self, why: str) -> None:
        self.refuse_connect("NetConnection.Connect.Rejected", _WHO + why)

    def _expected(self, challenge: str) -> str:
        known = b64encode(hashlib.md5(f"{USER}{SALT}{PASSWORD}".encode()).digest())  # noqa: S324  as these servers do
        asked = (self.opaque or CHALLENGE) + challenge
        return b64encode(hashlib.md5(known + asked.encode()).digest()).decode()  # noqa: S324
