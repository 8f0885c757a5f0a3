"""`recvmmsg(2)`: up to 64 datagrams in one system call, with the kernel's arrival times."""

import errno
import ipaddress
import socket
import struct
from functools import lru_cache

from relay.rtc import mmsg
from relay.rtc.mmsg import BATCH, MSG_DONTWAIT, NAME, Slots
from relay.rtc.srtp import MAX_PROTECTED, MIN_PROTECTED, SrtpInput
from relay.rtc.udp import MAX_DATAGRAM, UdpTransport

_ROUNDS = 16
"""System calls for one socket in one read: 1024 datagrams, so that one flood does not hold up the other sessions."""
_CONTROL = 64
_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; Python 3.11's socket module has no name for it
# struct cmsghdr (length, level and type), then struct timespec, in words of 64 bits.
_STAMP_WORDS = _CONTROL // 8
_STAMPED = socket.SOL_SOCKET | _SO_TIMESTAMPNS << 32
_HEADER_WORDS, _LENGTH_WORD = 16, 14  # of 32 bits, in struct mmsghdr


def available() -> bool:
    """The call is there, and its buffers are made."""
    return mmsg.available() and bool(_buffers())


class _Buffers(Slots):
    """With room for a time stamp each."""

    def __init__(self) -> None:
        super().__init__()
        ffi = self.ffi
        self.call = self.library.recvmmsg
        self._control = ffi.new("unsigned char[]", BATCH * _CONTROL)
        for i in range(BATCH):
            header = self.headers[i].msg_hdr
            header.msg_control = self._control + i * _CONTROL
            header.msg_controllen = _CONTROL
        # Of all messages at once: the first two bytes, the lengths, what the time stamps consist of.
        self.beginnings = memoryview(self.payload).cast("B").cast("H")[:: MAX_DATAGRAM // 2]
        self.lengths = memoryview(ffi.buffer(self.headers)).cast("B").cast("I")[_LENGTH_WORD::_HEADER_WORDS]
        stamps = memoryview(ffi.buffer(self._control)).cast("B").cast("Q")
        self.stamp_kinds, self.seconds, self.nanoseconds = (stamps[word::_STAMP_WORDS] for word in (1, 2, 3))
        self.sizes = [ffi.cast("int *", ffi.addressof(self.headers[i], "msg_len")) for i in range(BATCH)]
        # The kernel writes lengths and flags into the headers: this puts them back in one copy.
        self.header_size = ffi.sizeof("struct mmsghdr")
        self.header_bytes = ffi.buffer(self.headers)
        self.fresh = bytes(self.header_bytes)


@lru_cache(maxsize=1)
def _buffers() -> _Buffers:
    return _Buffers()


class BatchSocket:
    """Reads one detached `UdpTransport`."""

    def __init__(self, transport: UdpTransport, srtp: SrtpInput) -> None:
        self._transport = transport
        self._srtp = srtp
        self._descriptor = transport.sock.fileno()
        transport.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def read(self, into: list[tuple[float, bytes]], now: float, realtime_offset: float) -> int:
        """Appends RTP and RTCP in the clear as (arrival, packet), and gives what is no SRTP to the socket's protocol.
        Returns how many packets were refused.

        `realtime_offset` is CLOCK_REALTIME minus the clock of `now`: the kernel stamps in the former. A stamp that a
        step of that clock has moved out of the last minute, or into the future, becomes `now`.
        """
        buffers = _buffers()
        refused = 0
        for _ in range(_ROUNDS):
            if self._transport.is_closing():
                break
            count = buffers.call(self._descriptor, buffers.headers, BATCH, MSG_DONTWAIT, buffers.ffi.NULL)
            if count <= 0:
                if count < 0 and buffers.ffi.errno not in (errno.EAGAIN, errno.EINTR):
                    self._transport.protocol.error_received(OSError(buffers.ffi.errno, "recvmmsg"))
                break
            others, bad = self._take(buffers, count, into, now, realtime_offset)
            refused += bad
            size = count * buffers.header_size
            buffers.header_bytes[0:size] = buffers.fresh[0:size]
            # Last, as a protocol may close the session: the buffers are free again by then.
            for data, sender in others:
                self._transport.protocol.datagram_received(data, sender)
            if count < BATCH:
                break
        return refused

    def _take(
        self, buffers: _Buffers, count: int, into: list[tuple[float, bytes]], now: float, realtime_offset: float
    ) -> tuple[list[tuple[bytes, tuple[str, int]]], int]:
        """Decrypts where the packets lie. Gives what is no SRTP, with its sender, and how many packets were refused."""
        open_rtp, open_rtcp, handle = self._srtp.open_rtp, self._srtp.open_rtcp, self._srtp.handle
        packets, sizes, payload = buffers.packets, buffers.sizes, buffers.payload
        others: list[tuple[bytes, tuple[str, int]]] = []
        kept: list[int] = []
        refused = 0
        lengths = buffers.lengths[:count].tolist()
        for i, beginning in enumerate(buffers.beginnings[:count].tolist()):
            length = lengths[i]
            if 127 < beginning & 0xFF < 192:
                # As `SrtpInput.open` does it, with `is_rtcp` spelled out; the second byte is the upper half.
                if MIN_PROTECTED <= length <= MAX_PROTECTED and not (
                    open_rtcp if 0xC000 <= beginning < 0xE000 else open_rtp
                )(handle, packets[i], sizes[i]):
                    kept.append(i)
                else:
                    refused += 1
            elif 0 < length < MAX_DATAGRAM:  # neither empty nor cut
                start = i * MAX_DATAGRAM
                others.append((payload[start : start + length], self._sender(buffers, i)))
        if kept:
            lengths = buffers.lengths[:count].tolist()
            kinds, seconds, nanoseconds = (
                part[:count].tolist() for part in (buffers.stamp_kinds, buffers.seconds, buffers.nanoseconds)
            )
            earliest = now - 60.0
            for i in kept:
                arrival = now
                if kinds[i] == _STAMPED:
                    stamp = seconds[i] + nanoseconds[i] * 1e-9 - realtime_offset
                    if earliest < stamp < now:
                        arrival = stamp
                start = i * MAX_DATAGRAM
                into.append((arrival, payload[start : start + lengths[i]]))
        return others, refused

    @staticmethod
    def _sender(buffers: _Buffers, i: int) -> tuple[str, int]:
        name = buffers.names[i * NAME : (i + 1) * NAME]
        (family,) = struct.unpack_from("=H", name)
        (port,) = struct.unpack_from("!H", name, 2)
        raw = name[8:24] if family == socket.AF_INET6 else name[4:8]
        return str(ipaddress.ip_address(raw)), port
