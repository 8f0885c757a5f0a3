"""A driver of `volcenginesdkcore` (UniversalApi), which PyPI `volcengine-python-sdk` is made of."""

import json
from typing import Any

import volcenginesdkcore  # type: ignore[import-untyped] # the SDK has no types
from volcenginesdkcore.rest import ApiException  # type: ignore[import-untyped] # the SDK has no types
from volcenginesdkcore.signv4 import SignerV4  # type: ignore[import-untyped] # the SDK has no types

from tests.support.sdk.lines import answer_lines, send_signed_query


def shown(call: dict[str, Any]) -> dict[str, Any]:
    if call["signing"] == "query":
        query = {"Action": call["action"], "Version": call["version"], **call["query"]}
        signed = SignerV4.sign_url(
            "/",
            call["method"],
            query,
            call["ak"],
            call["sk"],
            "cn-north-1",
            "rtc",
            session_token=call["token"],
            host=call["host"] if call["sign_host"] else None,
        )
        return send_signed_query(signed, call)
    configuration = volcenginesdkcore.Configuration()
    configuration.ak, configuration.sk, configuration.region = call["ak"], call["sk"], "cn-north-1"
    configuration.session_token = call["token"]
    configuration.host, configuration.scheme = call["host"], "http"
    api = volcenginesdkcore.UniversalApi(volcenginesdkcore.ApiClient(configuration))
    content_type = "application/json" if call["method"] == "POST" else None
    info = volcenginesdkcore.UniversalInfo(call["method"], "rtc", call["version"], call["action"], content_type)
    try:
        result = api.do_call(info, call["query"] if call["method"] == "GET" else call["body"])
    except ApiException as error:
        return {"status": error.status, "answer": json.loads(error.body)}
    return {"status": 200, "answer": {"Result": result}}


if __name__ == "__main__":
    answer_lines(shown)
