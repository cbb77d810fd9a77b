"""Which steps are listed, and what takes them off the list or changes what they say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.dicom.studies.expected import expected
from adapters.dicom.worklist import follow
from adapters.dicom.worklist.refresh import refresh
from fhir_server.interactions.entry import Entry
from fhir_server.server import Server
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write, carried_out, followed, listed, read

Json = dict[str, Any]
STEP = "ScheduledProcedureStepSequence"
STATUS = f"{STEP}.ScheduledProcedureStepStatus"


def soon(days: float = 1) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


def order(**changes: Any) -> Json:
    bare = {key: orders.ORDER[key] for key in ("resourceType", "id", "status", "intent")}
    return {
        **bare,
        "category": orders.ORDER["category"],
        "code": {"text": "CT"},
        "subject": {"reference": "Patient/p1"},
        **changes,
    }


def booked(**changes: Any) -> Json:
    participants = [{"actor": {"reference": "Patient/p1"}, "status": "accepted"}]
    return {**orders.APPOINTMENT, "participant": participants, **changes}


def booked_without_patient() -> Json:
    participants = [{"actor": {"display": "CT room"}, "status": "accepted"}]
    return {**orders.APPOINTMENT, "participant": participants}


async def statuses(server: Server) -> list[str]:
    return [one[STEP][0]["ScheduledProcedureStepStatus"][0] for one in await listed(server, STATUS)]


async def payloads(server: Server, kind: str) -> list[Json]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT payload FROM job WHERE kind = %s", (kind,))
        return [payload for (payload,) in await cursor.fetchall()]


@pytest.mark.parametrize(
    ("changes", "expected_statuses"),
    [
        ({"occurrenceDateTime": soon()}, ["SCHEDULED"]),
        ({"occurrencePeriod": {"start": soon(-2)}}, ["SCHEDULED"]),
        ({}, []),
        ({"occurrenceDateTime": soon(-8)}, []),
        ({"occurrencePeriod": {"start": soon(-8), "end": soon(-6)}}, ["SCHEDULED"]),
        ({"occurrenceDateTime": soon(), "status": "draft"}, []),
        ({"occurrenceDateTime": soon(), "intent": "plan"}, []),
        ({"occurrenceDateTime": soon(), "intent": "filler-order"}, ["SCHEDULED"]),
        ({"occurrenceDateTime": soon(), "category": []}, []),
    ],
    ids=(
        *("at a time", "from a time on", "at no time", "long past", "until lately"),
        *("a draft", "a plan", "of the filler", "not imaging"),
    ),
)
async def test_an_order_without_appointment_is_listed_by_its_occurrence(
    server: Server, write: Write, changes: Json, expected_statuses: list[str]
) -> None:
    resource = {key: one for key, one in order(**changes).items() if one != []}
    await write(orders.PATIENT, resource)
    assert await statuses(server) == expected_statuses


@pytest.mark.parametrize(
    ("status", "expected_statuses"),
    [
        ("booked", ["SCHEDULED"]),
        ("arrived", ["ARRIVED"]),
        ("checked-in", ["ARRIVED"]),
        ("cancelled", []),
        ("noshow", []),
        ("fulfilled", []),
        ("proposed", ["SCHEDULED"]),
        ("entered-in-error", ["SCHEDULED"]),
    ],
)
async def test_an_appointment_decides_over_the_occurrence(
    server: Server, write: Write, status: str, expected_statuses: list[str]
) -> None:
    await write(orders.PATIENT, order(occurrenceDateTime=soon()), booked())
    assert await statuses(server) == ["SCHEDULED"]
    await write(booked(status=status))
    assert await statuses(server) == expected_statuses


@pytest.mark.parametrize("status", ["completed", "revoked", "entered-in-error", "on-hold"])
async def test_an_order_that_ends_leaves_and_comes_back_with_its_ids(
    server: Server, write: Write, status: str
) -> None:
    await write(orders.PATIENT, order(), booked())
    first = await listed(server, "AccessionNumber", STEP)
    request = await read(server, "ServiceRequest/o1")
    await write({**request, "status": status})
    assert await statuses(server) == []
    await write({**request, "status": "active"})
    assert await listed(server, "AccessionNumber", STEP) == first


async def test_a_deleted_order_leaves(server: Server, write: Write) -> None:
    await write(orders.PATIENT, order(), booked())
    await carried_out(
        server, Entry("DELETE", "Appointment/a1"), Entry("DELETE", "ServiceRequest/o1")
    )
    await followed(server)
    assert await statuses(server) == []


async def test_two_appointments_are_two_steps_of_one_procedure(
    server: Server, write: Write
) -> None:
    later = booked(id="a2", start="2026-11-22T09:30:00+05:30", end="2026-11-22T10:00:00+05:30")
    await write(orders.PATIENT, order(), booked(), later)
    answers = await listed(server, "RequestedProcedureID", STEP)
    assert [one["RequestedProcedureID"] for one in answers] == [["R1"], ["R1"]]
    items = [one[STEP][0] for one in answers]
    assert [one["ScheduledProcedureStepStartDate"] for one in items] == [["20261121"], ["20261122"]]
    assert len({one["ScheduledProcedureStepID"][0] for one in items}) == 2


async def test_a_step_keeps_its_id_when_it_is_booked(server: Server, write: Write) -> None:
    await write(orders.PATIENT, order(occurrenceDateTime=soon()))
    before = await listed(server, f"{STEP}.ScheduledProcedureStepID")
    await write(booked())
    after = await listed(server, f"{STEP}.ScheduledProcedureStepID")
    assert after == before
    assert len(after) == 1


@pytest.mark.parametrize(
    ("changed", "key", "value"),
    [
        (
            {**orders.PATIENT, "name": [{"family": "Schmidt"}]},
            "PatientName",
            "Schmidt",
        ),
        ({**orders.ENCOUNTER, "status": "finished"}, "VisitStatusID", "DISCHARGED"),
        ({**orders.WARD, "name": "Ward 9"}, "CurrentPatientLocation", "Ward 9"),
        (
            {**orders.DOCTOR, "name": [{"family": "Wilson"}]},
            "RequestingPhysician",
            "Wilson",
        ),
        ({**orders.CLINIC, "name": "Oncology"}, "RequestingService", "Oncology"),
        (
            {**orders.CONDITION, "code": {"text": "Flu"}},
            "ReasonForTheRequestedProcedure",
            "Cough for weeks, Flu",
        ),
        (
            orders.observation("w", "29463-7", soon(-1), **orders.quantity(4500, "g")),
            "PatientWeight",
            "4.5",
        ),
        (orders.allergy("al1", "Latex"), "Allergies", "Latex"),
        (orders.flag("f1", "Pacemaker"), "MedicalAlerts", "Pacemaker"),
    ],
    ids=lambda one: one["resourceType"] if isinstance(one, dict) else "",
)
async def test_a_change_of_what_an_entry_says_reaches_the_modality(
    server: Server, write: Write, changed: Json, key: str, value: str
) -> None:
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT)
    before = await listed(server, key)
    assert [one[key] for one in before] != [[value]]
    await write(changed)
    after = await listed(server, key)
    assert [one[key] for one in after] == [[value]]


@pytest.mark.parametrize(
    ("changed", "key", "value"),
    [
        (
            {**orders.SCANNER, "identifier": [{"system": orders.AE, "value": "CT9"}]},
            "ScheduledStationAETitle",
            "CT9",
        ),
        ({**orders.ROOM, "name": "CT room 2"}, "ScheduledProcedureStepLocation", "CT room 2"),
        (
            {**orders.RADIOLOGIST, "name": [{"family": "Roentgen"}]},
            "ScheduledPerformingPhysicianName",
            "Roentgen",
        ),
        (
            {**orders.CONTRAST, "code": {"text": "Gadobutrol"}},
            "RequestedContrastAgent",
            "Gadobutrol",
        ),
        (
            {**orders.APPOINTMENT, "start": "2026-11-21T08:00:00+05:30"},
            "ScheduledProcedureStepStartTime",
            "080000",
        ),
    ],
    ids=lambda one: one["resourceType"] if isinstance(one, dict) else "",
)
async def test_a_change_of_the_step_reaches_the_modality(
    server: Server, write: Write, changed: Json, key: str, value: str
) -> None:
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT)
    [before] = await listed(server, STEP)
    assert before[STEP][0][key] != [value]
    await write(changed)
    [after] = await listed(server, STEP)
    assert after[STEP][0][key] == [value]


async def test_an_order_without_its_patient_is_not_listed(server: Server, write: Write) -> None:
    await write(order(subject={"display": "Somebody"}), booked_without_patient())
    assert await statuses(server) == []


async def test_a_merged_patient_is_told_as_who_replaced_him(server: Server, write: Write) -> None:
    await write(orders.PATIENT, order(), booked())
    survivor = {
        "resourceType": "Patient",
        "id": "p2",
        "identifier": [{"system": orders.MRN, "value": "MR-9"}],
        "name": [{"family": "Survivor"}],
    }
    link = [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]
    await write(survivor, {**orders.PATIENT, "active": False, "link": link})
    [found] = await listed(server, "PatientName", "PatientID")
    assert (found["PatientName"], found["PatientID"]) == (["Survivor"], ["MR-9"])
    await write({**survivor, "name": [{"family": "Renamed"}]})
    [found] = await listed(server, "PatientName")
    assert found["PatientName"] == ["Renamed"]


async def test_a_deleted_allergy_is_no_longer_told(server: Server, write: Write) -> None:
    await write(orders.PATIENT, order(), booked(), orders.allergy("al1", "Latex"))
    await carried_out(server, Entry("DELETE", "AllergyIntolerance/al1"))
    await followed(server)
    answers = await listed(server, "Allergies")
    assert [one["Allergies"] for one in answers] == [[]]


async def test_the_study_is_announced_and_cancelled_with_its_order(
    server: Server, write: Write
) -> None:
    await write(orders.PATIENT, order(), booked())
    request = await read(server, "ServiceRequest/o1")
    given = {one["system"]: one["value"] for one in request["identifier"]}
    study = given["urn:dicom:uid"].removeprefix("urn:oid:")
    async with server.database.connection() as connection:
        told = await expected(connection, study)
    assert told is not None
    assert (told.subject, told.requests) == ("Patient/p1", ("ServiceRequest/o1",))
    assert told.attributes["AccessionNumber"] == [given["urn:sangam:accession-number"]]
    await write({**request, "status": "revoked"})
    async with server.database.connection() as connection:
        ended = await expected(connection, study)
    assert ended is not None
    assert ended.cancelled


async def test_ids_that_an_order_has_are_kept(server: Server, write: Write) -> None:
    accession = {
        "type": {"coding": [{"system": orders.V2, "code": "ACSN"}]},
        "system": "urn:oid:1.9",
        "value": "RIS-1",
    }
    study = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99"}
    await write(orders.PATIENT, order(identifier=[accession, study]), booked())
    answers = await listed(server, "AccessionNumber", "StudyInstanceUID")
    assert [one["AccessionNumber"] for one in answers] == [["RIS-1"]]
    assert [one["StudyInstanceUID"] for one in answers] == [["1.2.840.99"]]
    request = await read(server, "ServiceRequest/o1")
    assert [one["value"] for one in request["identifier"]] == ["RIS-1", "urn:oid:1.2.840.99", "R1"]


async def test_ids_that_another_system_drops_are_written_again(
    server: Server, write: Write
) -> None:
    await write(orders.PATIENT, order(), booked())
    first = await read(server, "ServiceRequest/o1")
    await write(order(priority="stat"))
    second = await read(server, "ServiceRequest/o1")
    assert second["priority"] == "stat"
    assert second["identifier"] == first["identifier"]


async def test_an_order_that_cannot_be_written_is_tried_again_and_holds_up_no_other(
    server: Server, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = refresh

    async def failing(server: Server, connection: Any, id_: str) -> None:
        if id_ == "o1":
            raise LookupError
        await real(server, connection, id_)

    monkeypatch.setattr("adapters.dicom.worklist.follow.refresh", failing)
    await write(
        orders.PATIENT,
        order(occurrenceDateTime=soon()),
        order(id="o2", occurrenceDateTime=soon()),
    )
    assert await statuses(server) == ["SCHEDULED"]
    monkeypatch.undo()
    assert await payloads(server, follow.ORDER) == [{"order": "o1"}]
    await follow.run(server, {"order": "o1"})
    assert await statuses(server) == ["SCHEDULED", "SCHEDULED"]


async def test_orders_beyond_a_batch_are_brought_up_to_date_by_jobs(
    server: Server, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = booked(id="a2", basedOn=[{"reference": "ServiceRequest/o2"}])
    await write(orders.PATIENT, order(), booked(), order(id="o2"), later)
    monkeypatch.setattr("adapters.dicom.worklist.follow._ONCE", 1)
    await write({**orders.PATIENT, "name": [{"family": "New"}]})
    assert await payloads(server, follow.ORDER) == [{"order": "o2"}]
    await follow.run(server, {"order": "o2"})
    found = await listed(server, "PatientName")
    assert [one["PatientName"] for one in found] == [["New"], ["New"]]


async def test_orders_from_before_are_found_by_looking_at_all(server: Server) -> None:
    await carried_out(
        server,
        *(
            Entry("PUT", f"{one['resourceType']}/{one['id']}", one)
            for one in (orders.PATIENT, order(), booked(), order(id="o2"))
        ),
    )
    await followed(server)
    assert await statuses(server) == []
    await follow.run_rebuild(server, {"page": [("status", "active"), ("_count", "1")]})
    [page] = await payloads(server, follow.REBUILD)
    await follow.run_rebuild(server, page)
    work = await payloads(server, follow.ORDER)
    assert sorted(one["order"] for one in work) == ["o1", "o2"]
    for one in work:
        await follow.run(server, one)
    assert await statuses(server) == ["SCHEDULED"]
