"""What becomes of scheduled steps while modalities perform them.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.4.14
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.dicom.dataset.performed import COMPLETED, DISCONTINUED, IN_PROGRESS
from fhir_server.database import Connection

STATUS: Final = """
CASE WHEN {state} = '' THEN ''
     WHEN {performed} @? '$.* ? (@ == "IN PROGRESS")' THEN 'STARTED'
     WHEN {performed} <> '{{}}' THEN ''
     ELSE {state} END
"""
"""The status of a row that follows from its state and what was performed; "": not listed.

A step stays while one of its MPPS is in progress, and leaves when all have ended.
"""

_STEP = "step_id, service_request, appointment, study_instance_uid, accession_number, performed"
_CANDIDATES = f"""
SELECT {_STEP}, requested_procedure_id FROM worklist_step
WHERE step_id = %(step)s AND step_id <> ''
   OR study_instance_uid = %(study)s AND %(study)s <> ''
   OR accession_number = %(accession)s AND %(accession)s <> ''
ORDER BY id FOR UPDATE
"""
_NOW_PERFORMED = "performed || jsonb_build_object(%(mpps)s::text, %(status)s::text)"
_SET = f"""
UPDATE worklist_step SET performed = {_NOW_PERFORMED}, changed_at = clock_timestamp(),
    status = {STATUS.format(state="state", performed=f"({_NOW_PERFORMED})")}
WHERE step_id = ANY(%(steps)s) RETURNING {_STEP}
"""
_RELEASE = f"""
UPDATE worklist_step SET performed = performed - %(mpps)s::text, changed_at = clock_timestamp(),
    status = {STATUS.format(state="state", performed="(performed - %(mpps)s::text)")}
WHERE step_id = ANY(%(steps)s) RETURNING {_STEP}
"""
_OF_MPPS = "SELECT step_id FROM worklist_step WHERE performed ? %s ORDER BY id FOR UPDATE"
_OF_ORDER = f"SELECT {_STEP} FROM worklist_step WHERE service_request = %s AND state <> ''"


@dataclass(frozen=True, slots=True)
class Reference:
    """What an MPPS says of a scheduled step, an item of (0040,0270); "" where it is silent."""

    study_instance_uid: str = ""
    accession_number: str = ""
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A scheduled step: ids of its ServiceRequest and Appointment ("" without one).

    `performed` is the status of each MPPS of it, by SOP Instance UID.
    """

    id: str
    service_request: str
    appointment: str
    study_instance_uid: str
    accession_number: str
    performed: dict[str, str]

    @property
    def is_completed(self) -> bool:
        """Whether it was performed, and nothing of it is under way."""
        states = set(self.performed.values())
        return COMPLETED in states and IN_PROGRESS not in states


async def started(connection: Connection, mpps: str, references: Sequence[Reference]) -> list[Step]:
    """Note that an MPPS performs these steps, and return those that are ours.

    They stay on the list as STARTED. What names nothing of ours is passed over.
    """
    found = {id_: None for one in references for id_ in await _named(connection, one)}
    return await _set(connection, mpps, IN_PROGRESS, list(found))


async def completed(connection: Connection, mpps: str) -> list[Step]:
    """Note that an MPPS is COMPLETED; its steps leave when nothing else performs them."""
    return await _set(connection, mpps, COMPLETED, await _of(connection, mpps))


async def discontinued(
    connection: Connection, mpps: str, *, wrong_entry: bool = False
) -> list[Step]:
    """Note that an MPPS is DISCONTINUED; its steps leave when nothing else performs them.

    `wrong_entry` (DCM 110514): nothing of it was done, and the steps return to the list.
    """
    steps = await _of(connection, mpps)
    if not wrong_entry:
        return await _set(connection, mpps, DISCONTINUED, steps)
    cursor = await connection.execute(_RELEASE, {"mpps": mpps, "steps": steps})
    return [_step(row) for row in await cursor.fetchall()]


async def steps_of(connection: Connection, service_request: str) -> list[Step]:
    """Return the steps of an order that were not cancelled, whatever was performed."""
    cursor = await connection.execute(_OF_ORDER, (service_request,))
    return [_step(row) for row in await cursor.fetchall()]


async def _of(connection: Connection, mpps: str) -> list[str]:
    cursor = await connection.execute(_OF_MPPS, (mpps,))
    return [str(row[0]) for row in await cursor.fetchall()]


async def _set(connection: Connection, mpps: str, status: str, steps: list[str]) -> list[Step]:
    values = {"mpps": mpps, "status": status, "steps": steps}
    cursor = await connection.execute(_SET, values)
    return [_step(row) for row in await cursor.fetchall()]


async def _named(connection: Connection, reference: Reference) -> list[str]:
    cursor = await connection.execute(
        _CANDIDATES,
        {
            "step": reference.scheduled_procedure_step_id,
            "study": reference.study_instance_uid,
            "accession": reference.accession_number,
        },
    )
    rows = await cursor.fetchall()
    return meant(reference, [(_step(row), str(row[6])) for row in rows])


def meant(reference: Reference, candidates: Sequence[tuple[Step, str]]) -> list[str]:
    """Return the ids of the steps that are meant, of candidates with requested procedure id.

    A step's own id decides, unless study and accession are another's: other systems count
    steps too. Without it, all steps of the study or the accession are meant, those of the
    requested procedure if it is among them.
    """
    if id_ := reference.scheduled_procedure_step_id:
        own = [step for step, _ in candidates if step.id == id_]
        return [step.id for step in own if _agrees(reference, step)]
    of_procedure = [
        step for step, procedure in candidates if procedure == reference.requested_procedure_id
    ]
    return [step.id for step in of_procedure or [step for step, _ in candidates]]


def _agrees(reference: Reference, step: Step) -> bool:
    """Whether the study or the accession is the step's, or neither is said."""
    told = (reference.study_instance_uid, reference.accession_number)
    known = (step.study_instance_uid, step.accession_number)
    return not any(told) or any(one and one == ours for one, ours in zip(told, known, strict=True))


def _step(row: Sequence[Any]) -> Step:
    id_, service_request, appointment, study, accession, performed, *_ = row
    return Step(id_, service_request, appointment, study, accession, dict(performed))
