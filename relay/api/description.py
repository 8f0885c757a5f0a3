"""The three actions in the served OpenAPI description: one path with a GET and a POST, told apart by `Action`."""

from typing import Any

from relay.api.actions import GET, START, STOP, VERSION
from relay.api.models import GetQuery, StartBody, StopBody

_REF = "#/components/schemas/{model}"

_METADATA = {
    "type": "object",
    "required": ["RequestId"],
    "properties": {
        "RequestId": {"type": "string", "pattern": "^[0-9]{14}[0-9A-F]{20}$"},
        "Action": {"type": "string"},
        "Version": {"type": "string"},
        "Service": {"const": "rtc"},
        "Region": {"type": "string"},
        "Error": {
            "type": "object",
            "required": ["Code", "Message"],
            "properties": {
                "Code": {"type": "string"},
                "Message": {"type": "string"},
                "CodeN": {"type": "integer", "description": "on errors of the gateway only"},
            },
        },
    },
}
_TASK = {
    "type": "object",
    "properties": {
        "StartTime": {"type": "integer", "description": "ms since 1970"},
        "EndTime": {"type": "integer", "description": "ms since 1970; 0: not ended"},
        "Status": {"type": "integer", "description": "1 not started, 2 running, 3 ended, 4 failed"},
        "StopReason": {"type": "string", "description": "empty: not ended"},
        "PushStreamState": {
            "type": "integer",
            "description": "1 not pushing yet, 2 connecting, 3 reconnecting, 4 connected, 5 pushing, 6 stopped",
        },
        "Stream": {"type": "object"},
        "PushURL": {"type": "string"},
        "Control": {"type": "object"},
        "CallbackError": {"type": "string", "description": "why a callback was given up; only where one was"},
    },
}
_ERRORS = {
    "400": "A parameter is missing or wrong, or the task is not there; or the signature lacks a part or is outdated",
    "401": "Not signed, or not with the secret of a known access key",
    "403": "The access key is not allowed to use this AppId",
    "404": "There is no such action in this version",
    "405": "Another method than GET, HEAD, POST and OPTIONS; HEAD for another action than Get",
    "429": "Too many requests or tasks",
    "500": "An error of the relay's own",
}


def add_control_api(description: dict[str, Any]) -> None:
    """Adds the path `/` to an OpenAPI 3.1 `description`."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for model in (StartBody, StopBody):
        schema = model.model_json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    failure = {"type": "object", "required": ["ResponseMetadata"], "properties": {"ResponseMetadata": _METADATA}}
    schemas["Failure"] = {**failure, "not": {"required": ["Result"]}}
    description["components"].setdefault("securitySchemes", {})["Signature"] = {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Volcengine V4, with X-Date; or the same in the query string. Needed where access keys are set.",
    }
    description.setdefault("paths", {})["/"] = {
        "get": {
            "summary": "How a push is going",
            "operationId": GET,
            "parameters": [*_choice(GET), *_query()],
            **_answers({"type": "object", "properties": {"PushSingleStreamToCDNTask": _TASK}}),
        },
        "post": {
            "summary": "Start or stop a push",
            "operationId": f"{START} or {STOP}",
            "parameters": _choice(START, STOP),
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [{"$ref": _REF.format(model=m.__name__)} for m in (StartBody, StopBody)]}
                    }
                },
            },
            **_answers({"type": "string", "description": "`ok`, or that the task has been started already"}),
        },
    }


def _choice(*actions: str) -> list[dict[str, Any]]:
    return [
        {"name": "Action", "in": "query", "required": True, "schema": {"type": "string", "enum": list(actions)}},
        {"name": "Version", "in": "query", "required": True, "schema": {"type": "string", "enum": [VERSION]}},
    ]


def _query() -> list[dict[str, Any]]:
    schema = GetQuery.model_json_schema()
    ident = schema["properties"]["AppId"]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": {**ident, "title": name}}
        for name in schema["properties"]
    ]


def _answers(result: dict[str, Any]) -> dict[str, Any]:
    success = {
        "type": "object",
        "required": ["Result", "ResponseMetadata"],
        "properties": {"Result": result, "ResponseMetadata": _METADATA},
    }
    failure = {"application/json": {"schema": {"$ref": _REF.format(model="Failure")}}}
    return {
        "tags": ["Control"],
        "security": [{"Signature": []}, {}],
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": success}}},
            **{status: {"description": words, "content": failure} for status, words in _ERRORS.items()},
        },
    }
