import pytest

from relay.core.rtmp.handshake import NONCE_SIZE, Handshake, HandshakeError


def test_both_sides_meet_whatever_the_pieces():
    client, server = Handshake(b"c" * NONCE_SIZE), Handshake(b"s" * NONCE_SIZE)
    to_server, to_client = client.opening(), server.opening()
    while to_server or to_client:
        piece, to_server = to_server[:100], to_server[100:]
        to_client += server.receive(piece)
        piece, to_client = to_client[:77], to_client[77:]
        to_server += client.receive(piece)
    assert client.done
    assert server.done
    assert client.rest() == server.rest() == b""


def test_the_echo_is_what_the_peer_sent_and_the_rest_is_kept():
    client = Handshake(b"c" * NONCE_SIZE)
    first = bytes(8) + b"s" * NONCE_SIZE
    assert client.receive(b"\3" + first) == first
    assert not client.done
    # A second part that echoes something else is taken too: that of the digest handshake does.
    assert client.receive(b"?" * 1536 + b"chunks") == b""
    assert client.done
    assert client.rest() == b"chunks"


def test_another_protocol():
    with pytest.raises(HandshakeError, match="does not speak RTMP"):
        Handshake(bytes(NONCE_SIZE)).receive(b"HTTP/1.1 400 Bad Request")


def test_a_nonce_of_the_wrong_size():
    with pytest.raises(ValueError, match="1528"):
        Handshake(b"short")
