"""The AppKeys that room tokens are signed with, as an operator writes them."""

from collections.abc import Mapping

from relay.core.entries import entries
from relay.core.ident import is_ident


class AppKeys:
    """The AppKey of each AppId. Its `repr` shows the AppIds only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._keys = dict(keys or {})

    @classmethod
    def parse(cls, text: str) -> "AppKeys":
        """`AppId:AppKey`, separated by commas or line ends; a line that begins with `#` is a comment.

        `ValueError` counts the entries and quotes none of them.
        """
        keys: dict[str, str] = {}
        for number, entry in enumerate(entries(text), 1):
            app_id, _, app_key = (part.strip() for part in entry.partition(":"))
            if not is_ident(app_id) or not app_key:
                raise ValueError(f"entry {number} is not AppId:AppKey")
            if app_id in keys:
                raise ValueError(f"entry {number} names an AppId that has its key already")
            keys[app_id] = app_key
        if not keys:
            raise ValueError("there is no AppId:AppKey in it")
        return cls(keys)

    def get(self, app_id: str) -> str | None:
        return self._keys.get(app_id)

    def __or__(self, other: "AppKeys") -> "AppKeys":
        """Both; where both know an AppId, the key is that of `other`."""
        return AppKeys(self._keys | other._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"AppKeys({', '.join(self._keys)})"
