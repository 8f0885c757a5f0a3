"""A driver of PyPI `volcengine` (class Service): a JSON object a line in, one out; see `tests.support.sdk.driver`."""

import json
from typing import Any

from volcengine.ApiInfo import ApiInfo  # type: ignore[import-untyped] # the SDK has no types
from volcengine.base.Service import Service  # type: ignore[import-untyped] # the SDK has no types
from volcengine.Credentials import Credentials  # type: ignore[import-untyped] # the SDK has no types
from volcengine.ServiceInfo import ServiceInfo  # type: ignore[import-untyped] # the SDK has no types

from tests.support.sdk.lines import answer_lines, send_signed_query


def shown(call: dict[str, Any]) -> dict[str, Any]:
    query = {"Action": call["action"], "Version": call["version"]}
    credentials = Credentials(call["ak"], call["sk"], "rtc", "cn-north-1", call["token"])
    info = ServiceInfo(call["host"], {"Accept": "application/json"}, credentials, 5, 5)
    service = Service(info, {"api": ApiInfo(call["method"], "/", query, {}, {})})
    if call["signing"] == "query":
        return send_signed_query(service.get_sign_url("api", call["query"]), call)
    try:
        if call["method"] == "GET":
            text = service.get("api", call["query"])
        else:
            text = service.json("api", call["query"], json.dumps(call["body"]))
    except Exception as error:  # this is how the SDK tells any answer but 200
        text = error.args[0]
        return {"status": None, "answer": json.loads(text)}
    return {"status": 200, "answer": json.loads(text)}


if __name__ == "__main__":
    answer_lines(shown)
