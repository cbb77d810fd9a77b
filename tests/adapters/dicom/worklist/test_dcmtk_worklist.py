"""dcmtk's findscu asks for the worklist."""

import subprocess
from collections.abc import Callable

import anyio.to_thread

from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write
from tests.adapters.dicom.worklist.test_worklist_find import other


async def test_findscu_reads_the_worklist(
    modality: Archive, write: Write, dcmtk: Callable[[str], str]
) -> None:
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT, *other(1))
    found = await anyio.to_thread.run_sync(findscu, dcmtk("findscu"), modality)
    assert found == ["MR-21", "MR of the head", "ARRIVED"]


def findscu(program: str, archive: Archive) -> list[str]:
    """Return the values that are not the query's own, in order."""
    host, port = archive.address
    step = "ScheduledProcedureStepSequence[0]"
    command = [
        *(program, "-v", "-W", "-aet", "MR1", "-aec", "SANGAM"),
        *("-k", "PatientID", "-k", f"{step}.Modality=MR"),
        *("-k", f"{step}.ScheduledProcedureStepStartDate=20261101-20261130"),
        *("-k", f"{step}.ScheduledProcedureStepStatus"),
        *("-k", f"{step}.ScheduledProcedureStepDescription"),
        *(host, str(port)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).partition("Find Response")[2].splitlines()
    values = [line.split("[", 1)[1].split("]")[0].strip() for line in lines if " [" in line]
    wanted = {"MR-21", "MR-1", "ARRIVED", "SCHEDULED", "MR of the head", "CT of the chest"}
    return [one for one in values if one in wanted]
