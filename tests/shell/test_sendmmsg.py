"""Packets in batches: protected where they lie, sent in one call; in order, and the same as one by one."""

import asyncio
import errno
import socket

import pylibsrtp
import pytest

from relay.rtc import mmsg, sendmmsg
from relay.rtc.sendmmsg import BatchOutput
from relay.rtc.tap import srtp_output
from relay.rtc.udp import UdpTransport, bind

PROFILE, KEY = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, bytes(range(44))
RTCP = bytes((0x80, 201, 0, 1)) + bytes(4)


def session(kind: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(key=KEY, ssrc_type=kind, srtp_profile=PROFILE))


def rtp(number: int, size: int) -> bytes:
    return bytes((0x80, 96, number >> 8, number & 0xFF)) + bytes(8) + bytes((number & 0xFF,)) * size


class Errors(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.seen: list[Exception] = []

    def error_received(self, exc: Exception) -> None:
        self.seen.append(exc)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_more_than_one_call_takes(address: str) -> None:
    transport = UdpTransport(bind(address, None, 1 << 20), Errors())
    receiver = bind(address, None, 1 << 20)
    outbound, inbound = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND), session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    packets = [rtp(number, number) for number in range(150)]
    refused = [b"", b"\x80\x60", rtp(150, 1400)]
    try:
        to = receiver.getsockname()[:2]
        everything = [*packets[:70], RTCP, *refused, *packets[70:]]
        assert BatchOutput(transport, to, srtp_output(outbound)).send(everything) == len(packets) + 1
        got = []
        for _ in range(len(packets) + 1):
            data, sender = receiver.recvfrom(2048)
            assert sender == transport.get_extra_info("sockname")
            got.append(inbound.unprotect_rtcp(data) if data[1] == 201 else inbound.unprotect(data))
        assert got == [*packets[:70], RTCP, *packets[70:]]
        with pytest.raises(BlockingIOError):
            receiver.recv(2048)
    finally:
        receiver.close()
        transport.close()


async def test_what_cannot_go_is_told_and_holds_nothing_up() -> None:
    protocol = Errors()
    transport = UdpTransport(bind("127.0.0.1", None, 1 << 20), protocol)
    output = srtp_output(session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND))
    packets = [rtp(number, 10) for number in range(3)]
    assert BatchOutput(transport, ("255.255.255.255", 9), output).send(packets) == 3
    assert [error.errno for error in protocol.seen if isinstance(error, OSError)] == [errno.EACCES] * 3
    transport.close()
    later = [rtp(number, 10) for number in range(3, 6)]
    BatchOutput(transport, ("127.0.0.1", 9), output).send(later)
    assert len(protocol.seen) == 3


def test_addresses_are_as_the_kernel_wants_them() -> None:
    for family, address in ((socket.AF_INET, "192.0.2.7"), (socket.AF_INET6, "2001:db8::7")):
        name = sendmmsg._socket_address((address, 5000))
        assert len(name) == mmsg.NAME
        assert int.from_bytes(name[:2], "little") == family
        assert int.from_bytes(name[2:4], "big") == 5000
        assert socket.inet_pton(family, address) in name
