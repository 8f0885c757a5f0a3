"""`relay serve`: settings from options and environment, then the server until a signal."""

from typing import Any

import typer
from pydantic import ValidationError

from relay.app import logs
from relay.app.server import serve
from relay.app.settings import Settings

UNSAFE = """relay: refusing to serve on {host}: anybody who reaches it could push anywhere and publish in any room.
  Bind a loopback address (--host 127.0.0.1) behind a proxy that checks who asks,
  or say --insecure (RELAY_INSECURE=true) where the network itself is trusted."""


def run_serve(given: dict[str, Any]) -> int:
    """Returns the exit code: 0 after a signal, 2 for settings that cannot be."""
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = str(problem["loc"][0])
            typer.echo(
                f"relay: {name} (RELAY_{name.upper()}): {problem['msg'].removeprefix('Value error, ')}", err=True
            )
        return 2
    if not settings.binds_loopback and not settings.insecure:
        typer.echo(UNSAFE.format(host=settings.host), err=True)
        return 2
    logs.configure(settings.log_level, settings.log_format)
    try:
        serve(settings)
    except OSError as error:
        typer.echo(f"relay: cannot listen on {settings.host}:{settings.port}: {error.strerror}", err=True)
        return 1
    return 0
