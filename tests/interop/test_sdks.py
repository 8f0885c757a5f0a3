"""The official SDKs, unmodified, against the relay: every way they sign, and what they show of each refusal."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.api.actions import ALREADY_STARTED, GET, START, STOP
from relay.api.auth import AccessKeys, Gate
from relay.app.server import wall_clock
from tests.support.http import Request, Response, serving
from tests.support.relay import ROOM, Relay, running_relay
from tests.support.sdk.driver import Driver, Shown, install_node_sdk, node_sdk, python_sdk

AK, SK = "AKLTtests", "VGhlIHNlY3JldA=="
TOKEN = "sts+/="  # noqa: S105 - nobody's
NAMES = {"AppId": "app", "RoomId": ROOM, "TaskId": "task"}
BODY = {
    **NAMES,
    "Stream": {"UserId": "us@er"},
    "PushURL": "rtmp://127.0.0.1:9/live/键?a=b+c",
    "Control": {},
}

SDKS = ["volcengine_service", "volcenginesdkcore_universal", "openapi"]


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_node_sdk(tmp_path_factory.mktemp("node"))


@pytest.fixture(params=SDKS)
def sdk(
    request: pytest.FixtureRequest, node_modules: Path
) -> Callable[[], contextlib.AbstractAsyncContextManager[Driver]]:
    """Runs the SDK."""
    return lambda: node_sdk(node_modules) if request.param == "openapi" else python_sdk(request.param)


Sdk = Callable[[], contextlib.AbstractAsyncContextManager[Driver]]


def gate(*, ahead: int = 0) -> Gate:
    """`ahead`: seconds that the relay's clock is ahead of the SDK's."""
    return Gate(AccessKeys.parse(f"{AK}:{SK},AKother:{SK}:other"), lambda: wall_clock() + ahead * 1000)


def host_of(relay: Relay) -> str:
    return relay.url.removeprefix("http://")


@contextlib.asynccontextmanager
async def changing(relay: Relay, change: Callable[[Request], Request]) -> AsyncIterator[str]:
    """Somebody between the SDK and the relay, who changes requests; gives the host to call."""

    async def forward(request: Request) -> Response:
        changed = change(request)
        headers = {name: value for name, value in changed.headers.items() if name != "content-length"}
        response = await relay.client.request(
            changed.method, f"{relay.url}{changed.target}", headers=headers, content=changed.body
        )
        kept = {name: value for name, value in response.headers.items() if name in ("content-type", "x-tt-logid")}
        return Response(response.status_code, kept, response.content)

    async with serving(forward) as url:
        yield url.removeprefix("http://")


async def test_start_get_and_stop(sdk: Sdk) -> None:
    async with running_relay(gate=gate()) as relay, sdk() as driver:
        host = host_of(relay)
        for result in ("ok", ALREADY_STARTED):
            shown = await driver.call(host, START, ak=AK, sk=SK, body=BODY)
            assert (shown.status or 200, shown.answer["Result"]) == (200, result)
        shown = await driver.call(host, GET, ak=AK, sk=SK, method="GET", query={**NAMES, "UserId": "us@er"})
        task = shown.answer["Result"]["PushSingleStreamToCDNTask"]
        assert (task["Status"], task["PushStreamState"], task["PushURL"]) == (2, 1, BODY["PushURL"])
        shown = await driver.call(host, STOP, ak=AK, sk=SK, body=NAMES)
        assert shown.answer["Result"] == "ok"
        shown = await driver.call(host, STOP, ak=AK, sk=SK, body=NAMES)
        assert (shown.status or 400, shown.error) == (400, ("InvalidParameter.ErrorActiveTaskNotFound", None))
        assert "Result" not in shown.answer


async def test_signed_queries(sdk: Sdk) -> None:
    async with running_relay(gate=gate()) as relay, sdk() as driver:
        host = host_of(relay)
        for token in ("", TOKEN):
            for sign_host in (False, True):
                keys: dict[str, Any] = {"ak": AK, "sk": SK, "token": token, "sign_host": sign_host, "signing": "query"}
                shown = await driver.call(host, START, **keys, body=BODY)
                assert (shown.status, shown.answer["Result"]) == (200, "ok")
                shown = await driver.call(host, GET, **keys, method="GET", query={**NAMES, "UserId": "us@er"})
                assert shown.answer["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
                shown = await driver.call(host, STOP, **keys, body=NAMES)
                assert (shown.status, shown.answer["Result"]) == (200, "ok")


async def test_odd_characters_and_session_tokens(sdk: Sdk) -> None:
    """They come on the wire in as many ways as there are SDKs; the signature holds, so the answer is the service's."""
    odd = {**NAMES, "UserId": "a b*!~()'/é&=;,+%", "More": ""}
    async with running_relay(gate=gate()) as relay, sdk() as driver:
        for signing in ("header", "query"):
            shown = await driver.call(
                host_of(relay), GET, ak=AK, sk=SK, method="GET", query=odd, token=TOKEN, signing=signing
            )
            assert (shown.status or 400, shown.error) == (400, ("InvalidParameter", None)), shown
            assert "UserId" in shown.answer["ResponseMetadata"]["Error"]["Message"]


async def test_the_signer_of_node(node_modules: Path) -> None:
    async with running_relay(gate=gate()) as relay, node_sdk(node_modules) as driver:
        host = host_of(relay)
        keys: dict[str, Any] = {"ak": AK, "sk": SK, "signing": "signer"}
        assert (await driver.call(host, START, **keys, body=BODY)).answer["Result"] == "ok"
        shown = await driver.call(host, GET, **keys, method="GET", query=NAMES)
        assert (shown.status, shown.answer["Result"]["PushSingleStreamToCDNTask"]["Status"]) == (200, 2)
        shown = await driver.call(host, STOP, ak=AK, sk=SK[:-1], signing="signer", body=NAMES)
        assert (shown.status, shown.error) == (401, ("SignatureDoesNotMatch", 100010))


Ask = Callable[[str, str], Awaitable[Shown]]


def asking(driver: Driver, method: str, signing: str, sk: str = SK) -> Ask:
    async def ask(host: str, ak: str = AK) -> Shown:
        action = START if method == "POST" else GET
        query = NAMES if method == "GET" else {}
        return await driver.call(host, action, ak=ak, sk=sk, method=method, signing=signing, query=query, body=BODY)

    return ask


@pytest.mark.parametrize("signing", ["header", "query"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_what_each_refusal_looks_like(sdk: Sdk, method: str, signing: str) -> None:
    def check(shown: Shown, status: int, code: str, code_n: int | None) -> None:
        # `Service` of both old SDKs keeps the status to itself and shows the answer.
        assert (shown.status or status, shown.error) == (status, (code, code_n))
        assert "Result" not in shown.answer

    async with sdk() as driver:
        ask, forged = asking(driver, method, signing), asking(driver, method, signing, SK[:-1])
        async with running_relay(gate=gate()) as relay:
            check(await forged(host_of(relay), AK), 401, "SignatureDoesNotMatch", 100010)
            check(await ask(host_of(relay), "AKnobody"), 401, "InvalidAccessKey", 100009)
            check(await ask(host_of(relay), "AKother"), 403, "AccessDenied.NoPermissionForApp", None)
            async with changing(relay, lambda request: replace(request, target=f"{request.target}&TaskId=x")) as host:
                check(await ask(host, AK), 401, "SignatureDoesNotMatch", 100010)
            if method == "POST" and signing == "header":
                async with changing(relay, lambda request: replace(request, body=request.body + b" ")) as host:
                    check(await ask(host, AK), 401, "SignatureDoesNotMatch", 100010)
            async with changing(relay, lambda request: request) as host:
                shown = await ask(host, AK)  # nobody changed it: whatever the service says, it is no gateway error
                assert "Result" in shown.answer or shown.error[1] is None
        for ahead in (901, -960):
            async with running_relay(gate=gate(ahead=ahead)) as relay:
                check(await ask(host_of(relay), AK), 400, "InvalidTimestamp", 100006)
