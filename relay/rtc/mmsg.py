"""`struct mmsghdr` and the two system calls that take many, by cffi in ABI mode.

One set of buffers a direction serves the whole process: reading and writing are synchronous and on one thread.
"""

import platform
import sys
from functools import lru_cache
from typing import Any

import cffi  # type: ignore[import-untyped]  # it ships no types

from relay.rtc.udp import MAX_DATAGRAM

BATCH = 64
NAME = 28
"""sizeof(struct sockaddr_in6)."""
MSG_DONTWAIT = 0x40

_DECLARATIONS = """
struct iovec { void *iov_base; size_t iov_len; };
struct msghdr {
    void *msg_name; unsigned int msg_namelen;
    struct iovec *msg_iov; size_t msg_iovlen;
    void *msg_control; size_t msg_controllen;
    int msg_flags;
};
struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
int recvmmsg(int sockfd, struct mmsghdr *msgvec, unsigned int vlen, int flags, void *timeout);
int sendmmsg(int sockfd, struct mmsghdr *msgvec, unsigned int vlen, int flags);
"""


@lru_cache(maxsize=1)
def available() -> bool:
    """64-bit Linux on a processor whose constants are those of asm-generic, with a C library that has the calls."""
    if sys.platform != "linux" or sys.maxsize < 2**32 or platform.machine() not in ("x86_64", "aarch64", "riscv64"):
        return False
    try:
        _, library = _open()
        return bool(library.recvmmsg and library.sendmmsg)
    except (OSError, AttributeError):
        return False


@lru_cache(maxsize=1)
def _open() -> tuple[Any, Any]:
    ffi = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    return ffi, ffi.dlopen(None)


class Slots:
    """`BATCH` message headers, each with room for a datagram and an address."""

    def __init__(self) -> None:
        self.ffi, self.library = ffi, _ = _open()
        self._payload = ffi.new("unsigned char[]", BATCH * MAX_DATAGRAM)
        self._names = ffi.new("unsigned char[]", BATCH * NAME)
        self._vectors = ffi.new("struct iovec[]", BATCH)
        self.headers = ffi.new("struct mmsghdr[]", BATCH)
        self.packets = [self._payload + i * MAX_DATAGRAM for i in range(BATCH)]
        for i, packet in enumerate(self.packets):
            self._vectors[i].iov_base = packet
            self._vectors[i].iov_len = MAX_DATAGRAM
            header = self.headers[i].msg_hdr
            header.msg_name = self._names + i * NAME
            header.msg_namelen = NAME
            header.msg_iov = self._vectors + i
            header.msg_iovlen = 1
        self.payload = ffi.buffer(self._payload)
        self.names = ffi.buffer(self._names)
