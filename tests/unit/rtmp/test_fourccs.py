"""`connect` of Enhanced RTMP (v2, "Enhancing NetConnection connect Command")."""

from relay.core.push_url import PushUrl
from relay.core.rtmp import amf0
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.publisher import Publisher
from relay.core.rtmp.server import ServerSession

NONCE = bytes(NONCE_SIZE)


def connect(*fourccs: str) -> bytes:
    """What the client sends once the handshake is done."""
    client = Publisher(PushUrl.parse("rtmp://cdn.example/live/key"), nonce=NONCE, fourccs=fourccs)
    server = ServerSession(nonce=NONCE)
    server.receive(b"".join(client.data_to_send()))
    client.receive(b"".join(server.data_to_send()), 0.0)
    # Chunks of 128 bytes, each of the later ones behind its type-3 header.
    return b"".join(client.data_to_send()).replace(b"\xc3", b"")


def test_fourccs_are_told() -> None:
    assert b"\0\nfourCcList" + amf0.encode(["av01", "vp08"]) in connect("av01", "vp08")


def test_without_any_nothing_is_said() -> None:
    assert b"connect" in connect()
    assert b"fourCcList" not in connect()
