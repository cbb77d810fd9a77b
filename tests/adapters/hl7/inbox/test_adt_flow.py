"""What a series of ADT messages makes of a stored Patient and Encounter."""

from typing import Any

import httpx
import pytest

from fhir_server.server import Server
from tests.adapters.hl7.inbox.test_hl7_process import done, found

pytestmark = pytest.mark.anyio

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F|||1 Road^^Pune||^PRN^PH^^^^5|^WPN^PH^^^^6"


def adt(event: str, at: str, *segments: str, pid: str = PID) -> bytes:
    start = f"MSH|^~\\&|HIS|H|EHR|H|202601{at}+0000||ADT^{event}|{event}{at}|P|2.5.1"
    return ("\r".join([start, f"EVN|{event}|202601{at}+0000", pid, *segments]) + "\r").encode()


def pv1(place: str = "", kind: str = "I", **fields: str) -> str:
    """Return a PV1 of visit V1; `f6` and so on are more fields."""
    values = {2: kind, 3: place, 19: "V1"} | {int(k[1:]): v for k, v in fields.items()}
    return "PV1|" + "|".join(values.get(number, "") for number in range(1, 55)).rstrip("|")


async def visit(server: Server, client: httpx.AsyncClient, *messages: bytes) -> dict[str, Any]:
    states = await done(server, *messages)
    assert states == [("done", None)] * len(states)
    (encounter,) = await found(client, "/Encounter")
    return encounter


def places(encounter: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    return [
        (one["location"]["display"], one["status"], one.get("period", {}))
        for one in encounter.get("location", [])
    ]


ADMITTED = adt("A01", "01100000", pv1("W1^R1^B1", f7="1^Rao^At^^^^^^HR", f44="20260101100000"))


async def test_transfer_completes_the_place_where_the_patient_was(
    server: Server, client: httpx.AsyncClient
) -> None:
    moved = adt("A02", "02100000", pv1("W2^R2^B2"))
    encounter = await visit(server, client, ADMITTED, moved)
    at = "2026-01-02T10:00:00+00:00"
    assert places(encounter) == [
        ("W1, R1, B1", "completed", {"end": at}),
        ("W2, R2, B2", "active", {"start": at}),
    ]
    assert encounter["period"] == {"start": "2026-01-01T10:00:00+00:00"}
    assert [one["type"][0]["coding"][0]["code"] for one in encounter["participant"]] == ["ATND"]


async def test_transfer_that_is_undone_leaves_the_patient_where_he_was(
    server: Server, client: httpx.AsyncClient
) -> None:
    moved = adt("A02", "02100000", pv1("W2^R2^B2"))
    undone = adt("A12", "02110000", pv1("W1^R1^B1"))
    encounter = await visit(server, client, ADMITTED, moved, undone)
    assert places(encounter) == [("W1, R1, B1", "active", {})]
    assert encounter["status"] == "in-progress"


async def test_discharge_that_is_undone_leaves_neither_end_nor_disposition(
    server: Server, client: httpx.AsyncClient
) -> None:
    left = adt("A03", "05100000", pv1("W1^R1^B1", f36="01"))
    encounter = await visit(server, client, ADMITTED, left)
    assert encounter["status"] == "finished"
    assert encounter["period"]["end"] == "2026-01-05T10:00:00+00:00"
    assert encounter["hospitalization"]["dischargeDisposition"]["coding"][0]["code"] == "home"
    encounter = await visit(server, client, adt("A13", "05120000", pv1("W1^R1^B1")))
    assert encounter["status"] == "in-progress"
    assert encounter["period"] == {"start": "2026-01-01T10:00:00+00:00"}
    assert "hospitalization" not in encounter


@pytest.mark.parametrize(
    ("event", "start", "status"),
    [
        pytest.param("A01", "20260106090000", "in-progress", id="admitted again"),
        pytest.param("A04", "", "in-progress", id="next of a series of visits"),
        pytest.param("A10", "", "arrived", id="arrives"),
    ],
)
async def test_visit_that_goes_on_after_its_end_has_none(
    server: Server, client: httpx.AsyncClient, event: str, start: str, status: str
) -> None:
    left = adt("A03", "05100000", pv1("W1^R1^B1", f36="01"))
    again = adt(event, "06100000", pv1("W1^R1^B1", f44=start))
    encounter = await visit(server, client, ADMITTED, left, again)
    began = "2026-01-06T09:00:00+00:00" if start else "2026-01-01T10:00:00+00:00"
    assert (encounter["status"], encounter["period"]) == (status, {"start": began})
    assert "hospitalization" not in encounter


async def test_late_discharge_does_not_end_a_visit_that_goes_on(
    server: Server, client: httpx.AsyncClient
) -> None:
    undone = adt("A13", "05120000", pv1("W1^R1^B1"))
    late = adt("A03", "05100000", pv1("W1^R1^B1", f36="01", f14="7"))
    encounter = await visit(server, client, ADMITTED, undone, late)
    assert encounter["status"] == "in-progress"
    assert encounter["period"] == {"start": "2026-01-01T10:00:00+00:00"}
    assert encounter["hospitalization"].keys() == {"admitSource"}


async def test_late_transfer_of_a_visit_that_is_over_leaves_its_end(
    server: Server, client: httpx.AsyncClient
) -> None:
    left = adt("A03", "05100000", pv1("W1^R1^B1", f45="20260105100000"))
    told = adt("A02", "06100000", pv1("W2^R2^B2", f45="20260105100000"))
    encounter = await visit(server, client, ADMITTED, left, told)
    assert encounter["period"]["end"] == "2026-01-05T10:00:00+00:00"


async def test_update_keeps_the_status_and_what_it_does_not_speak_of(
    server: Server, client: httpx.AsyncClient
) -> None:
    away = adt("A21", "03100000", pv1())
    updated = adt("A08", "03110000", pv1(f10="MED"), pid="PID|1||P1^^^H^MR||Rao^Asha^K|||F")
    encounter = await visit(server, client, ADMITTED, away, updated)
    assert encounter["status"] == "onleave"
    assert encounter["serviceType"]["coding"][0]["code"] == "382"
    assert places(encounter) == [("W1, R1, B1", "active", {})]
    (patient,) = await found(client, "/Patient")
    assert patient["name"] == [{"family": "Rao", "given": ["Asha", "K"]}]
    assert (patient["birthDate"], patient["address"][0]["city"]) == ("1980-01-02", "Pune")
    assert [one["use"] for one in patient["telecom"]] == ["home", "work"]


async def test_null_deletes_what_it_stands_for_and_nothing_else(
    server: Server, client: httpx.AsyncClient
) -> None:
    gone = 'PID|1||P1^^^H^MR||Rao^Asha||""||||""||""'
    await visit(server, client, ADMITTED, adt("A08", "02100000", pv1(f7='""'), pid=gone))
    (patient,) = await found(client, "/Patient")
    assert not patient.keys() & {"birthDate", "address"}
    assert [one["use"] for one in patient["telecom"]] == ["work"]
    assert patient["gender"] == "female"
    (encounter,) = await found(client, "/Encounter")
    assert "participant" not in encounter


async def test_class_that_changes_is_in_the_history(
    server: Server, client: httpx.AsyncClient
) -> None:
    outpatient = adt("A04", "01100000", pv1("CLINIC", "O"))
    encounter = await visit(server, client, outpatient, adt("A06", "02100000", pv1("W1", "I")))
    assert encounter["class"]["code"] == "IMP"
    (past,) = encounter["classHistory"]
    assert (past["class"]["code"], past["period"]) == ("AMB", {"end": "2026-01-02T10:00:00+00:00"})


async def test_two_patients_exchange_their_beds(server: Server, client: httpx.AsyncClient) -> None:
    other = "PID|2||P2^^^H^MR||Das^Mina||19900102|F"
    second = adt("A01", "01110000", pv1("W9^R9^B9", f19="V2"), pid=other)
    swap = adt("A17", "02100000", pv1("W9^R9^B9"), other, pv1("W1^R1^B1", f19="V2"))
    states = await done(server, ADMITTED, second, swap)
    assert states == [("done", None)] * 3
    now = {
        one["identifier"][0]["value"]: [where for where, status, _ in places(one)
                                        if status == "active"]
        for one in await found(client, "/Encounter")
    }  # fmt: skip
    assert now == {"V1": ["W9, R9, B9"], "V2": ["W1, R1, B1"]}


async def test_late_admission_does_not_undo_the_discharge(
    server: Server, client: httpx.AsyncClient
) -> None:
    left = adt("A03", "05100000", pv1("W1^R1^B1", f44="20260101100000"))
    encounter = await visit(server, client, left, ADMITTED)
    assert encounter["status"] == "finished"
    assert encounter["participant"][0]["type"][0]["coding"][0]["code"] == "ATND"


async def test_allergy_and_diagnosis_are_updated_under_their_keys(
    server: Server, client: httpx.AsyncClient
) -> None:
    first = ("AL1|1|DA|PEN^Penicillin|MI|Rash", "DG1|1||J45^Asthma^I10||20260101|W")
    again = ("AL1|1|DA|PEN^Penicillin|SV|Rash~Shock", "DG1|1||J45^Asthma^I10||20260101|F")
    await visit(
        server,
        client,
        adt("A01", "01100000", pv1("W1"), *first),
        adt("A08", "02100000", pv1("W1"), *again),
    )
    (allergy,) = await found(client, "/AllergyIntolerance")
    assert allergy["criticality"] == "high"
    assert len(allergy["reaction"][0]["manifestation"]) == 2
    (condition,) = await found(client, "/Condition")
    (encounter,) = await found(client, "/Encounter")
    (diagnosis,) = encounter["diagnosis"]
    assert diagnosis["condition"] == {"reference": f"Condition/{condition['id']}"}
    assert diagnosis["use"]["coding"][0]["code"] == "F"


async def test_event_is_recorded_once_however_often_it_is_sent(
    server: Server, client: httpx.AsyncClient
) -> None:
    again = ADMITTED.replace(b"A0101100000|", b"X9|")
    assert again != ADMITTED
    await visit(server, client, ADMITTED, again)
    events = [
        one
        for one in await found(client, "/Provenance")
        if one["activity"]["coding"][0]["system"].endswith("v2-0003")
    ]
    assert [one["activity"]["coding"][0]["code"] for one in events] == ["A01"]
