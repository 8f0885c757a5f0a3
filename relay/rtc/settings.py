"""What an operator may set about media over UDP."""

from dataclasses import dataclass, field
from typing import Literal

from relay.core.rtp.reception import ReceptionSettings


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server (RFC 8656) over UDP, with long-term credentials."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RtcSettings:
    """One for the process; every publisher session reads it."""

    addresses: tuple[str, ...] | None = None
    """IP literals to receive on, loopback allowed; None: every address of the host that is not loopback or link-local,
    or 127.0.0.1 where there is no other."""
    port_range: tuple[int, int] | None = None
    """First and last UDP port, both inclusive; a session takes one port of each address. None: any free port."""
    advertised_address: str | None = None
    """IP literal that candidates of its family carry instead of the local address (NAT, docker -p)."""
    stun_server: tuple[str, int] | None = None
    """Host and port asked for this host's public address while gathering; None: nobody is asked."""
    turn_server: TurnServer | None = None
    """Relays media where no other path is found; None: nobody does."""
    receive_buffer: int = 4 * 1024 * 1024
    """Bytes asked of the kernel for each socket: a stall of the process is survived as long as it holds."""
    reader: Literal["auto", "hook", "batch"] = "auto"
    """How datagrams are read: by the loop's callback, or in batches once a tick (Linux); auto: batch where it works."""
    connect_timeout: float = 15.0
    """Seconds from the answer to a finished DTLS handshake; a session that takes longer is closed."""
    max_video_bitrate: int | None = None
    """kbit/s that a publisher is told not to exceed, by the answer (b=AS, b=TIAS) and by REMB; None: no word of it."""
    enhanced_codecs: tuple[str, ...] = ()
    """Video codecs taken besides H.264, which go to CDNs by Enhanced RTMP; names as in `relay.core.codecs`."""
    reception: ReceptionSettings = field(default_factory=ReceptionSettings)
