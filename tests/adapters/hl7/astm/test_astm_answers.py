"""Results that come back for what was ordered: the right patient, and the right order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.records.answered import Candidate, Number, answered, order_of
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import Connect, found, inbox, lines, with_settings
from tests.adapters.hl7.astm.conftest import applied as processed

HEAD = "H|\\^&|||Maker^Model|||||||P|LIS2-A2|20260110080000\r"
MRN = Number("http://h.example/mrn", "4711", "MR")
ORDERS = "http://his.example/orders"


def candidate(code: str = "GLU", patient: str = "Patient/a", **said: Any) -> Candidate:
    usual: dict[str, Any] = {"active": True, "recent": True, "identifiers": (MRN,)}
    return Candidate(code, Number(ORDERS, f"O-{code}"), patient=patient, **{**usual, **said})


OTHER = {"patient": "Patient/b", "identifiers": (Number("http://h.example/mrn", "99"),)}


@pytest.mark.parametrize(
    ("known", "told", "whose"),
    [
        ([candidate()], [], MRN),
        ([candidate()], ["4711"], MRN),
        ([candidate()], ["lab-1", "4711"], MRN),
        ([candidate(active=False)], [], MRN),
        ([candidate(recent=False)], [], None),
        ([candidate(recent=False)], ["4711"], MRN),
        ([candidate(active=False, recent=False)], ["4711"], None),
        ([candidate(), candidate(**OTHER)], [], None),
        ([candidate(), candidate(**OTHER)], ["4711"], MRN),
        ([candidate(active=False)], ["1"], None),
        ([candidate(identifiers=())], [], None),
        ([], [], None),
    ],
    ids=[
        "nobody told", "the patient told", "one of the numbers told", "ended lately",
        "too long ago", "long ago, but waiting for this patient", "ended long ago",
        "of two patients", "of two patients, one told", "ended, of somebody else",
        "a patient without numbers", "nothing ordered",
    ],
)  # fmt: skip
def test_whose_a_result_is(known: Sequence[Candidate], told: list[str], whose: Any) -> None:
    said = answered({"S-1": known}, ["S-1"], told)
    assert (said.patient if said else None) == whose


def test_a_specimen_that_waits_for_somebody_else_is_a_conflict() -> None:
    with pytest.raises(Refusal) as refused:
        answered({"S-1": [candidate()]}, ["S-1"], ["1"])
    assert refused.value.reason == "PATIENT_CONFLICT"


def test_specimens_of_two_patients_in_one_record_say_nothing() -> None:
    assert answered({"A": [candidate()], "B": [candidate(**OTHER)]}, ["A", "B"], []) is None


def test_the_order_that_waits_comes_before_one_that_ended() -> None:
    ended, waiting = candidate(active=False), candidate()
    assert order_of([ended, waiting], "GLU") == waiting
    assert order_of([ended], "GLU") == ended
    assert order_of([waiting, waiting], "GLU") is None
    assert order_of([waiting], "K") is None


async def applied(server: Server, count: int = 1) -> list[tuple[str, str | None, str | None]]:
    """Process the messages when so many have come."""
    await inbox(server, count)
    return await processed(server)


async def put(client: AsyncClient, resource: dict[str, Any]) -> None:
    answer = await client.put(
        f"{resource['resourceType']}/{resource['id']}",
        content=json.encode(resource),
        headers={"Content-Type": "application/fhir+json"},
    )
    assert answer.status_code in {200, 201}, answer.text


@pytest.fixture
async def ordered(client: AsyncClient) -> None:
    """Store two orders of one specimen, and one that somebody else has."""
    identifier = [{"system": MRN.system, "value": MRN.value}]
    await put(client, {"resourceType": "Patient", "id": "p", "identifier": identifier})
    await put(
        client,
        {
            "resourceType": "Specimen",
            "id": "s",
            "identifier": [{"system": "http://his.example/tubes", "value": "S-1"}],
        },
    )
    for code in ("GLU", "K"):
        await put(
            client,
            {
                "resourceType": "ServiceRequest",
                "id": f"order-{code.lower()}",
                "identifier": [{"system": ORDERS, "value": f"O-{code}"}],
                "status": "active",
                "intent": "order",
                "code": {"coding": [{"system": "http://his.example/tests", "code": code}]},
                "subject": {"reference": "Patient/p"},
                "specimen": [{"reference": "Specimen/s"}],
            },
        )


def result(patient: str, *rows: str) -> bytes:
    records = [HEAD.rstrip("\r"), f"P|1|{patient}", *rows, "L|1|N", ""]
    return "\r".join(records).encode()


BOTH = (
    "O|1|S-1||^^^GLU\\^^^K|R",
    "R|1|^^^K|4.1|mmol/L||N||F",
    "C|1|I|not hemolyzed|G",
    "R|2|^^^GLU|5.40|mmol/L||N||F",
)


@pytest.mark.parametrize("patient", ["4711", ""], ids=["with the patient", "without a patient"])
async def test_results_reach_the_patient_and_complete_the_orders(
    ordered: None, client: AsyncClient, server: Server, connect: Connect, patient: str
) -> None:
    for minute in (b"0800", b"0801"):  # what comes again makes nothing new
        async with connect() as one:
            await one.send(result(patient, *BOTH).replace(b"0800", minute))
    states = await applied(server, 2)
    assert {state for state, _, _ in states} <= {"done", "stale"}
    assert [one["id"] for one in await found(client, "Patient")] == ["p"]
    results = await found(client, "Observation?_sort=code")
    assert [
        (
            one["code"]["coding"][-1]["code"],
            str(one["valueQuantity"]["value"]),
            one["subject"]["reference"],
            one["basedOn"][0]["reference"],
            [note["text"] for note in one.get("note", ())],
        )
        for one in results
    ] == [
        ("GLU", "5.40", "Patient/p", "ServiceRequest/order-glu", []),
        ("K", "4.1", "Patient/p", "ServiceRequest/order-k", ["not hemolyzed"]),
    ]
    orders = await found(client, "ServiceRequest?_sort=_id")
    assert [(one["id"], one["status"]) for one in orders] == [
        ("order-glu", "completed"),
        ("order-k", "completed"),
    ]
    reports = await found(client, "DiagnosticReport?_sort=code")
    assert [one["code"]["coding"][0]["code"] for one in reports] == ["GLU", "K"]


async def test_a_result_under_the_number_of_somebody_else_is_set_aside(
    ordered: None, client: AsyncClient, server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(result("4712", *BOTH))
    (state,) = await applied(server)
    assert state[:2] == ("dead", "PATIENT_CONFLICT")
    assert await found(client, "Observation") == []


async def test_what_only_results_told_of_says_nothing_of_the_next_patient(
    client: AsyncClient, server: Server, connect: Connect
) -> None:
    rows = ("O|1|7||^^^GLU|||||||||||||||||||||F", "R|1|^^^GLU|5|mmol/L||N||F")
    for patient in ("A", ""):
        async with connect() as one:
            await one.send(result(patient, *rows))
        await applied(server)
    assert [state[:2] for state in await applied(server, 2)] == [
        ("done", None),
        ("dead", "NO_PATIENT_ID"),
    ]


async def test_control_with_the_number_of_a_patients_specimen_is_nobodys(
    ordered: None, client: AsyncClient, server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(result("", "O|1|S-1||^^^GLU|R||||||Q", "R|1|^^^GLU|5|mmol/L||N||F"))
    assert [state[0] for state in await applied(server)] == ["done"]
    (control,) = await found(client, "Observation")
    assert control["subject"]["reference"].startswith("Device/")


SAID = """
version = "1"
match.applications = ["Maker"]
[astm]
{astm}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    place = tmp_path / "profiles"
    place.mkdir()
    return place


async def test_a_sender_whose_numbers_mean_other_specimens_is_not_matched(
    ordered: None, client: AsyncClient, server: Server, profile: Path
) -> None:
    (profile / "maker.toml").write_text(SAID.format(astm='orders = "ignore"'))
    there = with_settings(server, hl7={"profiles_dir": str(profile)})
    async with lines(there) as connect, connect() as one:
        await one.send(result("4712", *BOTH))
    assert [state[0] for state in await applied(there)] == ["done"]
    assert {one["subject"]["reference"] for one in await found(client, "Observation")} != {
        "Patient/p"
    }
    assert {one["status"] for one in await found(client, "ServiceRequest?_id=order-k")} == {
        "active"
    }


async def test_a_number_that_is_used_again_each_day_names_another_specimen(
    client: AsyncClient, server: Server, profile: Path
) -> None:
    (profile / "maker.toml").write_text(SAID.format(astm='numbers = "day"'))
    there = with_settings(server, hl7={"profiles_dir": str(profile)})
    async with lines(there) as connect, connect() as one:
        for day, patient, value in (("10", "A", 5), ("11", "B", 6), ("12", "A", 7), ("12", "A", 8)):
            message = result(patient, "O|1|1||^^^GLU", f"R|1|^^^GLU|{value}|mmol/L||N||F")
            await one.send(message.replace(b"20260110080000", f"202601{day}08000{value}".encode()))
    assert [state[0] for state in await applied(there, 4)] == ["done"] * 4
    results = await found(client, "Observation?_sort=_lastUpdated")
    assert [int(one["valueQuantity"]["value"]) for one in results] == [5, 6, 8]
    specimens = await found(client, "Specimen")
    assert {one["identifier"][0]["value"] for one in specimens} == {"1"}
    assert len(specimens) == 3
