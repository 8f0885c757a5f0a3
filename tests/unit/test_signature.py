"""Request signatures: the published vector, what SDKs really send, and everything that must not pass."""

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.signature import MAX_EXPIRES, WINDOW, Claim, Refusal, SignedRequest, read_claim, signing_key
from tests.support.signing import NOTHING, Signer, signature

KEY_ID, SECRET = "AKLTtest", "VGhlIHNlY3JldA=="
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC).timestamp()
SIGNER = Signer(KEY_ID, SECRET)
GET = SignedRequest("GET", "/", "Action=A&Version=1&AppId=app", {"host": "rtc.example"})
POST = replace(GET, method="POST", headers={"host": "rtc.example", "content-type": "application/json"})
BODY = b'{"AppId": "app"}'

VECTOR_ID = "AKLTMjI2ODVlYzI3ZGY1NGU4ZjhjYWRjMTlmNTM5OTZkYzE"
VECTOR_SECRET = "TnpCak5XWXpZV1U0WkRaaE5ERmxaR0ZpTmpjeVkyUXlZek0wTWpJMU1qWQ=="  # noqa: S105 - published with the vector
VECTOR_SCOPE = "20201230/cn-north-1/rtc/request"
VECTOR_SIGNATURE = "b650bac39169258e864c755c583327377aa505c8588f873bd7b3c5a08584942d"
VECTOR = SignedRequest(
    "GET",
    "/",
    "Action=GetRecordTask&Version=2022-06-01&AppId=Your_AppId&RoomId=Your_RoomId&TaskId=Your_TaskId",
    {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "rtc.volcengineapi.com",
        "x-content-sha256": NOTHING,
        "x-date": "20201230T081805Z",
        "authorization": f"HMAC-SHA256 Credential={VECTOR_ID}/{VECTOR_SCOPE}, "
        f"SignedHeaders=content-type;host;x-content-sha256;x-date, Signature={VECTOR_SIGNATURE}",
    },
)
VECTOR_NOW = datetime(2020, 12, 30, 8, 18, 5, tzinfo=UTC).timestamp()


def passes(request: SignedRequest, body: bytes = b"", *, now: float = NOW, secret: str = SECRET) -> bool:
    claim = read_claim(request, now)
    assert isinstance(claim, Claim), claim
    return claim.matches(secret, body)


def signed(request: SignedRequest, body: bytes = b"", *, now: float = NOW) -> SignedRequest:
    return replace(request, headers={**request.headers, **SIGNER.headers(request, body, now)})


def query_signed(request: SignedRequest, *, now: float = NOW, expires: int | None = None) -> SignedRequest:
    return replace(request, query=SIGNER.query(request, now, expires=expires))


def with_header(request: SignedRequest, **changed: str | None) -> SignedRequest:
    headers = {**request.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return replace(request, headers={name: value for name, value in headers.items() if value is not None})


def with_parameter(request: SignedRequest, **changed: str | None) -> SignedRequest:
    pairs = dict(parse_qsl(request.query, keep_blank_values=True))
    for name, value in changed.items():
        name = name.replace("_", "-")
        pairs.pop(name, None)
        if value is not None:
            pairs[name] = value
    return replace(request, query=urlencode(pairs))


def test_the_published_vector() -> None:
    key = signing_key(VECTOR_SECRET, VECTOR_SCOPE)
    assert key.hex() == "bc0e4f44b530f4db214d8c22d2e520eeb264b5e68906b039fb97e6880b4badf4"
    assert passes(VECTOR, now=VECTOR_NOW, secret=VECTOR_SECRET)
    bare = replace(VECTOR, headers={name: VECTOR.headers[name] for name in ("content-type", "host")})
    assert VECTOR_SIGNATURE in Signer(VECTOR_ID, VECTOR_SECRET).headers(bare, b"", VECTOR_NOW)["authorization"]
    for other in (
        replace(VECTOR, query=VECTOR.query.replace("Your_TaskId", "Another")),
        replace(VECTOR, method="POST"),
        replace(VECTOR, path="/other"),
        with_header(VECTOR, host="other.example"),
        with_header(VECTOR, content_type=None),
    ):
        assert not passes(other, now=VECTOR_NOW, secret=VECTOR_SECRET)


def test_our_own_signatures_pass_and_nothing_beside_them() -> None:
    request = signed(POST, BODY)
    assert passes(request, BODY)
    assert not passes(request, BODY + b" ")
    assert not passes(request, BODY, secret=SECRET + "x")
    assert not passes(with_header(request, x_content_sha256=None), BODY)
    assert not passes(replace(request, query=request.query + "&TaskId=x"), BODY)
    in_query = query_signed(GET)
    assert passes(in_query)
    assert not passes(in_query, secret=SECRET[:-1])
    for changed in (
        with_parameter(in_query, AppId="other"),
        with_parameter(in_query, TaskId="more"),
        with_parameter(in_query, AppId=None),
        with_parameter(in_query, X_NotSignBody=None),
        with_parameter(in_query, X_Expires="86400"),
        with_parameter(in_query, X_SignedQueries=""),
        replace(in_query, query=in_query.query + "&AppId=other"),
        replace(in_query, method="POST"),
    ):
        assert not passes(changed), changed


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.binary(max_size=40))
def test_any_query_and_body_can_be_signed(parameters: dict[str, str], body: bytes) -> None:
    request = replace(POST, query=urlencode({"Action": "A", **parameters}))
    assert passes(signed(request, body), body)
    assert passes(query_signed(request), body)


@given(
    st.text(max_size=60), st.dictionaries(st.sampled_from(["authorization", "x-date", "host"]), st.text(max_size=60))
)
def test_nothing_from_outside_raises(query: str, headers: dict[str, str]) -> None:
    request = SignedRequest("GET", "/%ff%zz", query, headers)
    assert isinstance(read_claim(request, NOW), Refusal | Claim)
    base = query_signed(GET)
    for hostile in (
        replace(base, query=f"{base.query}&{query}"),
        with_header(signed(GET), **{"x-content-sha256": query}),
        replace(base, path=f"/{query}"),
    ):
        claim = read_claim(hostile, NOW)
        assert isinstance(claim, Refusal) or claim.matches(SECRET, b"") in (True, False)


def test_a_body_that_the_query_does_not_cover_comes_with_post_only() -> None:
    assert passes(query_signed(POST), BODY)
    assert not passes(query_signed(GET), BODY)


def test_a_told_hash_of_the_body_must_be_true() -> None:
    assert passes(with_header(query_signed(GET), x_content_sha256=NOTHING))
    assert not passes(with_header(query_signed(GET), x_content_sha256="0" * 64))
    assert not passes(with_header(query_signed(GET), x_content_sha256="é"))


# As the Node SDK signs: neither host nor content type; a GET has no hash of its body.
@pytest.mark.parametrize("names", [["x-date"], ["x-content-sha256", "x-date"]])
def test_the_requests_own_signed_headers_count(names: list[str]) -> None:
    bare = replace(GET, headers={})
    added = SIGNER.headers(bare, b"", NOW)
    headers = "".join(f"{name}:{added[name]}\n" for name in names)
    scope = f"{added['x-date'][:8]}/cn-north-1/rtc/request"
    query = "Action=A&AppId=app&Version=1"
    made = signature(SECRET, scope, added["x-date"], f"GET\n/\n{query}\n{headers}\n{';'.join(names)}\n{NOTHING}")
    authorization = f"HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={';'.join(names)}, Signature={made}"
    request = with_header(GET, authorization=authorization, x_date=added["x-date"])
    if "x-content-sha256" in names:
        request = with_header(request, x_content_sha256=NOTHING)
    assert passes(request)
    assert passes(with_header(request, host="elsewhere.example"))


def test_the_host_is_signed_with_its_port_or_without_it() -> None:
    for sent, as_signed, good in (
        ("rtc.example:80", "rtc.example", True),
        ("rtc.example:80", "rtc.example:80", True),
        ("rtc.example:443", "rtc.example", True),
        ("[::1]:443", "[::1]", True),
        ("rtc.example:8080", "rtc.example:8080", True),
        ("rtc.example:8080", "rtc.example", False),
        ("rtc.example", "rtc.example:80", False),
    ):
        request = with_header(signed(with_header(GET, host=as_signed)), host=sent)
        assert passes(request) is good, (sent, as_signed)


def test_the_query_is_the_same_however_it_is_encoded() -> None:
    request = signed(replace(GET, query="b=sp%20ace*!~()/%C3%A9&a=&c=1"))
    for query in (
        "a=&b=sp+ace*!~()/%C3%A9&c=1",
        "c=1&a&b=sp%20ace%2A%21~%28%29%2F%c3%a9",
        "c=1&b=sp+ace%2a!%7E()/é&a=",
    ):
        assert passes(replace(request, query=query)), query
    assert not passes(replace(request, query="a=&b=sp%2Bace*!~()/%C3%A9&c=1"))


@pytest.mark.parametrize("blank", ["", "\n"])
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("token", [True, False])
def test_a_signed_query_as_the_sdks_write_it(blank: str, listed: bool, token: bool) -> None:
    """With and without the newline too much; with the list of names and the token in what is signed, and beside it."""
    timestamp = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{timestamp[:8]}/cn-north-1/rtc/request"
    query = {
        "Action": "A",
        "X-Date": timestamp,
        "X-NotSignBody": "",
        "X-Credential": f"{KEY_ID}/{scope}",
        "X-Algorithm": "HMAC-SHA256",
        "X-SignedHeaders": "",
    }
    names = sorted(query)
    if listed:
        names.append("X-SignedQueries")
        query["X-SignedQueries"] = ";".join(names)
    if token:
        query["X-Security-Token"] = "sts/+="
    covered = names if not (listed and token) else [*names, "X-Security-Token"]
    canonical_query = "&".join(f"{quote(name)}={quote(query[name], safe='-_.~')}" for name in sorted(covered))
    query["X-SignedQueries"] = ";".join(names)
    canonical = f"GET\n/\n{canonical_query}\n{blank}\n\n{NOTHING}"
    query["X-Signature"] = signature(SECRET, scope, timestamp, canonical)
    assert passes(replace(GET, query=urlencode(query)))


def test_a_signature_has_its_time() -> None:
    for late, good in ((0, True), (WINDOW, True), (WINDOW + 1, False), (-WINDOW, True), (-WINDOW - 1, False)):
        for request in (signed(GET), query_signed(GET)):
            claim = read_claim(request, NOW + late)
            assert isinstance(claim, Claim) if good else claim is Refusal.EXPIRED, late


def test_expires_says_otherwise() -> None:
    for expires, late, good in (
        (60, 60, True),
        (60, 61, False),
        (3600, 3600, True),
        (3600, 3601, False),
        (MAX_EXPIRES + 10, MAX_EXPIRES, True),
        (MAX_EXPIRES + 10, MAX_EXPIRES + 1, False),
        (60, -WINDOW, True),
        (3600, -WINDOW - 1, False),
    ):
        claim = read_claim(query_signed(GET, expires=expires), NOW + late)
        assert isinstance(claim, Claim) if good else claim is Refusal.EXPIRED, (expires, late)
    assert passes(query_signed(GET, expires=3600), now=NOW + 3000)
    for word in ("x", "-1", "", "99999999", "1e3"):
        assert read_claim(with_parameter(query_signed(GET), X_Expires=word), NOW) is Refusal.EXPIRED


GOOD = signed(GET).headers["authorization"]
IN_QUERY = query_signed(GET)


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (GET, Refusal.UNSIGNED),
        (with_header(GET, x_date="20260504T030201Z"), Refusal.UNSIGNED),
        (with_header(GET, authorization=" "), Refusal.UNSIGNED),
        (with_header(signed(GET), authorization="Bearer token"), Refusal.AUTHORIZATION_MALFORMED),
        (with_header(signed(GET), authorization="HMAC-SHA256"), Refusal.AUTHORIZATION_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("256", "512", 1)), Refusal.AUTHORIZATION_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace(";x-date", "")), Refusal.AUTHORIZATION_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("Signed", "Signet")), Refusal.AUTHORIZATION_MALFORMED),
        (with_header(signed(GET), x_date=None), Refusal.NO_TIMESTAMP),
        (with_header(signed(GET), authorization=GOOD.partition(", Signature")[0]), Refusal.NO_SIGNATURE),
        (with_header(signed(GET), authorization=GOOD.partition("Signature=")[0]), Refusal.NO_SIGNATURE),
        (with_header(signed(GET), authorization=GOOD.replace("/rtc/", "/vod/")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("/request", "")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("/20260504", "")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("/20260504", "/20260503")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace(KEY_ID, "")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace(KEY_ID, "a" * 129)), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), authorization=GOOD.replace("Credential", "X")), Refusal.CREDENTIAL_MALFORMED),
        (with_header(signed(GET), x_date="20260504T0302Z"), Refusal.EXPIRED),
        (with_header(signed(GET), x_date="20260504T306161Z"), Refusal.EXPIRED),
        (with_header(signed(GET), x_date="20260504T030201Z,20260504T030201Z"), Refusal.EXPIRED),
        (with_parameter(IN_QUERY, X_Algorithm=None), Refusal.AUTHORIZATION_MALFORMED),
        (with_parameter(IN_QUERY, X_Algorithm="HMAC-MD5"), Refusal.AUTHORIZATION_MALFORMED),
        (with_parameter(IN_QUERY, X_Date=None), Refusal.NO_TIMESTAMP),
        (with_parameter(IN_QUERY, X_Signature=None), Refusal.NO_SIGNATURE),
        (with_parameter(IN_QUERY, X_Credential=None), Refusal.CREDENTIAL_MALFORMED),
    ],
)
def test_what_is_no_claim(request_: SignedRequest, refusal: Refusal) -> None:
    assert read_claim(request_, NOW) is refusal


def test_a_slash_may_stand_in_a_key_id_and_any_region_will_do() -> None:
    signer = Signer("AK/LT+=", SECRET, region="ap-southeast-1")
    request = with_header(GET, **signer.headers(GET, b"", NOW))
    claim = read_claim(request, NOW)
    assert isinstance(claim, Claim)
    assert claim.key_id == "AK/LT+="
    assert claim.matches(SECRET, b"")


def test_no_secret_and_no_signature_is_shown() -> None:
    claim = read_claim(signed(GET), NOW)
    assert SECRET not in repr(claim)
    assert GOOD.rpartition("=")[2] not in repr(claim)
