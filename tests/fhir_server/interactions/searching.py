"""Searches sent, and what is in their Bundles."""

from collections.abc import Iterable
from typing import Any

import httpx
from search import storing

from fhir_server.r4 import json
from fhir_server.server import Server

Json = dict[str, Any]


def ref(place: str) -> Json:
    return {"reference": place}


def patient(id_: str, *links: str, **more: Any) -> Json:
    linked = {"link": [{"other": ref(f"Patient/{one}"), "type": "seealso"} for one in links]}
    return {"resourceType": "Patient", "id": id_, **(linked if links else {}), **more}


def observation(id_: str, subject: str, code: str = "x", **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"code": code}]},
        "subject": ref(subject),
        **more,
    }


async def store(server: Server, resources: Iterable[Json], first_key: int = 1) -> None:
    """Store resources without the checks of an interaction."""
    await storing.store(server.database, resources, first_key, server.registry)


async def put(client: httpx.AsyncClient, *resources: Json) -> None:
    for one in resources:
        answer = await client.put(f"/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text


async def get(client: httpx.AsyncClient, url: str, status: int = 200, **headers: str) -> Json:
    answer = await client.get(url, headers=headers)
    assert answer.status_code == status, answer.text
    found: Json = json.decode(answer.content)
    return found


def shown(bundle: Json, mode: str = "match") -> list[str]:
    """`Type/id` of the entries in this mode, in their order."""
    entries = [e["resource"] for e in bundle.get("entry", ()) if e["search"]["mode"] == mode]
    return [f"{one['resourceType']}/{one['id']}" for one in entries]


def ids(bundle: Json) -> str:
    """The ids of the matches, sorted."""
    return " ".join(sorted(one.partition("/")[2] for one in shown(bundle)))


def issues(bundle: Json) -> list[Json]:
    entries = [e["resource"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "outcome"]
    return [issue for one in entries for issue in one["issue"]]


def links(bundle: Json) -> dict[str, str]:
    return {one["relation"]: one["url"] for one in bundle["link"]}
