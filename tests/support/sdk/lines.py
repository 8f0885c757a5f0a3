"""What the drivers of the Python SDKs share: calls as lines of JSON, and signed queries sent."""

import http.client
import json
import sys
from collections.abc import Callable
from typing import Any


def answer_lines(shown: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """For each call on standard input, what the SDK shows of it on standard output."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(shown(json.loads(line))) + "\n")
        sys.stdout.flush()


def send_signed_query(query: str, call: dict[str, Any]) -> dict[str, Any]:
    """The SDKs only make the query string; any HTTP client takes it from there."""
    connection = http.client.HTTPConnection(call["host"], timeout=5)
    try:
        body = json.dumps(call["body"]) if call["method"] == "POST" else None
        connection.request(call["method"], f"/?{query}", body)
        response = connection.getresponse()
        return {"status": response.status, "answer": json.load(response)}
    finally:
        connection.close()
