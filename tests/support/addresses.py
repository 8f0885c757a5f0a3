"""This host's addresses."""

import socket

import psutil


def own_address() -> str:
    """An IPv4 address of this host that is not loopback."""
    found = (one for some in psutil.net_if_addrs().values() for one in some if one.family == socket.AF_INET)
    return next(one.address for one in found if not one.address.startswith("127."))
