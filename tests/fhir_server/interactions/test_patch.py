"""JSON Patch and FHIRPath Patch over HTTP and in a Bundle."""

import base64
from typing import Any

import httpx
import msgspec
import pytest

FHIR = {"content-type": "application/fhir+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}


async def stored(client: httpx.AsyncClient) -> str:
    raw = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        b'"identifier":[{"system":"urn:s","value":"1"}],"valueQuantity":{"value":0.0000000100}}'
    )
    assert (await client.put("/Observation/o", content=raw, headers=FHIR)).status_code == 201
    return "/Observation/o"


def operations(*given: dict[str, Any]) -> bytes:
    return msgspec.json.encode(list(given))


AMEND = operations({"op": "replace", "path": "/status", "value": "amended"})


async def test_json_patch_makes_a_version_and_keeps_other_literals(
    client: httpx.AsyncClient,
) -> None:
    url = await stored(client)
    response = await client.patch(url, content=AMEND, headers=JSON_PATCH)
    assert response.status_code == 200, response.text
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"2"')
    assert response.json()["status"] == "amended"
    assert b'"value":0.0000000100}' in response.content
    history = (await client.get(f"{url}/_history")).json()
    assert [e["request"]["method"] for e in history["entry"]] == ["PATCH", "PUT"]


async def test_fhirpath_patch_makes_a_version(client: httpx.AsyncClient) -> None:
    url = await stored(client)
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Observation.status"},
        {"name": "value", "valueCode": "amended"},
    ]
    sent = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    response = await client.patch(url, content=msgspec.json.encode(sent), headers=FHIR)
    assert (response.status_code, response.json().get("status")) == (200, "amended")


@pytest.mark.parametrize(
    ("url", "content", "headers", "expected"),
    [
        ("/Observation/none", AMEND, JSON_PATCH, (404, "not-found")),
        ("/Observation?identifier=urn:s|9", AMEND, JSON_PATCH, (404, "not-found")),
        ("/Observation/o", AMEND, {**JSON_PATCH, "if-match": 'W/"9"'}, (412, "conflict")),
        ("/Observation/o", AMEND, {"content-type": "text/plain"}, (415, "not-supported")),
        ("/Observation/o", b"{}", FHIR, (400, "structure")),
        ("/Observation/o", b"[", JSON_PATCH, (400, "structure")),
        (
            "/Observation/o",
            operations({"op": "replace", "path": "/id", "value": "p"}),
            JSON_PATCH,
            (422, "processing"),
        ),
        (
            "/Observation/o",
            operations({"op": "replace", "path": "/status", "value": "none"}),
            JSON_PATCH,
            (422, "code-invalid"),
        ),
    ],
)
async def test_refused_patches_change_nothing(
    client: httpx.AsyncClient,
    url: str,
    content: bytes,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    await stored(client)
    response = await client.patch(url, content=content, headers=headers)
    assert (response.status_code, response.json()["issue"][0]["code"]) == expected
    assert (await client.get("/Observation/o")).headers["etag"] == 'W/"1"'


async def test_conditional_patch_acts_on_the_one_match(client: httpx.AsyncClient) -> None:
    await stored(client)
    response = await client.patch(
        "/Observation?identifier=urn:s|1", content=AMEND, headers=JSON_PATCH
    )
    assert (response.status_code, response.json()["id"]) == (200, "o")


async def test_deleted_resource_is_not_patched(client: httpx.AsyncClient) -> None:
    url = await stored(client)
    await client.delete(url)
    assert (await client.patch(url, content=AMEND, headers=JSON_PATCH)).status_code == 410


async def test_patch_in_a_transaction_is_a_binary(client: httpx.AsyncClient) -> None:
    await stored(client)
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(AMEND).decode(),
    }
    request = {"method": "PATCH", "url": "Observation/o"}
    sent = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": binary, "request": request}],
    }
    response = await client.post("", content=msgspec.json.encode(sent), headers=FHIR)
    assert response.json()["entry"][0]["response"]["status"] == "200 OK"
    assert (await client.get("/Observation/o")).json()["status"] == "amended"
