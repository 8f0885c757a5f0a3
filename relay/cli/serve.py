"""`relay serve`: settings from options and environment, then the server until a signal."""

from typing import Any

import structlog
import typer
from pydantic import ValidationError

from relay.app import logs
from relay.app.server import serve
from relay.app.settings import Settings, unknown_variables
from relay.engine.database import DatabaseUnavailable

log = structlog.get_logger(__name__)

UNSAFE = """relay: refusing to serve on {host}: anybody who reaches it could {dangers}.
  Set RELAY_ACCESS_KEYS and RELAY_APP_KEYS (or their _FILE), bind a loopback address (--host 127.0.0.1) behind a proxy
  that checks who asks, or say --insecure (RELAY_INSECURE=true) where the network itself is trusted."""


def _unsafe(settings: Settings) -> str | None:
    """Why these settings are refused, if they are: what would be open to everybody."""
    if settings.binds_loopback or settings.insecure:
        return None
    dangers = []
    if not settings.request_keys:
        dangers.append("push anywhere (RELAY_ACCESS_KEYS is not set)")
    if not settings.room_keys:
        dangers.append("publish in any room and watch it (RELAY_APP_KEYS is not set)")
    if not dangers:
        return None
    return UNSAFE.format(host=settings.host, dangers=" and ".join(dangers))


def read_settings(given: dict[str, Any]) -> Settings:
    """`given`, and the environment for the rest; ends the command with exit code 2 where a setting cannot be."""
    try:
        return Settings(**given)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "".join(str(part) for part in problem["loc"][:1])  # none: settings that do not go together
            where = f"{name} (RELAY_{name.upper()}): " if name else ""
            typer.echo(f"relay: {where}{problem['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


def run_serve(given: dict[str, Any]) -> int:
    """Returns the exit code: 0 after a signal, 2 for settings that cannot be."""
    settings = read_settings(given)
    if refusal := _unsafe(settings):
        typer.echo(refusal, err=True)
        return 2
    logs.configure(settings.log_level, settings.log_format)
    for name in unknown_variables():
        log.warning("there is no setting of this name", variable=name)
    try:
        serve(settings)
    except DatabaseUnavailable as error:
        typer.echo(f"relay: {error}; see RELAY_DATABASE_URL", err=True)
        return 1
    except OSError as error:
        typer.echo(f"relay: cannot listen on {settings.host}:{settings.port}: {error.strerror}", err=True)
        return 1
    return 0
