"""What becomes of FHIR while a modality performs an order."""

from io import BytesIO
from typing import Any

import anyio.to_thread
import msgspec
import psycopg
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.dataset.identifier import Key, read
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.mpps import apply, rows, state
from adapters.dicom.mpps.rows import Message
from adapters.dicom.network.peer import Peer
from adapters.dicom.studies import fold
from fhir_server import jobs
from fhir_server.caller import trusted
from fhir_server.config import DicomSettings, Settings
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from tests.adapters.dicom.mpps.test_mpps_scu import UID, ending, step
from tests.adapters.dicom.worklist.conftest import followed

CALLER = trusted("test", "rest")
SYSTEM = "urn:sangam:patient-id"
ACSN = {
    "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    },
    "value": "A1",
}
IMAGING = {"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}
RUN = {rows.KIND: apply.run, "dicom.fold": fold.run}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(quiet_seconds=0))


def keys(sent: Dataset) -> dict[int, Key]:
    """Return a data set as the listener reads it."""
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, sent)
    return read(buffer.getvalue(), EXPLICIT_LITTLE)


def keep(conninfo: str, sent: Dataset, uid: str) -> None:
    """Keep a message as the listener does."""
    message = Message(b"", EXPLICIT_LITTLE, Peer("127.0.0.1", "CT1", "SANGAM"))
    with psycopg.connect(conninfo) as connection:
        before = rows.locked(connection, uid)
        if before is None:
            verdict = state.created(keys(sent), strict=True)
            assert verdict.keys is not None
            assert rows.add(connection, uid, verdict.keys, message)
        else:
            verdict = state.changed(before, keys(sent), strict=False)
            assert verdict.keys is not None
            rows.change(connection, uid, verdict.keys, message)


async def performed(server: Server, *messages: Dataset, uid: str = UID) -> None:
    """Keep messages, and run all jobs that follow."""
    for one in messages:
        await anyio.to_thread.run_sync(keep, server.database.conninfo, one, uid)
    while await _ran(server):
        pass


async def _ran(server: Server) -> bool:
    async with server.database.statement() as connection:
        cursor = await connection.execute("SELECT id FROM job WHERE state = 'ready'")
        ids = [row[0] for row in await cursor.fetchall()]
        claimed = [job for id_ in ids if (job := await jobs.claim(connection, id_, 1))]
        for job in claimed:
            await RUN[job.kind](server, job.payload)
            await jobs.finish(connection, job.id, 1)
    return any(job.kind == rows.KIND for job in claimed)


async def found(server: Server, url: str) -> list[dict[str, Any]]:
    async with server.database.transaction() as connection:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", url)])
    return [e["resource"] for e in msgspec.json.decode(outcome.body or b"").get("entry", ())]


async def only(server: Server, url: str) -> dict[str, Any]:
    [one] = await found(server, url)
    return one


async def write(server: Server, resource: dict[str, Any]) -> str:
    async with server.database.transaction() as connection:
        entry = Entry("POST", resource["resourceType"], resource)
        [outcome] = await transaction(server, connection, CALLER, [entry])
    return f"{outcome.type}/{outcome.id}"


async def ordered(
    server: Server, patient_id: str = "P1", system: str = SYSTEM, *categories: dict[str, Any]
) -> tuple[str, str, str]:
    """Write a patient's order with a Task and an Appointment, and return patient and order."""
    patient = await write(
        server,
        {
            "resourceType": "Patient",
            "identifier": [{"system": system, "value": patient_id}],
            "name": [{"family": "Devi"}],
        },
    )
    order = await write(
        server,
        {
            "resourceType": "ServiceRequest",
            "identifier": [ACSN],
            "status": "active",
            "intent": "order",
            "subject": {"reference": patient},
            "code": {"text": "CT chest"},
            **({"category": categories} if categories else {}),
        },
    )
    await write(
        server,
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "focus": {"reference": order},
        },
    )
    appointment = await write(
        server,
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2024-01-05T08:00:00Z",
            "end": "2024-01-05T08:30:00Z",
            "basedOn": [{"reference": order}],
            "participant": [{"actor": {"reference": patient}, "status": "accepted"}],
        },
    )
    return patient, order, appointment


async def statuses(server: Server) -> dict[str, str]:
    """Return the status of each resource that a step is about."""
    kinds = ("Procedure", "ServiceRequest", "Task", "Appointment", "ImagingStudy")
    return {one: (await only(server, one))["status"] for one in kinds}


def reason(code: str) -> list[Dataset]:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = code, "DCM", "meaning"
    return [made]


REASON = "PerformedProcedureStepDiscontinuationReasonCodeSequence"


async def test_an_order_is_performed(server: Server) -> None:
    patient, order, _ = await ordered(server)
    await performed(server, step())
    assert await statuses(server) == {
        "Procedure": "in-progress",
        "ServiceRequest": "active",
        "Task": "in-progress",
        "Appointment": "booked",
        "ImagingStudy": "registered",
    }
    await performed(server, ending())
    assert await statuses(server) == {
        "Procedure": "completed",
        "ServiceRequest": "completed",
        "Task": "completed",
        "Appointment": "fulfilled",
        "ImagingStudy": "registered",
    }
    procedure = await only(server, f"Procedure?identifier=urn:dicom:uid|urn:oid:{UID}")
    study = await only(server, "ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2.3")
    assert procedure["subject"] == study["subject"] == {"reference": patient}
    assert procedure["basedOn"] == [{"reference": order}]
    assert study["procedureReference"] == {"reference": f"Procedure/{procedure['id']}"}
    assert procedure["performedPeriod"] == {
        "start": "2024-01-05T08:10:00+05:30",
        "end": "2024-01-05T08:20:00+05:30",
    }
    assert procedure["meta"]["versionId"] == "2"


async def test_a_whole_step_may_be_applied_at_once(server: Server) -> None:
    await ordered(server)
    await performed(server, step(), ending())
    assert (await only(server, "Procedure"))["meta"]["versionId"] == "1"
    assert (await only(server, "ServiceRequest"))["status"] == "completed"


async def test_a_step_that_was_broken_off_fails_its_task(server: Server) -> None:
    await ordered(server)
    broken = ending("DISCONTINUED", **{REASON: reason("110513")})
    await performed(server, step(), broken)
    assert await statuses(server) == {
        "Procedure": "stopped",
        "ServiceRequest": "active",
        "Task": "failed",
        "Appointment": "booked",
        "ImagingStudy": "cancelled",
    }
    task, procedure = await only(server, "Task"), await only(server, "Procedure")
    assert task["businessStatus"]["coding"][0]["code"] == "110513"
    assert procedure["statusReason"] == task["businessStatus"]


async def test_a_step_without_series_was_not_done(server: Server) -> None:
    await performed(server, step(), ending("DISCONTINUED", PerformedSeriesSequence=[]))
    assert (await only(server, "Procedure"))["status"] == "not-done"


async def test_the_wrong_worklist_entry_leaves_the_order_to_be_done(server: Server) -> None:
    await ordered(server)
    await performed(server, step())
    await performed(server, ending("DISCONTINUED", **{REASON: reason("110514")}))
    found = await statuses(server)
    assert found == {
        "Procedure": "entered-in-error",
        "ServiceRequest": "active",
        "Task": "ready",
        "Appointment": "booked",
        "ImagingStudy": "registered",
    }
    assert "procedureReference" not in await only(server, "ImagingStudy")


async def test_an_order_of_another_patient_is_left_alone(server: Server) -> None:
    await ordered(server, "OTHER")
    await write(
        server,
        {
            "resourceType": "Patient",
            "identifier": [{"system": SYSTEM, "value": "P1"}],
            "name": [{"family": "Rao"}],
        },
    )
    await performed(server, step(), ending())
    procedure = await only(server, "Procedure")
    assert "basedOn" not in procedure
    assert "reference" not in procedure["subject"]
    assert (await only(server, "ServiceRequest"))["status"] == "active"
    with psycopg.connect(server.database.conninfo) as connection:
        known = rows.one(connection, UID)
    assert known is not None
    assert known.flags == ("patient",)


async def test_an_id_without_issuer_may_be_of_any_system(server: Server) -> None:
    patient, _, _ = await ordered(server, system="urn:oid:1.2.3.4")
    await performed(server, step(), ending())
    assert (await only(server, "ServiceRequest"))["status"] == "completed"
    assert (await only(server, "ImagingStudy"))["subject"] == {"reference": patient}


async def test_an_order_of_two_steps_ends_with_the_second(server: Server) -> None:
    await ordered(server)
    await performed(server, step())
    await performed(server, step(), uid="1.2.826.0.1.42.2")
    await performed(server, ending())
    assert (await only(server, "ServiceRequest"))["status"] == "active"
    assert (await only(server, "Task"))["status"] == "in-progress"
    await performed(server, ending(), uid="1.2.826.0.1.42.2")
    assert (await only(server, "ServiceRequest"))["status"] == "completed"
    assert (await only(server, "Task"))["status"] == "completed"


async def test_an_appointment_is_fulfilled_though_a_second_try_was_broken_off(
    server: Server,
) -> None:
    """A modality opened a step twice; the second ends unused after the first was completed."""
    await followed(server)
    await ordered(server, "P1", SYSTEM, IMAGING)
    for _ in range(2):  # the order, and then the ids that it was given
        await followed(server)
    await performed(server, step())
    await performed(server, step(), uid="1.2.826.0.1.42.2")
    await performed(server, ending())
    assert (await only(server, "Appointment"))["status"] == "booked"
    unused = ending("DISCONTINUED", PerformedSeriesSequence=[])
    await performed(server, unused, uid="1.2.826.0.1.42.2")
    kinds = ("ServiceRequest", "Task", "Appointment")
    found = [(await only(server, kind))["status"] for kind in kinds]
    assert found == ["completed", "completed", "fulfilled"]


async def test_an_unscheduled_step_has_its_own_patient(server: Server) -> None:
    unscheduled = Dataset()
    unscheduled.StudyInstanceUID, unscheduled.AccessionNumber = "1.2.3", ""
    await performed(server, step(ScheduledStepAttributesSequence=[unscheduled]), ending())
    procedure = await only(server, "Procedure")
    patient = await only(server, f"Patient?identifier={SYSTEM}|P1")
    assert procedure["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert "basedOn" not in procedure


async def test_what_users_added_to_a_procedure_stays(server: Server) -> None:
    await ordered(server)
    await performed(server, step())
    procedure = await only(server, "Procedure")
    procedure["followUp"] = [{"text": "control in a year"}]
    async with server.database.transaction() as connection:
        entry = Entry("PUT", f"Procedure/{procedure['id']}", procedure)
        await transaction(server, connection, CALLER, [entry])
    await performed(server, ending())
    after = await only(server, "Procedure")
    assert (after["status"], after["followUp"]) == ("completed", [{"text": "control in a year"}])


async def test_a_step_that_was_applied_writes_nothing_again(server: Server) -> None:
    await ordered(server)
    await performed(server, step(), ending())
    await apply.run(server, {"mpps": UID})
    assert (await only(server, "Procedure"))["meta"]["versionId"] == "1"
