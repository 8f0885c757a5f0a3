"""How the values of settings are written: text in the environment, on the command line or in a file."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, InstanceOf
from pydantic_settings import NoDecode

from relay.core.egress import EgressPolicy


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _ip_literal(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _port_range(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    first, separator, last = value.partition("-")
    if not separator or not first.strip().isdigit() or not last.strip().isdigit():
        raise ValueError("write the first and the last port, as in 40000-40100")
    ports = int(first), int(last)
    if not 1 <= ports[0] <= ports[1] <= 65535:
        raise ValueError("ports lie within 1 and 65535, the first not above the last")
    return ports


def _host_and_port(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ValueError("write host:port, as in stun.example.org:3478")
    return host.strip("[]"), int(port)


def _egress(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return EgressPolicy.parse(value) if value.strip() else None


Item = TypeVar("Item")
CommaSeparated = Annotated[list[Item], NoDecode, BeforeValidator(_comma_separated)]
IpAddress = Annotated[str, AfterValidator(_ip_literal)]
PortRange = Annotated[tuple[int, int] | None, NoDecode, BeforeValidator(_port_range)]
"""`40000-40100` as its two ends."""
HostAndPort = Annotated[tuple[str, int] | None, NoDecode, BeforeValidator(_host_and_port)]
Egress = Annotated[InstanceOf[EgressPolicy] | None, NoDecode, BeforeValidator(_egress)]


class Parsed(Protocol):
    """What a text of entries is read into; without a text it is empty."""

    def __init__(self) -> None: ...
    @classmethod
    def parse(cls, text: str) -> Self: ...


def inline(kind: type[Parsed]) -> tuple[Any, ...]:
    """How a setting gives `kind`, in itself."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return kind.parse(value) if value.strip() else kind()

    return NoDecode, BeforeValidator(read)


def in_file(kind: type[Parsed]) -> tuple[Any, ...]:
    """How a setting gives `kind` in the file of this name; what goes wrong is told without quoting either."""

    def read(value: Any) -> Any:
        if isinstance(value, kind) or not str(value).strip():
            return value or kind()
        try:
            text = Path(value).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"the file cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError("the file is not UTF-8 text") from None
        return kind.parse(text)

    return NoDecode, BeforeValidator(read)
