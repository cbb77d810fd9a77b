"""A destination of another organisation is told what a consent permits to disclose."""

from pathlib import Path
from typing import Any

from httpx import AsyncClient

from fhir_server.audit.happening import EXPORTED
from fhir_server.audit.record import Record, read
from fhir_server.server import Server
from tests.adapters.hl7.outbound.destination import (
    agree,
    destination,
    fields,
    patient,
    positive,
    put,
    settled,
    telling,
)
from tests.adapters.hl7.outbound.test_outbound_parts import RESULT, SUBJECT

THERE = "Organization/there"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
LABORATORY: dict[str, Any] = {
    "resourceType": "Consent",
    "id": "c",
    "status": "active",
    "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
    "category": [{"text": "privacy"}],
    "patient": SUBJECT,
    "policy": [{"uri": "http://example.org/policy"}],
    "provision": {
        "type": "permit",
        "actor": [{"role": {"text": "recipient"}, "reference": {"reference": THERE}}],
        "action": [{"coding": [{"system": ACTIONS, "code": "disclose"}]}],
    },
}


async def test_destination_of_another_organisation_is_told_what_is_permitted(
    server: Server, client: AsyncClient, tmp_path: Path
) -> None:
    place = tmp_path / "profiles"
    async with destination() as there, destination() as ours:
        agree(place, there.port, "ORU^R01", more=f'discloses_to = "{THERE}"')
        agree(place, ours.port, "ORU^R01", name="OURS")
        async with telling(server, place):
            await put(client, {"resourceType": "Organization", "id": "there", "name": "There"})
            await put(client, patient("p"))
            await put(client, {**RESULT, "id": "before"})
            await ours.until(1)
            await put(client, LABORATORY)
            await put(client, {**RESULT, "id": "after", "valueString": "permitted"})
            await ours.until(2)
            told = await there.until(1)
            await put(client, {**LABORATORY, "status": "inactive"})
            await put(client, {**RESULT, "id": "later"})
            await ours.until(3)
            assert len(there.came) == 1
    assert [fields(one, "OBX")[0][5] for one in told] == ["permitted"]
    assert fields(told[0], "PID")
    records = [one for one in await audited(server) if one.happening == EXPORTED]
    assert [one.about for one in records if one.detail == "HL7 v2 or ASTM to LIS"] == [
        ["Patient/p", "Observation/after", THERE]
    ]
    assert [one.about for one in records if one.detail == "HL7 v2 or ASTM to OURS"] == [
        ["Patient/p", f"Observation/{one}"] for one in ("before", "after", "later")
    ]


async def test_what_is_sent_twice_is_recorded_once_and_by_patient(
    server: Server, client: AsyncClient, tmp_path: Path
) -> None:
    place, tries = tmp_path / "profiles", iter((None, None))

    def rejected_first(control_id: str) -> bytes | None:
        return next(tries, positive(control_id))

    async with destination(rejected_first) as there:
        agree(place, there.port, "ORU^R01", "ADT^A40")
        async with telling(server, place):
            old = patient("old", active=False)
            link = {"other": {"reference": "Patient/p"}, "type": "replaced-by"}
            for one in (patient("p"), {**old, "link": [link]}, {**RESULT, "id": "r"}):
                await put(client, one)
            await settled(server, [("done",), ("done",)], "state")
        assert len(there.came) > 2
    records = [one for one in await audited(server) if one.happening == EXPORTED]
    about = [tuple(one.about) for one in records]
    assert len(set(about)) == len(about)
    assert {one[0] for one in about} == {"Patient/old", "Patient/p"}
    assert {one for told in about for one in told[1:]} == {"Observation/r"}


async def audited(server: Server) -> list[Record]:
    """What is recorded and is no AuditEvent yet."""
    async with server.database.connection() as connection:
        rows = await (
            await connection.execute("SELECT said FROM audit_record ORDER BY position")
        ).fetchall()
    return [one for (said,) in rows for one in read(said)]
