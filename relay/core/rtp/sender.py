"""The sending half of one RTP stream (RFC 3550, RFC 6184, RFC 7587), with retransmission on request (RFC 4588)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from relay.core.rtp import rtcp
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.packet import FIXED_HEADER, MARKER, VERSION_2

MAX_PAYLOAD = 1200
"""Bytes: leaves room for RTP, SRTP, TURN and IPv6 headers below an MTU of 1280."""
_OVERHEAD = 14
"""Bytes of a retransmission beside the payload: RTP header and original sequence number."""
_MAX_RETRANSMISSIONS = 256  # for one datagram of the receiver, so that a hostile one gains little


@dataclass(slots=True)
class SenderFeedback:
    """What one RTCP datagram of the receiver asks for."""

    retransmissions: list[bytes] = field(default_factory=list)
    """RTP packets to send now."""
    key_frame_wanted: bool = False
    loss: float | None = None
    """The part of the packets lost since the report before, 0 to 1; None: no report in the datagram."""
    rtt: float | None = None
    """Seconds, where a report answers one of ours."""
    bitrate: int | None = None
    """What the receiver allows (REMB), bits per second."""


_Sent = tuple[int, int, Sequence[bytes], bool]
"""The first number, the timestamp, payloads, whether the last has the marker. Payloads may be many senders'."""


class RtpSender:
    """One media stream. RTP times are the media's own, from 0 or anywhere; `rtp_offset` is added on the wire."""

    def __init__(
        self,
        *,
        kind: Literal["video", "audio"],
        payload_type: int,
        clock_rate: int,
        ssrc: int,
        cname: str,
        first_sequence: int,
        rtp_offset: int,
        rtx_payload_type: int | None = None,
        rtx_ssrc: int | None = None,
        rtx_first_sequence: int = 0,
        history: int = 1024,
    ) -> None:
        """`history` is how many packets are kept for retransmission. SSRC, first sequence number and offset should be
        random (RFC 3550 5.1). Retransmissions take a stream of their own where both `rtx_` names are given."""
        self.kind = kind
        self.ssrc = ssrc
        self._payload_type = payload_type
        self._clock_rate = clock_rate
        self._sequence = first_sequence & 0xFFFF
        self._rtp_offset = rtp_offset
        self._rtx = None if rtx_payload_type is None or rtx_ssrc is None else (rtx_payload_type, rtx_ssrc)
        self._rtx_sequence = rtx_first_sequence & 0xFFFF
        self._history: list[_Sent | None] = [None] * history
        """What each of the last packets belongs to: the place is its number since the first one, modulo the size."""
        self._description = rtcp.source_description(ssrc, cname)
        self._packets = 0
        self._octets = 0
        self._last: tuple[int, float] | None = None
        self._ntp_offset: float | None = None

    def send_access_unit(self, nals: Sequence[bytes], rtp_time: int, now: float) -> list[bytes]:
        """The RTP packets of one picture, the marker on the last; none where `nals` is empty."""
        return self.send_payloads(packetize(nals, MAX_PAYLOAD), rtp_time, now)

    def send_payloads(self, payloads: Sequence[bytes], rtp_time: int, now: float) -> list[bytes]:
        """The same of a picture that is packed already, by `packetize` with `MAX_PAYLOAD`. `payloads` is kept."""
        return self._send(payloads, rtp_time, now, marker=True)

    def send_opus(self, data: bytes, rtp_time: int, now: float) -> list[bytes]:
        """The RTP packet of one Opus packet (RFC 7587 4.2)."""
        return self._send([data], rtp_time, now, marker=False)

    def _send(self, payloads: Sequence[bytes], rtp_time: int, now: float, *, marker: bool) -> list[bytes]:
        self._last = rtp_time, now
        timestamp = (rtp_time + self._rtp_offset) & 0xFFFFFFFF
        first, count, kind, ssrc = self._sequence, len(payloads), self._payload_type, self.ssrc
        pack = FIXED_HEADER.pack
        packets = [
            pack(VERSION_2, kind, number & 0xFFFF, timestamp, ssrc) + payload
            for number, payload in enumerate(payloads, first)
        ]
        if marker and packets:
            last = (first + count - 1) & 0xFFFF
            packets[-1] = pack(VERSION_2, kind | MARKER, last, timestamp, ssrc) + payloads[-1]
        self._keep((first, timestamp, payloads, marker), count)
        self._sequence = (first + count) & 0xFFFF
        self._packets += count
        self._octets += sum(map(len, payloads))
        return packets

    def _keep(self, sent: _Sent, count: int) -> None:
        history, size = self._history, len(self._history)
        begin = self._packets % size
        if begin + count <= size:
            history[begin : begin + count] = [sent] * count
        else:
            for place in range(begin, begin + count):
                history[place % size] = sent

    def _kept(self, number: int) -> _Sent | None:
        age = (self._sequence - number) & 0xFFFF
        size = len(self._history)
        return self._history[(self._packets - age) % size] if 0 < age <= min(size, self._packets) else None

    def receive_rtcp(self, data: bytes, now: float) -> SenderFeedback:
        """Takes a decrypted RTCP datagram; a malformed one asks for nothing."""
        return self.heed(rtcp.parse(data) or (), now)

    def heed(self, messages: Iterable[rtcp.Message], now: float, budget: float = math.inf) -> SenderFeedback:
        """The same of a datagram that is parsed already. `budget`: bytes that retransmissions may take in all."""
        feedback = SenderFeedback()
        for message in messages:
            if isinstance(message, rtcp.Nack) and message.media == self.ssrc:
                budget -= self._repair(message, budget, feedback.retransmissions)
            elif isinstance(message, rtcp.Pli):
                feedback.key_frame_wanted |= message.media == self.ssrc
            elif isinstance(message, rtcp.Fir):
                feedback.key_frame_wanted |= self.ssrc in message.media
            elif isinstance(message, rtcp.Remb):
                if self.ssrc in message.ssrcs:
                    feedback.bitrate = message.bitrate
            elif isinstance(message, rtcp.ReceiverReport | rtcp.SenderReport):
                for block in message.blocks:
                    if block.ssrc == self.ssrc:
                        feedback.loss = block.fraction_lost / 256
                        feedback.rtt = self._round_trip(block, now)
        return feedback

    def _repair(self, nack: rtcp.Nack, budget: float, out: list[bytes]) -> int:
        """Adds what is asked for, as far as `budget` goes; its bytes."""
        spent = 0
        for number in nack.lost:
            sent = self._kept(number)
            if sent is None:
                continue
            first, timestamp, payloads, marked = sent
            index = (number - first) & 0xFFFF
            if len(out) >= _MAX_RETRANSMISSIONS or spent + len(payloads[index]) + _OVERHEAD > budget:
                break
            marker = MARKER if marked and index == len(payloads) - 1 else 0
            out.append(self._retransmit(number, marker, timestamp, payloads[index]))
            spent += len(out[-1])
        return spent

    def _retransmit(self, number: int, marker: int, timestamp: int, payload: bytes) -> bytes:
        if self._rtx is None:
            return FIXED_HEADER.pack(VERSION_2, marker | self._payload_type, number, timestamp, self.ssrc) + payload
        payload_type, ssrc = self._rtx
        sequence, self._rtx_sequence = self._rtx_sequence, (self._rtx_sequence + 1) & 0xFFFF
        header = FIXED_HEADER.pack(VERSION_2, marker | payload_type, sequence, timestamp, ssrc)
        return header + number.to_bytes(2, "big") + payload

    def _round_trip(self, block: rtcp.ReportBlock, now: float) -> float | None:
        """RFC 3550 6.4.1: arrival - LSR - DLSR, in 1/65536 s."""
        if self._ntp_offset is None or block.last_report == 0:
            return None
        arrival = int((now + self._ntp_offset) * 65536)
        trip = (arrival - block.last_report - block.delay) & 0xFFFFFFFF
        return trip / 65536 if trip < 0x80000000 else 0.0

    def report(self, now: float, ntp: float) -> bytes:
        """SR and SDES as of `now`, which is `ntp` seconds since 1900. Before the first packet there is no RTP
        time to tell: an empty RR and SDES."""
        if self._last is None:
            return rtcp.receiver_report(rtcp.ReceiverReport(self.ssrc)) + self._description
        self._ntp_offset = ntp - now
        rtp_time, sent = self._last
        timestamp = rtp_time + self._rtp_offset + round((now - sent) * self._clock_rate)
        report = rtcp.SenderReport(self.ssrc, int(ntp * 2**32), timestamp & 0xFFFFFFFF, self._packets, self._octets)
        return rtcp.sender_report(report) + self._description

    def bye(self) -> bytes:
        """The compound that ends the stream (RFC 3550 6.6)."""
        empty = rtcp.receiver_report(rtcp.ReceiverReport(self.ssrc))
        return empty + self._description + rtcp.bye([self.ssrc])
