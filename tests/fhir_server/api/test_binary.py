"""Binary by its raw bytes, and its data kept as a blob."""

import gzip
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.config import Settings
from fhir_server.interactions.binary import LARGE
from fhir_server.server import Server

FHIR = {"content-type": "application/fhir+json"}
PDF = {"content-type": "application/pdf"}
AS_FHIR = {"accept": "application/fhir+json"}
SMALL = b"%PDF-1.7 \x00\xff\n"
BIG = os.urandom(LARGE) + b"\x00\x01"


def blobs(server: Server) -> list[Path]:
    return [path for path in server.blobs.root.rglob("*") if path.is_file()]


async def put(client: httpx.AsyncClient, resource: dict[str, Any]) -> httpx.Response:
    body = msgspec.json.encode(resource)
    return await client.put(f"/Binary/{resource['id']}", content=body, headers=FHIR)


def binary(content: bytes, **more: Any) -> dict[str, Any]:
    data = b64encode(content).decode()
    return {"resourceType": "Binary", "id": "b", "contentType": "a/b", "data": data, **more}


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["inline", "blob"])
async def test_what_comes_in_raw_goes_out_raw_and_as_a_resource(
    client: httpx.AsyncClient, server: Server, content: bytes
) -> None:
    created = await client.post("/Binary", content=content, headers=PDF)
    assert (created.status_code, created.headers["etag"]) == (201, 'W/"1"')
    assert b64decode(created.json()["data"]) == content
    url = f"/Binary/{created.json()['id']}"
    assert created.headers["location"].endswith(f"{url}/_history/1")
    for place in (url, f"{url}/_history/1"):
        raw = await client.get(place)
        assert (raw.status_code, raw.content) == (200, content)
        assert raw.headers["content-type"] == "application/pdf"
        assert raw.headers["content-disposition"] == "attachment"
        assert raw.headers["x-content-type-options"] == "nosniff"
        assert raw.headers["etag"] == 'W/"1"'
        resource = await client.get(place, headers=AS_FHIR)
        assert resource.headers["content-type"] == "application/fhir+json; charset=utf-8"
        assert resource.json() == created.json()
    kept = [server.blobs.get(path.name) for path in blobs(server)]
    assert kept == ([content] if content is BIG else [])


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"accept": "*/*"}, "", "application/pdf"),
        ({"accept": "image/png"}, "", "application/pdf"),
        ({"accept": "text/html, application/xhtml+xml, */*;q=0.8"}, "", "application/pdf"),
        ({"accept": "application/pdf;q=0.4, application/fhir+json;q=0.5"}, "", "fhir+json"),
        ({"accept": "application/json"}, "", "fhir+json"),
        ({"accept": "application/fhir+xml"}, "", "fhir+xml"),
        ({"accept": "*/*"}, "?_format=xml", "fhir+xml"),
        ({"accept": "*/*"}, "?_format=json", "fhir+json"),
        ({"accept": "*/*"}, "?_summary=true", "fhir+json"),
        ({"accept": "*/*"}, "?_pretty=true", "fhir+json"),
    ],
)
async def test_accept_decides_between_content_and_resource(
    client: httpx.AsyncClient, headers: dict[str, str], query: str, expected: str
) -> None:
    created = await client.post("/Binary", content=SMALL, headers=PDF)
    found = await client.get(f"/Binary/{created.json()['id']}{query}", headers=headers)
    assert found.status_code == 200
    assert found.headers["content-type"].partition(";")[0].endswith(expected)


@pytest.mark.parametrize(
    ("accept", "query"),
    [("application/fhir+json; fhirVersion=3.0", ""), ("*/*", "?_format=application/pdf")],
)
async def test_another_version_or_format_is_406(
    client: httpx.AsyncClient, accept: str, query: str
) -> None:
    await put(client, binary(SMALL))
    found = await client.get(f"/Binary/b{query}", headers={"accept": accept})
    assert found.status_code == 406


async def test_data_of_a_resource_become_a_blob_when_large(
    client: httpx.AsyncClient, server: Server
) -> None:
    data = b64encode(BIG).decode()
    wrapped = "\r\n".join(data[n : n + 76] for n in range(0, len(data), 76))
    security = {"reference": "Patient/p"}
    await client.put("/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR)
    sent = binary(BIG, data=wrapped, securityContext=security, language="en")
    created = await put(client, sent)
    expected = {**sent, "data": data}
    found = (await client.get("/Binary/b", headers=AS_FHIR)).json()
    assert {k: v for k, v in found.items() if k != "meta"} == expected
    assert created.json() == found
    assert (await client.get("/Binary/b")).content == BIG
    assert len(blobs(server)) == 1
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT max(octet_length(json)) FROM body")
        row = await cursor.fetchone()
    assert row is not None
    assert row[0] < 500


async def test_equal_data_are_no_new_version_and_other_data_are(client: httpx.AsyncClient) -> None:
    tags = [
        (await put(client, binary(content))).headers["etag"]
        for content in (BIG, BIG, BIG[::-1], SMALL)
    ]
    assert tags == ['W/"1"', 'W/"1"', 'W/"2"', 'W/"3"']
    history = (await client.get("/Binary/b/_history")).json()["entry"]
    shown = [b64decode(one["resource"]["data"]) for one in history]
    assert shown == [SMALL, BIG[::-1], BIG]


async def test_a_blob_is_shown_by_xml_summary_elements_and_patch(
    client: httpx.AsyncClient,
) -> None:
    await put(client, binary(BIG))
    data = b64encode(BIG)
    assert b'<data value="' + data in (await client.get("/Binary/b?_format=xml")).content
    assert (await client.get("/Binary/b?_elements=data")).json()["data"] == data.decode()
    assert "data" not in (await client.get("/Binary/b?_summary=true")).json()
    assert (await client.get("/Binary/b?_pretty=true")).json()["data"] == data.decode()
    patched = await client.patch(
        "/Binary/b",
        content=b'[{"op":"replace","path":"/contentType","value":"c/d"}]',
        headers={"content-type": "application/json-patch+json"},
    )
    assert (patched.status_code, patched.json()["data"]) == (200, data.decode())
    raw = await client.get("/Binary/b")
    assert (raw.headers["content-type"], raw.content) == ("c/d", BIG)


async def test_a_blob_comes_and_goes_in_bundles(client: httpx.AsyncClient, server: Server) -> None:
    for kind in ("transaction", "batch"):
        put_it = {"request": {"method": "PUT", "url": "Binary/b"}, "resource": binary(BIG)}
        get_it = {"request": {"method": "GET", "url": "Binary/b"}}
        entries = [put_it, get_it]
        sent = {"resourceType": "Bundle", "type": kind, "entry": entries}
        done = await client.post("", content=msgspec.json.encode(sent), headers=FHIR)
        assert b64decode(done.json()["entry"][1]["resource"]["data"]) == BIG
    assert len(blobs(server)) == 1


async def test_a_page_shows_data_up_to_its_limit_and_tags_the_rest(
    client: httpx.AsyncClient,
) -> None:
    for id_ in "abc":
        await put(client, binary(BIG, id=id_))
    for url in ("/Binary?_sort=_id", "/Binary/_history"):
        page = (await client.get(url)).json()
        found = [one["resource"] for one in page["entry"]]
        shown = [one for one in found if "data" in one]
        others = [one for one in found if "data" not in one]
        assert [b64decode(one["data"]) for one in shown] == [BIG, BIG]
        assert [one["meta"]["tag"][0]["code"] for one in others] == ["SUBSETTED"]
        refused = await put(client, others[0])
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (422, "business-rule")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    limits = {"page_data_bytes": 2 * len(BIG), "body_bytes": 3 << 20}
    return Settings(demo=True, data_dir=tmp_path / "data", limits=limits)  # type: ignore[arg-type]


async def test_no_client_can_write_the_mark_of_a_blob(client: httpx.AsyncClient) -> None:
    await put(client, binary(BIG))
    forged = {"sha256": "0" * 64, "size": 5}
    refused = await put(client, binary(SMALL, id="c", data=forged))
    assert (refused.status_code, refused.json()["issue"][0]["expression"]) == (
        400,
        ["Binary.data"],
    )


@pytest.mark.parametrize(
    ("asked", "status", "part", "content_range"),
    [
        ("bytes=0-3", 206, slice(0, 4), "bytes 0-3/{size}"),
        ("bytes=4-", 206, slice(4, None), "bytes 4-{last}/{size}"),
        ("bytes=-2", 206, slice(-2, None), "bytes {before}-{last}/{size}"),
        ("bytes=5-999999999", 206, slice(5, None), "bytes 5-{last}/{size}"),
        ("bytes=0-1,4-5", 200, slice(None), None),
        ("bytes=5-4", 200, slice(None), None),
        ("lines=0-1", 200, slice(None), None),
        ("bytes=999999999-", 416, None, "bytes */{size}"),
        ("bytes=-0", 416, None, "bytes */{size}"),
    ],
)
@pytest.mark.parametrize("content", [SMALL, BIG], ids=["inline", "blob"])
async def test_a_range_of_the_content(
    client: httpx.AsyncClient,
    content: bytes,
    asked: str,
    status: int,
    part: slice | None,
    content_range: str | None,
) -> None:
    await client.put("/Binary/b", content=content, headers=PDF)
    found = await client.get("/Binary/b", headers={"range": asked})
    size = len(content)
    named = {"size": size, "last": size - 1, "before": size - 2}
    expected = content_range.format(**named) if content_range else None
    assert (found.status_code, found.headers.get("content-range")) == (status, expected)
    if part is not None:
        assert found.content == content[part]


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["inline", "blob"])
async def test_head_tells_of_the_content(client: httpx.AsyncClient, content: bytes) -> None:
    await client.put("/Binary/b", content=content, headers=PDF)
    for headers in ({}, AS_FHIR):
        got = await client.get("/Binary/b", headers=headers)
        head = await client.head("/Binary/b", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(got.content)
    same = await client.get("/Binary/b", headers={"if-none-match": 'W/"1"'})
    assert (same.status_code, same.content) == (304, b"")


async def test_a_deleted_binary_is_410_and_a_missing_one_404(client: httpx.AsyncClient) -> None:
    await client.put("/Binary/b", content=SMALL, headers=PDF)
    await client.delete("/Binary/b")
    assert (await client.get("/Binary/b")).status_code == 410
    assert (await client.get("/Binary/none")).status_code == 404


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, SMALL, (415, "not-supported", None)),
        ({"content-type": "pdf"}, SMALL, (415, "not-supported", None)),
        ({"content-type": 'a/b; c="\x01"'}, SMALL, (415, "not-supported", None)),
        (
            {"content-type": "application/fhir+json; fhirVersion=3.0"},
            b"{}",
            (415, "not-supported", None),
        ),
        (FHIR, SMALL, (400, "structure", None)),
        (PDF, b"", (400, "required", "Binary.data")),
        ({**PDF, "content-encoding": "gzip"}, SMALL, (400, "structure", None)),
        (PDF, b"x" * (4 << 20), (413, "too-long", None)),
        ({**PDF, "x-security-context": "nobody"}, SMALL, (400, "value", "X-Security-Context")),
        ({**PDF, "x-security-context": "Nobody/1"}, SMALL, (400, "value", "X-Security-Context")),
        (
            {**PDF, "x-security-context": "http://elsewhere.org/fhir/Patient/1"},
            SMALL,
            (400, "value", "X-Security-Context"),
        ),
        (
            {**PDF, "x-security-context": "Patient/none"},
            SMALL,
            (422, "not-found", "Binary.securityContext.reference"),
        ),
        (
            {**FHIR, "x-security-context": "Patient/none"},
            msgspec.json.encode(binary(SMALL)),
            (400, "invalid", "X-Security-Context"),
        ),
        (PDF | {"content-type": "a/b", "if-none-exist": ""}, SMALL, (400, "required", None)),
    ],
)
async def test_what_is_no_binary_is_refused(
    client: httpx.AsyncClient,
    server: Server,
    headers: dict[str, str],
    body: bytes,
    expected: tuple[int, str, str | None],
) -> None:
    refused = await client.post("/Binary", content=body, headers=headers)
    issue = refused.json()["issue"][0]
    assert (refused.status_code, issue["code"], issue.get("expression", [None])[0]) == expected
    assert (await client.get("/Binary?_summary=count")).json()["total"] == 0
    assert blobs(server) == []


async def test_x_security_context_is_kept_and_said_again(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR)
    headers = {**PDF, "x-security-context": "Patient/p"}
    created = await client.put("/Binary/b", content=SMALL, headers=headers)
    assert created.json()["securityContext"] == {"reference": "Patient/p"}
    assert (await client.get("/Binary/b")).headers["x-security-context"] == "Patient/p"
    assert (await client.delete("/Patient/p")).status_code == 409


@pytest.mark.parametrize(
    ("media", "content", "is_resource"),
    [
        ("application/json", msgspec.json.encode(binary(SMALL)), True),
        ("application/json", b'{"measured":[1,2]}', False),
        ("text/xml", b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', False),
        (
            "text/xml",
            b'<Binary xmlns="http://hl7.org/fhir"><id value="b"/><contentType value="a/b"/>'
            b'<data value="' + b64encode(SMALL) + b'"/></Binary>',
            True,
        ),
    ],
)
async def test_json_and_xml_are_resources_only_when_they_are_fhir(
    client: httpx.AsyncClient, media: str, content: bytes, *, is_resource: bool
) -> None:
    stored = await client.put("/Binary/b", content=content, headers={"content-type": media})
    assert stored.status_code == 201
    raw = await client.get("/Binary/b")
    expected = ("a/b", SMALL) if is_resource else (media, content)
    assert (raw.headers["content-type"], raw.content) == expected


@pytest.mark.parametrize("media", ["text/html\n", "text", "té/st", "a/b\r\nx: y", "x" * 200])
async def test_a_content_type_that_is_no_media_type_is_not_said_again(
    client: httpx.AsyncClient, media: str
) -> None:
    stored = await put(client, binary(SMALL, contentType=media))
    raw = await client.get("/Binary/b")
    if stored.status_code == 201:
        assert raw.headers["content-type"] == "application/octet-stream"
        assert raw.headers["content-security-policy"] == "sandbox; default-src 'none'"
    else:
        assert stored.json()["issue"][0]["expression"] == ["Binary.contentType"]


async def test_a_body_is_taken_as_it_streams_in_and_unpacked(
    client: httpx.AsyncClient, server: Server
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        packed = gzip.compress(BIG) + gzip.compress(SMALL)
        for start in range(0, len(packed), 10_000):
            yield packed[start : start + 10_000]

    headers = {**PDF, "content-encoding": "gzip"}
    created = await client.post("/Binary", content=pieces(), headers=headers)
    found = await client.get(f"/Binary/{created.json()['id']}")
    assert found.content == BIG + SMALL
    assert list(server.blobs.incoming.iterdir()) == []


async def test_conditional_and_version_headers_hold_for_raw_content(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/Binary/b", content=SMALL, headers=PDF)
    stale = {**PDF, "if-match": 'W/"9"'}
    assert (await client.put("/Binary/b", content=BIG, headers=stale)).status_code == 412
    again = await client.put("/Binary?_id=b", content=BIG, headers={**PDF, "if-match": '"1"'})
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"2"')
    assert (await client.get("/Binary/b")).content == BIG
