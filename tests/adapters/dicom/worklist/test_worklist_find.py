"""What a query of the worklist finds, and how it is answered."""

import random
from typing import Any

import anyio.to_thread
import psycopg
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]

from adapters.dicom.dataset.identifier import write
from adapters.dicom.network import classes
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    PROTOCOL_VERSION,
    Proposal,
    Request,
    User,
)
from adapters.dicom.network.command import Command, Field
from adapters.dicom.network.negotiate import Agreed, Negotiated, negotiate, policy
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Fixed, Streamed
from adapters.dicom.query import peers
from adapters.dicom.query.find import Queries, pool
from adapters.dicom.query.peers import Known
from adapters.dicom.query.requester import identifier
from adapters.dicom.worklist import find as worklist
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write, asked, listed

Json = dict[str, Any]
STEP = "ScheduledProcedureStepSequence"
IMPLICIT = "1.2.840.10008.1.2"


def other(number: int, **changes: Any) -> tuple[Json, Json, Json]:
    """Return a patient, an order and an appointment of another modality and day."""
    patient = {
        "resourceType": "Patient",
        "id": f"q{number}",
        "identifier": [{"system": orders.MRN, "value": f"MR-2{number}"}],
        "name": [{"family": "Muller", "given": ["Anna"]}],
        "gender": "female",
        "birthDate": "1980-01",
    }
    dcm = "http://dicom.nema.org/resources/ontology/DCM"
    order = {
        "resourceType": "ServiceRequest",
        "id": f"r{number}",
        "status": "active",
        "intent": "order",
        "category": orders.ORDER["category"],
        "code": {"text": "MR of the head"},
        "orderDetail": [{"coding": [{"system": dcm, "code": "MR"}]}],
        "subject": {"reference": f"Patient/q{number}"},
    }
    appointment = {
        **orders.APPOINTMENT,
        "id": f"b{number}",
        "status": "arrived",
        "basedOn": [{"reference": f"ServiceRequest/r{number}"}],
        "start": "2026-11-23T14:00:00+05:30",
        "end": "2026-11-23T15:00:00+05:30",
        "participant": [{"actor": {"display": "MR room"}, "status": "accepted"}],
        **changes,
    }
    return patient, order, appointment


@pytest.fixture
async def two(write: Write) -> None:
    """An order for CT1 on the 21st, and one for MR, of no station, on the 23rd."""
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT, *other(1))


ASKED = ("PatientID",)


MATCHES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("CT", "MR")),
    ((STEP,), ("CT", "MR")),
    ((f"{STEP}.Modality=CT",), ("CT",)),
    ((f"{STEP}.Modality=MR",), ("MR",)),
    ((f"{STEP}.Modality=ct",), ()),
    ((f"{STEP}.ScheduledStationAETitle=CT1",), ("CT",)),
    ((f"{STEP}.ScheduledStationAETitle=CT2",), ()),
    ((f"{STEP}.ScheduledStationAETitle=CT*",), ("CT",)),
    ((f"{STEP}.ScheduledStationAETitle=*",), ("CT", "MR")),
    ((f"{STEP}.ScheduledProcedureStepStartDate=20261121",), ("CT",)),
    ((f"{STEP}.ScheduledProcedureStepStartDate=20261122-",), ("MR",)),
    ((f"{STEP}.ScheduledProcedureStepStartDate=-20261122",), ("CT",)),
    ((f"{STEP}.ScheduledProcedureStepStartDate=20261121-20261123",), ("CT", "MR")),
    (
        (
            f"{STEP}.ScheduledProcedureStepStartDate=20261120-20261123",
            f"{STEP}.ScheduledProcedureStepStartTime=1000-1430",
        ),
        ("CT", "MR"),
    ),
    (
        (
            f"{STEP}.ScheduledProcedureStepStartDate=20261121-20261123",
            f"{STEP}.ScheduledProcedureStepStartTime=0900-1330",
        ),
        ("CT",),
    ),
    (
        (
            f"{STEP}.ScheduledProcedureStepStartDate=20261121",
            f"{STEP}.ScheduledProcedureStepStartTime=093000",
        ),
        ("CT",),
    ),
    ((f"{STEP}.ScheduledProcedureStepStartTime=-12",), ("CT",)),
    ((f"{STEP}.ScheduledProcedureStepStatus=ARRIVED",), ("MR",)),
    ((f"{STEP}.ScheduledPerformingPhysicianName=curie*",), ("CT",)),
    ((f"{STEP}.ScheduledProcedureStepID=S2",), ("MR",)),
    (("RequestedProcedureID=R1",), ("CT",)),
    (("AccessionNumber=A00000002",), ("MR",)),
    (("AccessionNumber=A0000000?",), ("CT", "MR")),
    (("PatientName=MULLER^*",), ("CT", "MR")),
    (("PatientName=müller^jörg^max^dr.",), ("CT",)),
    (("PatientName=Muller^A*",), ("MR",)),
    (("PatientID=MR-1",), ("CT",)),
    (("PatientID=MR-%",), ()),
    (("PatientID=MR-2_",), ()),
    (("PatientSex=F",), ("MR",)),
    (("PatientBirthDate=19700203",), ("CT",)),
    (("PatientBirthDate=19800101",), ()),
    (("RequestingPhysician=house^greg",), ("CT",)),
    (("ReferringPhysicianName=House*",), ("CT",)),
    (("PlacerOrderNumberImagingServiceRequest=PL-1",), ("CT",)),
    (("FillerOrderNumberImagingServiceRequest=FI-1",), ("CT",)),
    (("AdmissionID=V-5",), ("CT",)),
    (("CurrentPatientLocation=Ward*",), ("CT",)),
    (("VisitStatusID=ADMITTED",), ("CT",)),
    (("OtherPatientIDsSequence.PatientID=NAT-77",), ("CT",)),
    (("RequestedProcedureCodeSequence.CodeValue=30799-1",), ("CT",)),
    (("StudyInstanceUID=1.2.3",), ()),
]


async def test_each_key_selects_what_it_matches(
    server: Server,
    two: None,
) -> None:
    """One population for all rows of the table, which would else take most of the time."""
    modality = {"MR-1": "CT", "MR-21": "MR"}
    found = [
        (keys, tuple(modality[one["PatientID"][0]] for one in await listed(server, *ASKED, *keys)))
        for keys, _ in MATCHES
    ]
    assert found == MATCHES


async def test_the_study_is_found_by_its_uid(server: Server, two: None) -> None:
    [first, _] = await listed(server, "StudyInstanceUID", "PatientID")
    uid = first["StudyInstanceUID"][0]
    found = await listed(server, f"StudyInstanceUID={uid}\\1.2.3", "PatientID")
    assert [one["PatientID"] for one in found] == [["MR-1"]]


async def test_pynetdicom_reads_the_worklist(
    modality: Archive,
    two: None,
) -> None:
    answers = await anyio.to_thread.run_sync(by_pynetdicom, modality)
    assert [status.Status for status, _ in answers] == [0xFF00, 0]
    [found] = [one for _, one in answers if one]
    assert found.SpecificCharacterSet == "ISO_IR 100"
    assert found.PatientName == "Müller^Jörg^Max^Dr."
    assert found.ScheduledProcedureStepSequence[0].to_json_dict() == {
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00400001": {"vr": "AE", "Value": ["CT1"]},
        "00400002": {"vr": "DA", "Value": ["20261121"]},
        "00400006": {"vr": "PN", "Value": [{"Alphabetic": "Curie^Marie"}]},
        "00400400": {"vr": "LT", "Value": ["Bring old films"]},
    }


def by_pynetdicom(archive: Archive) -> list[Any]:
    query, step = Dataset(), Dataset()
    query.PatientName = "Mül*"
    query.SpecificCharacterSet = "ISO_IR 100"
    step.Modality = "CT"
    step.ScheduledStationAETitle = "CT1"
    step.ScheduledProcedureStepStartDate = "20261121"
    step.ScheduledPerformingPhysicianName = ""
    step.CommentsOnTheScheduledProcedureStep = ""
    query.ScheduledProcedureStepSequence = [step]
    ae = AE(ae_title="CT1")
    ae.add_requested_context(ModalityWorklistInformationFind)
    host, port = archive.address
    association = ae.associate(host, port, ae_title="SANGAM")
    try:
        return list(association.send_c_find(query, ModalityWorklistInformationFind))
    finally:
        association.release()


def responses(archive: Archive, *keys: str) -> list[int]:
    return [status for status, _ in asked(archive, *keys)]


async def test_a_key_that_is_not_known_is_answered_empty_and_told(
    modality: Archive,
    two: None,
) -> None:
    answers = await anyio.to_thread.run_sync(asked, modality, "PatientName=Muller^J*", "StudyDate")
    assert [status for status, _ in answers] == [0xFF01, 0]
    assert answers[0][1][0x00080020].values == ()
    nested = await anyio.to_thread.run_sync(
        responses, modality, f"{STEP}.StudyDate", "PatientID=MR-1"
    )
    assert nested == [0xFF01, 0]


def test_an_empty_list_is_a_success_at_once(archive: Archive) -> None:
    assert responses(archive, f"{STEP}.Modality=CT") == [0]


async def test_more_matches_than_are_answered_is_out_of_resources(
    server: Server,
    two: None,
) -> None:
    with pool(server.database.conninfo, connections=1, seconds=5) as connections:
        found = await anyio.to_thread.run_sync(answered, Queries(connections, 1), b"")
    assert found == [0xFF00, 0xA700]


def test_two_items_of_the_step_are_no_identifier(archive: Archive) -> None:
    two_items = b"\x40\0\0\1\x10\0\0\0" + 2 * b"\xfe\xff\0\xe0\0\0\0\0"
    with pool(archive.conninfo, connections=1, seconds=5) as connections:
        assert answered(Queries(connections, 10), two_items) == [0xA900]
        assert answered(Queries(connections, 10), None) == [0xA900]


class Never:
    """An exchange of a requester that does not cancel."""

    contexts: Any = None

    def cancelled(self) -> bool:
        return False

    def request(self, *_: Any) -> Command:
        raise AssertionError


class Cancelling(Never):
    """One that cancels when the first answer has come."""

    def __init__(self) -> None:
        self.asked = 0

    def cancelled(self) -> bool:
        self.asked += 1
        return self.asked > 1


def answered(queries: Queries, data: bytes | None, exchange: Never | None = None) -> list[int]:
    """Return the statuses of the responses to an identifier, None for none."""
    context = Agreed(1, classes.WORKLIST_FIND, IMPLICIT, storage=False)
    command = Command(Field.C_FIND_RQ, 1, data is not None, {})
    operation = worklist.find(queries, Peer("", "CT1", "SANGAM"), context, command)
    if isinstance(operation, Fixed):
        return [operation.finish().status]
    assert isinstance(operation, Streamed)
    operation.write(memoryview(data or b""))
    return [one.status for one in operation.answers(exchange or Never())]


async def test_a_cancelled_query_ends(server: Server, two: None) -> None:
    with pool(server.database.conninfo, connections=1, seconds=5) as connections:
        queries = Queries(connections, 10)
        found = await anyio.to_thread.run_sync(answered, queries, b"", Cancelling())
    assert found == [0xFF00, 0xFE00]


def test_no_identifier_breaks_the_query(archive: Archive) -> None:
    """Bits flipped, bytes cut and added: always a status, and the next query is answered."""
    keys = ("PatientName=A*", f"{STEP}.Modality=CT", f"{STEP}.ScheduledProcedureStepStartDate")
    whole = write(identifier(None, list(keys)), IMPLICIT)
    chance = random.Random(7)
    with pool(archive.conninfo, connections=1, seconds=5) as connections:
        queries = Queries(connections, 10)
        seen = {answered(queries, broken(whole, chance))[-1] for _ in range(300)}
        assert answered(queries, whole) == [0]
    assert seen <= {0x0000, 0xA900, 0xA700}
    assert {0x0000, 0xA900} <= seen


def broken(whole: bytes, chance: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.randint(1, 8)]
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 8))
    return bytes(data)


def test_only_peers_that_may_read_it_get_the_worklist(archive: Archive) -> None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        peers.add(connection, Known("STORER", "127.0.0.1", 0, ("echo", "store")))
        peers.add(connection, Known("READER", "127.0.0.1", 0, ("worklist",)))
    assert [status for status, _ in asked(archive, "PatientID", calling="STORER")] == [0x0124]
    assert [status for status, _ in asked(archive, "PatientID", calling="READER")] == [0]


def test_combined_date_and_time_matching_is_agreed(archive: Archive) -> None:
    worklist_uid = classes.WORKLIST_FIND
    request = Request(
        PROTOCOL_VERSION,
        "SANGAM",
        "CT1",
        APPLICATION_CONTEXT,
        (Proposal(1, worklist_uid, (IMPLICIT,)),),
        User(max_pdu=16384, extended={worklist_uid: bytes((1, 1, 1, 1))}),
    )
    found = negotiate(request, policy(archive.settings))
    assert isinstance(found, Negotiated)
    assert found.contexts[1].extended == bytes((1, 1, 0, 0))
