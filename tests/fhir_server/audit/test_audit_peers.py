"""What other systems ask by messages, and their refusals, as AuditEvents."""

import base64
import json
from typing import Any

import httpx
import pytest

from fhir_server.audit import peers
from fhir_server.audit.peers import Refusals, System, question, refusal
from fhir_server.audit.record import Record, keep, written
from fhir_server.interactions import auditing
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

MODALITY = System("CT1", "dicom", "10.1.2.3")
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "s",
    "status": "available",
    "subject": {"reference": "Patient/ann"},
}


async def event(server: Server, record: Record) -> dict[str, Any]:
    """The one AuditEvent of a record, checked by the project's own validator."""
    await auditing.settle(server)
    async with server.database.statement() as connection:
        await keep(connection, [written(record)])
    await auditing.settle(server)
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT json FROM body JOIN resource USING (key) WHERE type_id = %s"
            " ORDER BY key DESC LIMIT 1",
            (server.definitions.type_ids["AuditEvent"],),
        )
        [(text,)] = await cursor.fetchall()
    found: dict[str, Any] = json.loads(text)
    issues = server.validator.validate("AuditEvent", text.encode(), found)
    assert [one for one in issues if one.severity in {"error", "fatal"}] == []
    return found


@pytest.mark.parametrize("code", [peers.IMAGES, peers.ANALYZER])
async def test_a_query_names_who_asked_what_and_the_patient_who_was_told(
    client: httpx.AsyncClient, server: Server, code: str
) -> None:
    for one in ({"resourceType": "Patient", "id": "ann"}, STUDY):
        (await client.put(f"{one['resourceType']}/{one['id']}", json=one)).raise_for_status()
    asked = b"\x08\x00\x52\x00STUDY "
    made = await event(server, question(MODALITY, code, asked, [("ImagingStudy", "s")]))
    assert made["type"]["code"] == "110112"
    assert (made["subtype"][0]["code"], made["action"], made["outcome"]) == (code, "E", "0")
    assert "meta" not in made or "profile" not in made["meta"]
    client_, server_ = made["agent"]
    assert client_["who"] == {"identifier": {"value": "CT1"}, "display": "CT1 at 10.1.2.3"}
    assert client_["network"] == {"address": "10.1.2.3", "type": "2"}
    assert [one["type"]["coding"][0]["code"] for one in (client_, server_)] == ["110153", "110152"]
    patient, query = made["entity"]
    assert patient["what"] == {"reference": "Patient/ann"}
    assert base64.b64decode(query["query"]) == asked


async def test_a_refused_query_names_nobody(server: Server) -> None:
    made = await event(server, question(MODALITY, peers.DEMOGRAPHICS, b"QPD|", refused=True))
    assert (made["outcome"], len(made["entity"])) == ("4", 1)


async def test_a_refused_system_is_a_security_alert(server: Server) -> None:
    made = await event(server, refusal(MODALITY, "Its address is not allowed"))
    assert (made["type"]["code"], made["subtype"][0]["code"]) == ("110113", "110126")
    assert (made["outcome"], made["outcomeDesc"]) == ("4", "Its address is not allowed")
    assert made["agent"][0]["who"]["display"] == "CT1 at 10.1.2.3"


def test_a_very_long_query_is_kept_in_part() -> None:
    kept = question(MODALITY, peers.OTHER, b"x" * 1_000_000).asked
    assert kept == b"x" * (32 << 10)


def test_the_same_refusal_is_news_once_a_minute_and_an_attack_ends_in_silence() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    assert [refusals.is_news(MODALITY, "a") for _ in range(2)] == [True, False]
    assert refusals.is_news(MODALITY, "b")
    many = [refusals.is_news(System(str(n), "hl7", "x"), "a") for n in range(2_000)]
    assert many.count(True) == 998
    now = 61.0
    assert refusals.is_news(MODALITY, "a")
