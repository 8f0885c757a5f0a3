"""The HTTP side of an adapter: a WHIP endpoint of the standard library's, so that any Python can run it."""

import http.server
import json
import signal
import sys
import threading
from collections.abc import Callable


def serve(answer: Callable[[str, str], str], close: Callable[[], None]) -> None:
    """Prints where it takes offers, and takes them until SIGTERM: `answer(name, offer)` gives the SDP answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            name = self.path.rpartition("/")[2]
            try:
                body, status = answer(name, offer), 201
            except Exception as error:
                body, status = f"{type(error).__name__}: {error}", 500
            self.send_response(status)
            self.send_header("Content-Type", "application/sdp" if status == 201 else "text/plain")
            self.send_header("Content-Length", str(len(body.encode())))
            if status == 201:
                self.send_header("Location", self.path)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_DELETE(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sys.stdout.write(json.dumps({"whip": f"http://127.0.0.1:{server.server_port}/whip/{{name}}"}) + "\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    close()
