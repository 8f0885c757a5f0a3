"""`sendmmsg(2)`: up to 64 packets, protected where they lie, in one system call."""

import errno
import socket
import struct
from collections.abc import Sequence
from functools import lru_cache

from relay.core.rtp.packet import is_rtcp
from relay.rtc.mmsg import BATCH, MSG_DONTWAIT, NAME, Slots
from relay.rtc.srtp import MAX_PLAIN, SrtpOutput
from relay.rtc.udp import MAX_DATAGRAM, UdpTransport

_VECTOR_WORDS, _LENGTH_WORD = 2, 1  # of 64 bits, in struct iovec


class _Buffers(Slots):
    """All headers have the one name."""

    def __init__(self) -> None:
        super().__init__()
        ffi = self.ffi
        self.call = self.library.sendmmsg
        self.lengths = memoryview(ffi.buffer(self._vectors)).cast("B").cast("Q")[_LENGTH_WORD::_VECTOR_WORDS]
        # libsrtp writes the new length there, too: the lower half of a word, on these little-endian machines.
        self.sizes = [ffi.cast("int *", ffi.addressof(self._vectors[i], "iov_len")) for i in range(BATCH)]
        for i in range(BATCH):
            self.headers[i].msg_hdr.msg_name = self._names


@lru_cache(maxsize=1)
def _buffers() -> _Buffers:
    return _Buffers()


class BatchOutput:
    """RTP and RTCP packets from one socket to one address."""

    def __init__(self, transport: UdpTransport, address: tuple[str, int], srtp: SrtpOutput) -> None:
        self._transport = transport
        self._name = _socket_address(address)
        self._srtp = srtp
        self._buffers = _buffers()

    def send(self, packets: Sequence[bytes]) -> int:
        """Protects them and sends them at once or not at all, as `UdpTransport.sendto` does it.

        Returns how many could be protected.
        """
        if len(packets) > BATCH:
            return sum(self.send(packets[first : first + BATCH]) for first in range(0, len(packets), BATCH))
        self._buffers.names[0:NAME] = self._name
        count = self._protect(packets)
        self._send(count)
        return count

    def _protect(self, packets: Sequence[bytes]) -> int:
        """Puts them side by side into the buffers, without those that libsrtp refuses; how many there are then."""
        srtp, buffers = self._srtp, self._buffers
        handle, protect_rtp, protect_rtcp = srtp.handle, srtp.protect_rtp, srtp.protect_rtcp
        payload, lengths, slots, sizes = buffers.payload, buffers.lengths, buffers.packets, buffers.sizes
        count = start = 0
        for packet in packets:
            size = len(packet)
            if 8 <= size <= MAX_PLAIN:
                payload[start : start + size] = packet
                lengths[count] = size
                if not (protect_rtcp if is_rtcp(packet) else protect_rtp)(handle, slots[count], sizes[count]):
                    count += 1
                    start += MAX_DATAGRAM
        return count

    def _send(self, count: int) -> None:
        buffers, transport, done = self._buffers, self._transport, 0
        while done < count and not transport.is_closing():
            sent = buffers.call(transport.sock.fileno(), buffers.headers + done, count - done, MSG_DONTWAIT)
            if sent > 0:
                done += sent
                continue
            problem = buffers.ffi.errno
            if problem == errno.EAGAIN:
                transport.send_drops += count - done
                return
            if problem != errno.EINTR:  # of the first one of these alone: the others may go
                transport.protocol.error_received(OSError(problem, "sendmmsg"))
                done += 1


def _socket_address(address: tuple[str, int]) -> bytes:
    """struct sockaddr_in or sockaddr_in6 of an IP literal and a port, of one size."""
    host, port = address[:2]
    if ":" in host:
        raw = socket.inet_pton(socket.AF_INET6, host)
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!H4x16s4x", port, raw)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s20x", port, socket.inet_aton(host))
