"""The header X-Provenance."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.config import Settings
from fhir_server.interactions import provenance

FHIR = {"content-type": "application/fhir+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}
SAID = {
    "resourceType": "Provenance",
    "recorded": "2026-01-02T03:04:05.678Z",
    "agent": [{"who": {"display": "Aśvin"}}],
    "signature": [
        {
            "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
            "when": "2026-01-02T03:04:05Z",
            "who": {"display": "x"},
        }
    ],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write = {"conditional_delete": "multiple"}
    return Settings(demo=True, data_dir=tmp_path / "data", write=write)  # type: ignore[arg-type]


def header(**more: Any) -> dict[str, Any]:
    return {"x-provenance": msgspec.json.encode({**SAID, **more})}


def patient(id_: str, **more: Any) -> bytes:
    return msgspec.json.encode({"resourceType": "Patient", "id": id_, **more})


async def stored(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    page = (await client.get("/Provenance?_sort=_id")).json()
    return [one["resource"] for one in page.get("entry", ())]


async def targets(client: httpx.AsyncClient) -> list[list[str]]:
    return [[one["reference"] for one in found["target"]] for found in await stored(client)]


async def test_a_create_is_told_with_its_version(client: httpx.AsyncClient) -> None:
    created = await client.post("/Patient", content=patient("x"), headers={**FHIR, **header()})
    assert created.status_code == 201
    [found] = await stored(client)
    assert {k: v for k, v in found.items() if k in SAID} == SAID
    assert found["target"] == [{"reference": f"Patient/{created.json()['id']}/_history/1"}]


async def test_each_write_is_told_and_what_writes_nothing_is_not(
    client: httpx.AsyncClient,
) -> None:
    said = {**FHIR, **header()}
    patch = b'[{"op":"add","path":"/gender","value":"male"}]'
    await client.put("/Patient/p", content=patient("p"), headers=said)
    await client.put("/Patient/p", content=patient("p"), headers=said)  # equal: no version
    await client.put("/Patient/p", content=patient("p", active=True), headers=said)
    await client.patch("/Patient/p", content=patch, headers={**JSON_PATCH, **header()})
    await client.post("/Patient", content=patient("p"), headers={**said, "if-none-exist": "_id=p"})
    await client.delete("/Patient/p", headers=header())
    await client.delete("/Patient/p", headers=header())  # deleted before
    await client.get("/Patient", headers=header())
    assert await targets(client) == [[f"Patient/p/_history/{n}"] for n in (1, 2, 3, 4)]


async def test_a_transaction_has_one_of_all_its_writes(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/q", content=patient("q"), headers=FHIR)
    entries = [
        {
            "request": {"method": "PUT", "url": "Patient/p"},
            "resource": {"resourceType": "Patient", "id": "p"},
        },
        {"request": {"method": "DELETE", "url": "Patient/q"}},
        {"request": {"method": "GET", "url": "Patient/p"}},
    ]
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    done = await client.post("", content=msgspec.json.encode(sent), headers={**FHIR, **header()})
    assert done.status_code == 200
    assert await targets(client) == [["Patient/p/_history/1", "Patient/q/_history/2"]]


async def test_each_entry_of_a_batch_has_its_own(client: httpx.AsyncClient) -> None:
    entries = [
        {
            "request": {"method": "PUT", "url": f"Patient/{id_}"},
            "resource": {"resourceType": "Patient", "id": id_, "gender": gender},
        }
        for id_, gender in (("p", "male"), ("q", "wrong"), ("r", "female"))
    ]
    sent = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    done = await client.post("", content=msgspec.json.encode(sent), headers={**FHIR, **header()})
    statuses = [one["response"]["status"][:3] for one in done.json()["entry"]]
    assert statuses == ["201", "422", "201"]
    assert await targets(client) == [["Patient/p/_history/1"], ["Patient/r/_history/1"]]


async def test_a_deletion_of_several_tells_all_in_pieces(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "MOST_TARGETS", 2)
    for id_ in "abc":
        await client.put(f"/Patient/{id_}", content=patient(id_, gender="male"), headers=FHIR)
    done = await client.delete("/Patient?gender=male", headers=header())
    assert done.status_code == 204
    found = await targets(client)
    assert [len(one) for one in found] == [2, 1]
    assert sorted(reference for one in found for reference in one) == [
        f"Patient/{id_}/_history/2" for id_ in "abc"
    ]


async def test_what_is_told_of_can_still_be_deleted(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=patient("p"), headers={**FHIR, **header()})
    assert (await client.delete("/Patient/p")).status_code == 204


@pytest.mark.parametrize(
    ("said", "code", "expression"),
    [
        (b'{"resourceType":', "structure", None),
        (b"[]", "structure", None),
        (b"", "structure", None),
        (b'{"resourceType":"Patient"}', "structure", "resourceType"),
        (header(target=[{"reference": "Patient/p"}]), "structure", "Provenance.target"),
        (header(target=[]), "structure", "Provenance.target"),
        (header(agent=[]), "structure", "Provenance.agent"),
        (header(recorded="yesterday"), "value", "Provenance.recorded"),
        (
            header(agent=[{"who": {"reference": "Practitioner/none"}}]),
            "not-found",
            "Provenance.agent[0].who.reference",
        ),
        (
            header(agent=[{"who": {"reference": "Practitioner?identifier=x"}}]),
            "invalid",
            "Provenance.agent[0].who.reference",
        ),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRANSACTION"])
async def test_a_provenance_that_is_none_stops_the_write(
    client: httpx.AsyncClient,
    method: str,
    said: bytes | dict[str, Any],
    code: str,
    expression: str | None,
) -> None:
    await client.put("/Patient/p", content=patient("p"), headers=FHIR)
    headers = said if isinstance(said, dict) else {"x-provenance": said}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": "Patient/p"}}],
    }
    requests: dict[str, tuple[str, str, bytes | None, dict[str, str]]] = {
        "POST": ("POST", "/Patient", patient("p"), FHIR),
        "PUT": ("PUT", "/Patient/p", patient("p", active=True), FHIR),
        "PATCH": (
            "PATCH",
            "/Patient/p",
            b'[{"op":"add","path":"/active","value":true}]',
            JSON_PATCH,
        ),
        "DELETE": ("DELETE", "/Patient/p", None, {}),
        "TRANSACTION": ("POST", "", msgspec.json.encode(bundle), FHIR),
    }
    verb, url, content, usual = requests[method]
    refused = await client.request(verb, url, content=content, headers={**usual, **headers})
    issue = refused.json()["issue"][0]
    found = (refused.status_code, issue["code"], issue.get("expression", [None])[0])
    assert found == (400, code, expression)
    assert issue["details"]["text"].startswith("X-Provenance: ")
    assert (await client.get("/Patient/_history?_count=0")).status_code == 200
    assert (await client.get("/Patient/p/_history")).json()["total"] == 1
    assert await stored(client) == []
