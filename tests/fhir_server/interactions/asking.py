"""Bundles of requests, sent, and what is in their answers."""

import re
from typing import Any

import httpx
import msgspec

from fhir_server.r4 import json

Json = dict[str, Any]

FHIR = {"content-type": "application/fhir+json"}
URN = "urn:uuid:0b7c9f2e-6a3e-4c58-9a55-2f9b1c0d1e2f"


def bundle(kind: str, *entries: Json) -> bytes:
    return msgspec.json.encode({"resourceType": "Bundle", "type": kind, "entry": list(entries)})


def entry(method: str, url: str, resource: Json | None = None, **more: Any) -> Json:
    full_url = more.pop("fullUrl", None)
    made: Json = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", **more}


def identified(value: str, **more: Any) -> Json:
    return patient(identifier=[{"system": "urn:s", "value": value}], **more)


def observation(subject: str, **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **more,
    }


async def send(
    client: httpx.AsyncClient, kind: str, *entries: Json, **headers: str
) -> httpx.Response:
    return await client.post("", content=bundle(kind, *entries), headers={**FHIR, **headers})


async def put(client: httpx.AsyncClient, resource: Json) -> httpx.Response:
    url = f"/{resource['resourceType']}/{resource['id']}"
    response = await client.put(url, content=msgspec.json.encode(resource), headers=FHIR)
    assert response.status_code in {200, 201}
    return response


def statuses(response: httpx.Response) -> list[str]:
    return [e["response"]["status"][:3] for e in response.json()["entry"]]


def places(response: httpx.Response) -> list[str]:
    """Return `Type/id` of each entry's location."""
    return [
        re.sub(r".*/fhir/|/_history/.*", "", e["response"].get("location", ""))
        for e in response.json()["entry"]
    ]


async def stored(client: httpx.AsyncClient, place: str) -> Any:
    return json.decode((await client.get(f"/{place}")).content)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    issue = response.json()["issue"][0]
    return response.status_code, issue["code"], issue.get("expression", [""])[0]


async def count(client: httpx.AsyncClient, type_name: str) -> int:
    total: int = (await client.get(f"/{type_name}?_summary=count&_total=accurate")).json()["total"]
    return total
