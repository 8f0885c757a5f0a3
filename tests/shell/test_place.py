"""Relays that share a database are told apart by the place where they run, however their hosts are called."""

import socket
import subprocess
import sys

from relay.app.server import place
from relay.engine.database_url import DatabaseUrl

URL = "postgresql://relay@127.0.0.1/relay"
ELSEWHERE = """
import socket
from relay.app.server import place
from relay.engine.database_url import DatabaseUrl

with socket.socket() as listener:
    listener.bind(("0.0.0.0", {port}))
    print(place(listener, DatabaseUrl.parse("{url}")))
"""


def test_hosts_that_are_called_alike_are_two_places() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        program = ELSEWHERE.format(port=listener.getsockname()[1], url=URL)
        said = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        here, there = place(listener, DatabaseUrl.parse(URL)), said.stdout.strip()
    assert here.partition(")")[0] == there.partition(")")[0], "host, address and port are the same"
    assert here != there, "and yet both are bound at once"
