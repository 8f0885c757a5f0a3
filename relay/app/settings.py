"""Every setting of `relay serve`: an environment variable `RELAY_<NAME>`, most of them an option too."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from relay.api.actions import GET, START, STOP
from relay.api.auth import AccessKeys
from relay.api.rates import RateLimits
from relay.api.receivers import Receivers
from relay.app.values import CommaSeparated, Egress, HostAndPort, IpAddress, PortRange, in_file, inline
from relay.core.egress import ANY, PUBLIC, EgressPolicy
from relay.core.load import MAX_CPU_SHARE
from relay.core.whep_source import WhepSource, WhepTokens, WhepUrls, parse_header
from relay.engine.database_url import DatabaseUrl
from relay.gateway.app_keys import AppKeys
from relay.gateway.resources import IceServer
from relay.push.transcode import DEFAULT_BIT_RATE, DEFAULT_CODER, CoderName
from relay.rtc.settings import RtcSettings, TurnServer
from relay.worker.settings import WorkerSettings


def _database_url(value: Any) -> Any:
    return DatabaseUrl.parse(value) if isinstance(value, str) else value


def _state_folder() -> Path:
    """Where a service keeps its state: systemd's word, the desktop's, or below the home directory."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    if given := os.environ.get("XDG_STATE_HOME"):
        return Path(given) / "relay"
    try:
        return Path.home() / ".local" / "state" / "relay"
    except RuntimeError:
        return Path("relay-state")


def unknown_variables() -> list[str]:
    """Environment variables that are called like settings and are none: a slip of the pen leaves a default in force."""
    known = {f"RELAY_{name.upper()}" for name in Settings.model_fields} | {"RELAY_TOKEN"}  # of `relay publish`
    return sorted(name for name in os.environ if name.upper().startswith("RELAY_") and name.upper() not in known)


class Settings(BaseSettings):
    """What an operator may say; each field's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="address the HTTP server (control API, WHIP and WHEP) binds")
    port: int = Field(8080, ge=0, le=65535, description="TCP port of the HTTP server; 0 takes a free one")
    insecure: bool = Field(
        False, description="serve unsigned requests and open rooms on an address that is not loopback"
    )
    access_keys: Annotated[InstanceOf[AccessKeys], *inline(AccessKeys)] = Field(
        AccessKeys(),
        description="AK:SK or AK:SK:AppId|AppId, comma-separated: requests of the control API must be signed; "
        "unset: nobody is asked",
    )
    access_keys_file: Annotated[InstanceOf[AccessKeys], *in_file(AccessKeys)] = Field(
        AccessKeys(), description="a file of AK:SK[:AppId|AppId] lines, beside those of access_keys"
    )
    start_rate: int = Field(150, ge=0, description="Start requests a second that an access key may make; 0: any number")
    stop_rate: int = Field(150, ge=0, description="Stop requests a second, likewise")
    get_rate: int = Field(60, ge=0, description="Get requests a second, likewise")
    egress: Egress = Field(
        None,
        description="where pushes may go: any, or public and networks such as 10.1.0.0/16, comma-separated; "
        "unset: any on a loopback host, else public",
    )
    app_keys: Annotated[InstanceOf[AppKeys], *inline(AppKeys)] = Field(
        AppKeys(), description="AppId:AppKey, comma-separated: room tokens are asked for; unset: rooms are open"
    )
    app_keys_file: Annotated[InstanceOf[AppKeys], *in_file(AppKeys)] = Field(
        AppKeys(), description="a file of AppId:AppKey lines, beside those of app_keys"
    )
    database_url: Annotated[InstanceOf[DatabaseUrl] | None, NoDecode, BeforeValidator(_database_url)] = Field(
        None,
        description="where tasks are kept: sqlite:////path, postgresql://user:password@host/database, or sqlite:// for "
        "memory; unset: relay.db in $STATE_DIRECTORY, $XDG_STATE_HOME/relay or ~/.local/state/relay",
    )
    callbacks: Annotated[InstanceOf[Receivers], *inline(Receivers)] = Field(
        Receivers(),
        description='webhook receivers as JSON: {"AppId": {"url": …, "secret": …, "events": […]}}, * for all others; '
        "unset: nobody is called",
    )
    callbacks_file: Annotated[InstanceOf[Receivers], *in_file(Receivers)] = Field(
        Receivers(), description="a file of webhook receivers, TOML or JSON, beside those of callbacks"
    )
    addresses: CommaSeparated[IpAddress] = Field(
        [], description="IP addresses that receive media, comma-separated; empty: all of the host"
    )
    udp_ports: PortRange = Field(
        None,
        description="UDP ports for media, as in 40000-40100; a session takes one on each address; unset: any",
    )
    advertised_address: IpAddress | None = Field(
        None, description="public IP address clients are told to send to, behind NAT or docker -p"
    )
    stun_server: HostAndPort = Field(
        None, description="host:port of a STUN server that tells this host's public address; unset: nobody is asked"
    )
    turn_server: HostAndPort = Field(
        None, description="host:port of a TURN server (UDP) that relays media where no other path is found; unset: none"
    )
    turn_username: str = Field("", description="user name for the TURN server")
    turn_password: SecretStr = Field(SecretStr(""), description="password for the TURN server")
    source: Literal["room", "whep"] = Field(
        "room", description="where streams come from: publishers in the built-in room (WHIP), or an SFU (WHEP)"
    )
    whep_url: Annotated[InstanceOf[WhepUrls], *inline(WhepUrls)] = Field(
        WhepUrls(),
        description="WHEP URL of a stream with {AppId}, {RoomId}, {UserId}, {StreamType} (0, 1) or {Stream} (main, "
        "screen) in it, for source=whep; AppId:URL, comma-separated, for single applications",
    )
    whep_token: Annotated[InstanceOf[WhepTokens], *inline(WhepTokens)] = Field(
        WhepTokens(), description="bearer token for WHEP; AppId:token, comma-separated, for single applications"
    )
    whep_token_file: Annotated[InstanceOf[WhepTokens], *in_file(WhepTokens)] = Field(
        WhepTokens(), description="a file of the same, beside those of whep_token"
    )
    whep_header: SecretStr = Field(SecretStr(""), description="one more header of WHEP requests, as in X-Api-Key: abc")
    max_video_bitrate: int | None = Field(None, ge=50, description="kbit/s publishers are told not to exceed")
    enhanced_rtmp: CommaSeparated[Literal["h265", "av1", "vp9", "vp8"]] = Field(
        [],
        description="video codecs besides H.264, for CDNs that take them by Enhanced RTMP, comma-separated: "
        "h265, av1, vp9, vp8",
    )
    reader: Literal["auto", "hook", "batch"] = Field("auto", description="how datagrams are read")
    tick_ms: float = Field(
        10, ge=2, le=100, description="milliseconds between looks at the sockets where there is little to do"
    )
    longest_tick_ms: float = Field(
        40,
        ge=2,
        le=100,
        description="the same under load, or while nobody publishes: latency against cost; below tick_ms it is that",
    )
    audio_coder: CoderName = Field(
        DEFAULT_CODER, description="of AAC: `lean`, `paired`, or FFmpeg's `twoloop` or `fast` alone"
    )
    audio_bit_rate: int = Field(DEFAULT_BIT_RATE, ge=32_000, le=320_000, description="bits per second of the AAC")
    interleave: bool = Field(
        False, description="pictures are pushed with the sound of their time, 0.4 s later; to SRS they are anyhow"
    )
    max_sessions: int = Field(1000, ge=1, description="publishers at once")
    max_viewers: int = Field(100, ge=0, description="viewers (WHEP) at once")
    max_tasks: int = Field(1000, ge=1, description="running push tasks at once")
    max_cpu_share: float = Field(
        MAX_CPU_SHARE, gt=0, le=1, description="share of a core beyond which nobody new is let in, to spare who is"
    )
    measure_cpu: bool = Field(
        False, description="tell the media phases of /metrics in CPU seconds, for a little more of them"
    )
    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        1, description="processes that media is spread over by rooms; auto: one per core; 1: the server's own"
    )
    drain_seconds: float = Field(
        0, ge=0, description="seconds that running pushes get to end by themselves after SIGTERM; nobody new is let in"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["text", "json"] = Field("text", description="lines for people, or one JSON object a line")

    @field_validator("whep_header")
    @classmethod
    def _one_header(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_header(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _source_and_its_urls(self) -> Self:
        if self.source == "whep" and not self.whep_url:
            raise ValueError("source=whep needs whep_url (RELAY_WHEP_URL), as in https://host/{RoomId}/{UserId}/whep")
        if self.source == "room" and self.whep_url:
            raise ValueError("whep_url is given, but source=room takes nothing from there: set RELAY_SOURCE=whep")
        if self.source == "room" and (self.whep_token or self.whep_token_file or self.whep_header.get_secret_value()):
            raise ValueError("whep_token, whep_token_file and whep_header are of no use without RELAY_SOURCE=whep")
        if self.turn_server is not None and not (self.turn_username and self.turn_password.get_secret_value()):
            raise ValueError("turn_server needs turn_username and turn_password (RELAY_TURN_USERNAME, _PASSWORD)")
        if self.turn_server is None and (self.turn_username or self.turn_password.get_secret_value()):
            raise ValueError("turn_username and turn_password are of no use without turn_server (RELAY_TURN_SERVER)")
        return self

    @property
    def worker_count(self) -> int:
        """The cores that this process may use, where `workers` is auto."""
        return len(os.sched_getaffinity(0)) if self.workers == "auto" else self.workers

    @property
    def binds_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def request_keys(self) -> AccessKeys:
        """Of both settings; none: requests need no signature."""
        return self.access_keys | self.access_keys_file

    @property
    def rates(self) -> RateLimits:
        return RateLimits({START: self.start_rate, STOP: self.stop_rate, GET: self.get_rate})

    @property
    def egress_policy(self) -> EgressPolicy:
        """Where pushes may go: on a loopback host, where tests are made, anywhere."""
        if self.egress is not None:
            return self.egress
        return ANY if self.binds_loopback else PUBLIC

    @property
    def room_keys(self) -> AppKeys:
        """Of both settings; none: rooms are open."""
        return self.app_keys | self.app_keys_file

    @property
    def receivers(self) -> Receivers:
        """Of both settings; none: there are no callbacks."""
        return self.callbacks | self.callbacks_file

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """What publishers are told of: the STUN server that tells us our address tells them theirs."""
        if self.stun_server is None:
            return ()
        host, port = self.stun_server
        return (IceServer(f"stun:[{host}]:{port}" if ":" in host else f"stun:{host}:{port}"),)

    @property
    def _turn_server(self) -> TurnServer | None:
        if self.turn_server is None:
            return None
        return TurnServer(*self.turn_server, self.turn_username, self.turn_password.get_secret_value())

    @property
    def whep_source(self) -> WhepSource | None:
        if self.source == "room":
            return None
        header = self.whep_header.get_secret_value()
        tokens = self.whep_token | self.whep_token_file
        return WhepSource(self.whep_url, tokens, parse_header(header) if header else None)

    @property
    def database(self) -> DatabaseUrl:
        return self.database_url or DatabaseUrl.file(_state_folder() / "relay.db")

    def worker(self) -> WorkerSettings:
        return WorkerSettings(
            shortest_tick=self.tick_ms / 1000,
            longest_tick=max(self.tick_ms, self.longest_tick_ms) / 1000,
            rtc=RtcSettings(
                addresses=tuple(self.addresses) or None,
                port_range=self.udp_ports,
                advertised_address=self.advertised_address,
                stun_server=self.stun_server,
                turn_server=self._turn_server,
                reader=self.reader,
                max_video_bitrate=self.max_video_bitrate,
                enhanced_codecs=tuple(self.enhanced_rtmp),
            ),
            source=self.whep_source,
            audio_coder=self.audio_coder,
            audio_bit_rate=self.audio_bit_rate,
            interleave=self.interleave,
            egress=self.egress_policy,
            max_sessions=self.max_sessions,
            max_viewers=self.max_viewers,
            max_tasks=self.max_tasks,
            max_cpu_share=self.max_cpu_share,
            measure_cpu=self.measure_cpu,
        )
