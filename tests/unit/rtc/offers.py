"""The offers of real clients in fixtures/sdp, and ways to change them."""

from pathlib import Path

from relay.rtc.parameters import LocalParameters

FOLDER = Path(__file__).parents[3] / "fixtures" / "sdp"
NAMES = sorted(path.name.removesuffix(".offer.sdp") for path in FOLDER.glob("*.offer.sdp"))

LOCAL = LocalParameters(
    ufrag="abcd",
    password="p" * 22,
    fingerprint=":".join(["AB"] * 32),
    candidates=(
        "1 1 udp 2130706431 192.0.2.9 40000 typ host",
        "2 1 udp 2130706175 2001:db8::9 40001 typ host",
    ),
)


def offer(name: str) -> str:
    return (FOLDER / f"{name}.offer.sdp").read_text()


def without(text: str, *prefixes: str) -> str:
    """The SDP less the lines that begin with any of `prefixes`."""
    return "\r\n".join(line for line in text.splitlines() if not line.startswith(prefixes)) + "\r\n"
