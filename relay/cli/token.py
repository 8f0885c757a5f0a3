"""`relay token`: a room token for trying things out, signed as an application server would."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from relay.cli.serve import read_settings
from relay.core.ident import is_ident
from relay.core.token import Privilege, RoomToken, issue


@dataclass(frozen=True, slots=True)
class TokenOptions:
    app_id: str
    room_id: str
    user_id: str
    seconds: int
    """0: for ever."""
    privileges: str
    """Names of `Privilege`, comma-separated."""
    app_key_file: Path | None


def run_token(options: TokenOptions) -> int:
    """Prints the token. Returns the exit code: 2 where none can be made of the options."""
    try:
        typer.echo(_token(options))
    except ValueError as error:
        typer.echo(f"relay: {error}", err=True)
        return 2
    return 0


def _token(options: TokenOptions) -> str:
    """Raises `ValueError`."""
    for field, value in (("APP", options.app_id), ("ROOM", options.room_id), ("USER", options.user_id)):
        if not is_ident(value):
            raise ValueError(f"{field} must match [a-zA-Z0-9_@-.]{{1,128}}")
    # A file that is named here stands alone, whatever the environment says.
    given = {} if options.app_key_file is None else {"app_keys": "", "app_keys_file": str(options.app_key_file)}
    app_key = read_settings(given).room_keys.get(options.app_id)
    if app_key is None:
        raise ValueError(f"no AppKey of {options.app_id}: set RELAY_APP_KEYS, or name a file by --app-key-file")
    now = int(time.time())
    expires = now + options.seconds if options.seconds else 0
    privileges: dict[int, int] = dict.fromkeys(_privileges(options.privileges), expires)
    token = RoomToken(options.room_id, options.user_id, secrets.randbits(32), now, expires, privileges)
    return issue(token, app_id=options.app_id, app_key=app_key)


def _privileges(names: str) -> list[Privilege]:
    try:
        return [Privilege[name.strip().upper()] for name in names.split(",") if name.strip()]
    except KeyError:
        known = ", ".join(privilege.name.lower() for privilege in Privilege)
        raise ValueError(f"--privileges: write some of {known}, comma-separated") from None
