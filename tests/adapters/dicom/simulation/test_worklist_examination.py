"""From an order to its completion, by a modality that takes it from the worklist."""

from typing import Any

import anyio.to_thread
import pytest

from adapters.dicom.simulation.modality import Course, Script, entries, play
from adapters.dicom.worklist import follow
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.server import Server
from tests.adapters.dicom.conftest import serving
from tests.adapters.dicom.mpps.test_mpps_apply import _ran, only, write
from tests.adapters.dicom.simulation.test_played_modality import calling, exam
from tests.cluster import no_others

IMAGING = {"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}
CT = {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}
SCRIPT = Script("CT1", frozenset(("worklist", "mpps")))


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    dicom = DicomSettings(quiet_seconds=0)
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=dicom)


async def ordered(server: Server) -> tuple[str, list[str]]:
    """Write an order with two appointments, and let the worklist follow."""
    await no_others(server.database)
    await follow.look(server)
    name = [{"family": "Devi", "given": ["Sita"]}]
    known = [{"system": "urn:sangam:patient-id", "value": "P1"}]
    patient = await write(server, {"resourceType": "Patient", "identifier": known, "name": name})
    order = await write(
        server,
        {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "category": [IMAGING],
            "orderDetail": [CT],
            "code": {"text": "CT chest"},
            "subject": {"reference": patient},
        },
    )
    appointments = [
        await write(
            server,
            {
                "resourceType": "Appointment",
                "status": "arrived",
                "start": f"2024-01-05T0{hour}:00:00Z",
                "end": f"2024-01-05T0{hour}:30:00Z",
                "basedOn": [{"reference": order}],
                "participant": [{"actor": {"reference": patient}, "status": "accepted"}],
            },
        )
        for hour in (8, 9)
    ]
    await followed(server)
    return order, appointments


async def followed(server: Server) -> None:
    """Let FHIR follow the modality, and the worklist FHIR."""
    while await _ran(server):
        pass
    for _ in range(2):
        await no_others(server.database)
        await follow.look(server)


async def examined(server: Server, seed: int) -> tuple[Course, int]:
    """Play an examination; return its course, and how many entries there were before it."""

    def played() -> tuple[Course, int]:
        with serving(server.settings, server.database.conninfo) as archive:
            with calling(archive)(ENTRIES) as sender:
                before = len(list(entries(sender, SCRIPT, "CT")))
            return play(exam(seed=seed), SCRIPT, calling(archive), lambda _: None), before

    return await anyio.to_thread.run_sync(played)


ENTRIES = [("1.2.840.10008.5.1.4.31", "1.2.840.10008.1.2")]


async def states(server: Server, *references: str) -> list[str]:
    found = []
    for one in references:
        kind, _, id_ = one.partition("/")
        found.append((await only(server, f"{kind}?_id={id_}"))["status"])
    return found


async def test_an_order_ends_with_its_last_step(server: Server) -> None:
    order, appointments = await ordered(server)
    course, before = await examined(server, 1)
    await followed(server)
    assert (course.failures, before, course.exam.patient_id) == ([], 2, "P1")
    assert await states(server, order) == ["active"]
    assert sorted(await states(server, *appointments)) == ["arrived", "fulfilled"]
    course, before = await examined(server, 2)
    await followed(server)
    assert (course.failures, before) == ([], 1)
    assert await states(server, order, *appointments) == ["completed", "fulfilled", "fulfilled"]
    course, before = await examined(server, 3)
    assert (before, course.exam.patient_id) == (0, "SIM00000003")
