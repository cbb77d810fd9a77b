"""What every response has, and encodings of bodies."""

import gzip
import re
import zlib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import httpx
import msgspec
import pytest

from fhir_server.api.encoding import gzip_or_plain, takes_gzip

FHIR = {"content-type": "application/fhir+json"}
PATIENT = msgspec.json.encode({"resourceType": "Patient", "id": "p", "active": True})
LONG = msgspec.json.encode(
    {"resourceType": "Patient", "id": "p", "name": [{"family": "x" * 100}] * 100}
)
ROOT = "http://testserver"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "url",
    [
        "/Patient/p",
        "/Patient/none",
        "/Patient?name:wrong=x",
        "/Nothing",
        "/metadata",
        "",
        f"{ROOT}/health/live",
        f"{ROOT}/nowhere",
    ],
)
async def test_every_response_has_these(client: httpx.AsyncClient, method: str, url: str) -> None:
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    response = await client.request(method, url, headers={"x-request-id": "abc.1_2-3"})
    assert response.headers["x-request-id"] == "abc.1_2-3"
    public = url == "/metadata" or (url, method) == ("", "OPTIONS")
    cached = "no-cache" if public and response.status_code == 200 else "no-store"
    assert response.headers["cache-control"] == cached
    assert parsedate_to_datetime(response.headers["date"]).tzinfo is not None
    if response.content and url.startswith("/"):
        assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "a\tb"])
@pytest.mark.parametrize("url", ["/Patient/none", f"{ROOT}/nowhere", "/%ff"])
async def test_a_request_id_that_is_none_is_replaced(
    client: httpx.AsyncClient, given: str, url: str
) -> None:
    response = await client.get(url, headers={"x-request-id": given.encode()})
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])


async def test_bodyless_answers_have_no_length(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    same = await client.get("/Patient/p", headers={"if-none-match": '"1"'})
    gone = await client.delete("/Patient/p")
    assert [one.status_code for one in (same, gone)] == [304, 204]
    assert [one.headers.get("content-length") for one in (same, gone)] == [None, None]


async def test_definitions_may_be_kept_and_patients_may_not(client: httpx.AsyncClient) -> None:
    code_system = {
        "resourceType": "CodeSystem",
        "id": "c",
        "status": "draft",
        "content": "complete",
    }
    await client.put("/CodeSystem/c", content=msgspec.json.encode(code_system), headers=FHIR)
    assert (await client.get("/CodeSystem/c")).headers["cache-control"] == "no-cache"
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    assert (await client.get("/Patient/p")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity", ""])
async def test_bodies_come_in_packed(client: httpx.AsyncClient, encoding: str) -> None:
    body = gzip.compress(LONG) if "zip" in encoding.lower() else LONG
    headers = {**FHIR, "content-encoding": encoding}
    stored = await client.put("/Patient/p", content=body, headers=headers)
    assert stored.status_code == 201


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gzip.compress(PATIENT)[:-9], (400, "structure")),
        (PATIENT, (400, "structure")),
        (zlib.compress(PATIENT), (400, "structure")),
        (gzip.compress(PATIENT) + b"more", (400, "structure")),
        (gzip.compress(b" " * (17 << 20)), (413, "too-long")),
        (gzip.compress(b" " * (9 << 20)) * 2, (413, "too-long")),
        (gzip.compress(PATIENT[:9]) + gzip.compress(PATIENT[9:]), (201, None)),
        (b"", (400, "structure")),
    ],
    ids=["cut", "plain", "zlib", "trailing", "bomb", "two bombs", "two members", "empty"],
)
async def test_packed_bodies_are_whole_and_within_the_limit_unpacked(
    client: httpx.AsyncClient, body: bytes, expected: tuple[int, str | None]
) -> None:
    headers = {**FHIR, "content-encoding": "gzip"}
    response = await client.put("/Patient/p", content=body, headers=headers)
    issues = response.json().get("issue", [{}])
    assert (response.status_code, issues[0].get("code")) == expected


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "gzip;q=1"])
async def test_other_encodings_are_415(client: httpx.AsyncClient, encoding: str) -> None:
    headers = {**FHIR, "content-encoding": encoding}
    response = await client.put("/Patient/p", content=PATIENT, headers=headers)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip")


async def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(gzip_or_plain("gzip").take(bomb, 1000)) == 1000


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", "gzip"),
        ("br;q=1.0, gzip;q=0.8", "gzip"),
        ("gzip;q=0", None),
        ("br", None),
        ("", None),
        ("*", None),
    ],
)
async def test_answers_go_out_packed_to_who_takes_it(
    client: httpx.AsyncClient, accept: str, expected: str | None
) -> None:
    await client.put("/Patient/p", content=LONG, headers=FHIR)
    for url in ("/Patient/p", "/Patient?_id=p", "/Patient/p?_format=xml", "/Patient/p/_history"):
        response = await client.get(url, headers={"accept-encoding": accept})
        assert response.headers.get("content-encoding") == expected
        assert b"x" * 100 in response.content
    head = await client.head("/Patient/p", headers={"accept-encoding": accept})
    got = await client.get("/Patient/p", headers={"accept-encoding": accept})
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_short_answers_go_plain(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    response = await client.get("/Patient/p", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers


def test_gzip_of_weight_nought_is_not_taken() -> None:
    given = (b"gzip;q=0", b"gzip; q=0.000", b"gzip;q=0.001", b"GZIP", None)
    assert [takes_gzip(one) for one in given] == [False, False, True, True, False]


async def test_a_header_given_twice_counts_twice(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    twice = [*FHIR.items(), ("if-match", '"1"'), ("if-match", '"2"')]
    response = await client.put("/Patient/p", content=LONG, headers=twice)
    assert (response.status_code, response.json()["issue"][0]["code"]) == (400, "value")


async def test_format_and_pretty_may_stand_in_the_form_of_a_search(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/Patient/p", content=PATIENT, headers=FHIR)
    as_xml = await client.post("/Patient/_search", data={"_id": "p", "_format": "xml"})
    assert as_xml.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    pretty = await client.post("/Patient/_search", data={"_id": "p", "_pretty": "true"})
    assert b'\n  "resourceType"' in pretty.content
    refused = await client.post("/Patient/_search", data={"_format": "turtle"})
    assert refused.status_code == 406


async def test_a_fault_before_the_url_is_understood_has_the_format_asked_for(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/Nothing", headers={"accept": "application/fhir+xml"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert b"<OperationOutcome" in response.content


async def test_a_packed_body_without_content_has_an_end(client: httpx.AsyncClient) -> None:
    member = gzip.compress(b"")
    sent = 0

    async def members() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield member * 2_000

    headers = {"content-type": "application/fhir+json", "content-encoding": "gzip"}
    answer = await client.post("/Patient", content=members(), headers=headers)
    assert answer.status_code == 413
    assert sent < 1_000


async def test_criteria_given_twice_are_refused(client: httpx.AsyncClient) -> None:
    headers = [
        ("content-type", "application/fhir+json"),
        ("if-none-exist", "family=rao"),
        ("if-none-exist", "family=das"),
    ]
    answer = await client.post("/Patient", content=b'{"resourceType":"Patient"}', headers=headers)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "value")


@pytest.mark.parametrize("query", ["family=%zz", "family=%", "family=a%2"])
async def test_a_percent_sign_alone_is_refused(client: httpx.AsyncClient, query: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    got = await client.get(httpx.URL(f"{client.base_url}Patient", query=query.encode()))
    posted = await client.post("/Patient/_search", content=query.encode(), headers=form)
    assert (got.status_code, posted.status_code) == (400, 400)


async def test_an_empty_modifier_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/Patient?family:=rao")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "not-supported")
