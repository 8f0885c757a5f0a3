"""TCP, and TLS for `rtmps`, to a push URL's host: to one of its addresses that may be connected to, tried in turn."""

import asyncio
import errno
import functools
import os
import socket
import ssl
from collections.abc import Callable

from relay.core.push_url import PushUrl
from relay.net.destinations import Destinations

MAX_ADDRESSES = 4
"""Addresses of a name that are tried, each with its share of the connect deadline."""


@functools.cache
def default_tls() -> ssl.SSLContext:
    """Verifies certificates against the system's authorities. Made once: reading those takes tens of milliseconds."""
    return ssl.create_default_context()


async def dial(
    factory: Callable[[], asyncio.Protocol],
    url: PushUrl,
    destinations: Destinations,
    tls: ssl.SSLContext | None,
    deadline: float,
) -> None:
    """Connects a protocol of `factory` until `deadline` (the loop's time), which the addresses share.

    Raises `ForbiddenAddress`, `OSError` or `ValueError`. The connection goes to an address that was checked, never to
    the name again; the certificate has to be the name's.
    """
    loop = asyncio.get_running_loop()
    addresses = (await destinations.addresses(url.host))[:MAX_ADDRESSES]
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            async with asyncio.timeout((deadline - loop.time()) / left):
                if tls is None:
                    await loop.create_connection(factory, address, url.port)
                else:
                    await _dial_tls(factory, address, url, tls)
        except OSError:  # TimeoutError too
            if left == 1:
                raise
        else:
            return


async def _dial_tls(factory: Callable[[], asyncio.Protocol], address: str, url: PushUrl, tls: ssl.SSLContext) -> None:
    """The transport below TLS is to hold nothing back: what waits in it is not in TLS's `get_write_buffer_size`."""
    loop = asyncio.get_running_loop()
    below, _ = await loop.create_connection(asyncio.Protocol, address, url.port)
    below.set_write_buffer_limits(high=0)
    # Until TLS stands there is nothing to hear: an RTMP server speaks second.
    transport = await loop.start_tls(below, asyncio.Protocol(), tls, server_hostname=url.host)
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    protocol = factory()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


def is_lasting(error: OSError | ValueError) -> bool:
    """A name that nobody knows, or a wrong certificate, does not come right within a second."""
    return isinstance(error, ValueError | socket.gaierror | ssl.SSLError)


def describe(error: BaseException) -> str:
    """What went wrong, in words that hold no address and no secret."""
    match error:
        case socket.gaierror():
            return "the host's name cannot be resolved"
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or 'no reason given'}"
        case TimeoutError():
            return "no answer"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError():
            return "connection reset"
        case OSError(errno=int(number)):
            return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
        case ValueError():  # of the IDNA codec and of ssl
            return "the host's name is not valid"
        case _:
            return type(error).__name__
