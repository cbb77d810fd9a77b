"""What belongs to a person or a visit is told with him, and what is deleted is taken back."""

from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.outbound.events import of_deletion, of_part
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.segments.al1 import al1, iam, is_current
from adapters.hl7.outbound.segments.dg1 import is_held
from fhir_server.server import Server
from tests.adapters.hl7.outbound.destination import (
    agree,
    destination,
    fields,
    patient,
    put,
    telling,
)
from tests.adapters.hl7.outbound.test_round_trip import peer

SUBJECT = {"reference": "Patient/p"}
VISIT = {
    "resourceType": "Encounter",
    "id": "v",
    "status": "in-progress",
    "class": {"code": "IMP"},
    "subject": SUBJECT,
}
CONDITION = {
    "resourceType": "Condition",
    "id": "c",
    "subject": SUBJECT,
    "encounter": {"reference": "Encounter/v"},
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "J45"}]},
}


def status(name: str, code: str) -> dict[str, Any]:
    system = f"{THO}allergyintolerance-{name.removesuffix('Status')}"
    return {"coding": [{"system": system, "code": code}]}


ALLERGY = {
    "resourceType": "AllergyIntolerance",
    "id": "a",
    "patient": SUBJECT,
    "clinicalStatus": status("clinicalStatus", "active"),
    "category": ["medication"],
    "criticality": "high",
    "code": {"text": "Penicillin"},
}
COVERAGE = {
    "resourceType": "Coverage",
    "id": "g",
    "status": "active",
    "beneficiary": SUBJECT,
    "payor": [{"display": "Payer"}],
    "subscriberId": "S99",
}
RESULT = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "subject": SUBJECT,
    "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
    "valueString": "well",
}
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "s",
    "status": "active",
    "intent": "order",
    "subject": SUBJECT,
}


def kinds(messages: list[str]) -> list[str]:
    return ["^".join(one.split("|")[8].split("^")[:2]) for one in messages]


def coded(**said: str) -> dict[str, Any]:
    """Return an allergy with these statuses."""
    return {**ALLERGY, **{name: status(name, code) for name, code in said.items()}}


async def test_parts_are_told_with_whom_they_belong_to(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT")
        async with telling(server, place):
            await put(client, patient("p"))
            await there.until(1)
            await put(client, {**COVERAGE, "beneficiary": {"reference": "Patient/p/_history/1"}})
            await there.until(2)
            await put(client, VISIT)
            await there.until(3)
            await put(client, CONDITION)
            messages = await there.until(4)
    assert kinds(messages) == ["ADT^A31", "ADT^A31", "ADT^A01", "ADT^A08"]
    assert fields(messages[1], "IN1")[0][49] == "S99"
    assert fields(messages[2], "IN1")[0][49] == "S99"
    assert fields(messages[3], "DG1")[0][3] == "J45^^I10"


async def test_allergy_is_told_until_it_is_deleted(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT^A60")
        async with telling(server, place):
            await put(client, patient("p"))
            await put(client, ALLERGY)
            await there.until(1)
            await put(client, coded(clinicalStatus="inactive"))
            await there.until(2)
            await client.delete("/AllergyIntolerance/a")
            messages = await there.until(3)
    assert kinds(messages) == ["ADT^A60"] * 3
    told = [fields(one, "IAM")[0] for one in messages]
    assert [(one[2], one[4], one[6], one[17]) for one in told] == [
        ("DA", "SV", "A", "U"),
        ("DA", "SV", "U", "I"),
        ("DA", "SV", "D", "E"),
    ]


async def test_what_is_deleted_is_taken_back(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT^A23", "ADT^A29", "ORU^R01", "OML^O21")
        async with telling(server, place):
            for one in (patient("p"), VISIT, RESULT, ORDER):
                await put(client, one)
            await there.until(2)
            for number, one in enumerate((RESULT, ORDER, VISIT, patient("p")), 3):
                await client.delete(f"/{one['resourceType']}/{one['id']}")
                await there.until(number)
            messages = there.texts
    assert kinds(messages) == ["ORU^R01", "OML^O21", "ORU^R01", "OML^O21", "ADT^A23", "ADT^A29"]
    assert [fields(one, "OBX")[0][11] for one in messages if "OBX|" in one] == ["F", "W"]
    assert [fields(one, "ORC")[0][1] for one in messages if "OML" in one] == ["NW", "CA"]
    assert all(fields(one, "PID") for one in messages)


async def test_report_that_is_deleted_with_its_results_takes_them_back(
    server: Server, client: AsyncClient, place: Path
) -> None:
    other = {**RESULT, "id": "o2"}
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d",
        "status": "final",
        "subject": SUBJECT,
        "code": {"text": "Panel"},
        "result": [{"reference": "Observation/o"}, {"reference": "Observation/o2"}],
    }
    urls = ("DiagnosticReport/d", "Observation/o", "Observation/o2")
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    async with destination() as there:
        agree(place, there.port, "ORU^R01")
        async with telling(server, place):
            for one in (patient("p"), RESULT, other):
                await put(client, one)
            await there.until(2)
            await put(client, report)
            await there.until(3)
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            assert (await client.post("", json=bundle)).status_code == 200
            *_, told, withdrawn = await there.until(4)
    assert [one[11] for one in fields(told, "OBX")] == ["F", "F"]
    assert [one[11] for one in fields(withdrawn, "OBX")] == ["W", "W"]


async def test_visit_that_is_deleted_with_its_person_still_names_him(
    server: Server, client: AsyncClient, place: Path
) -> None:
    entries = [
        {"request": {"method": "DELETE", "url": url}} for url in ("Encounter/v", "Patient/p")
    ]
    async with destination() as there:
        agree(place, there.port, "ADT^A23")
        async with telling(server, place):
            await put(client, patient("p"))
            await put(client, VISIT)
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            assert (await client.post("", json=bundle)).status_code == 200
            (message,) = await there.until(1)
    assert fields(message, "PID")[0][3] != ""


@pytest.mark.parametrize(
    ("said", "current"),
    [
        pytest.param({}, True, id="active"),
        pytest.param({"clinicalStatus": "resolved"}, False, id="resolved"),
        pytest.param({"verificationStatus": "refuted"}, False, id="refuted"),
        pytest.param({"verificationStatus": "confirmed"}, True, id="confirmed"),
    ],
)
def test_al1_names_only_what_the_patient_has(said: dict[str, str], *, current: bool) -> None:
    assert is_current(coded(**said)) is current


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param({}, "U", id="unconfirmed"),
        pytest.param({"verificationStatus": "confirmed"}, "C", id="confirmed"),
        pytest.param(
            {"clinicalStatus": "resolved", "verificationStatus": "confirmed"}, "I", id="over"
        ),
        pytest.param({"verificationStatus": "refuted"}, "E", id="refuted"),
    ],
)
def test_iam_tells_the_status(said: dict[str, str], status: str) -> None:
    allergy = {**coded(**said), "meta": {"versionId": "2"}}
    assert iam(1, allergy, peer()).fields[17] == status


def test_severity_of_a_reaction_is_told_where_the_risk_is_not() -> None:
    reaction = {"severity": "moderate", "manifestation": [{"text": "Rash"}]}
    allergy = {**ALLERGY, "criticality": "", "reaction": [reaction]}
    told: Peer = peer()
    assert [al1(1, allergy, told).fields[number] for number in (4, 5)] == ["MO", ["Rash"]]


def test_diagnosis_that_was_refuted_is_not_told() -> None:
    refuted = {"coding": [{"code": "refuted"}]}
    assert [is_held(CONDITION), is_held({**CONDITION, "verificationStatus": refuted})] == [
        *(True, False),
    ]


@pytest.mark.parametrize(
    ("status", "part", "deletion"),
    [
        pytest.param("planned", [], [], id="never_told"),
        pytest.param("in-progress", ["ADT^A08"], ["ADT^A23"], id="begun"),
        pytest.param("finished", ["ADT^A08"], ["ADT^A23"], id="over"),
        pytest.param("cancelled", [], [], id="taken_back"),
    ],
)
def test_visits_that_were_told_are_told_again(
    status: str, part: list[str], deletion: list[str]
) -> None:
    visit = {**VISIT, "status": status}
    assert [one.kind for one in of_part(visit)] == part
    assert [one.kind for one in of_deletion(visit)] == deletion


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "profiles"
