"""The rows of imaging orders and of their scheduled steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from adapters.dicom.dataset.names import searched
from adapters.dicom.dataset.transliteration import name_in
from adapters.dicom.worklist import numbers as ids
from adapters.dicom.worklist.keywords import NAMES, PATIENT_NAME
from adapters.dicom.worklist.numbers import Numbers
from adapters.dicom.worklist.progress import STATUS
from fhir_server.database import Connection

_ORDER: Final = """
SELECT study_instance_uid, accession_number, accession_issuer, requested_procedure_id
FROM worklist_order WHERE service_request = %s
"""
_NEXT_ORDER: Final = "SELECT nextval(pg_get_serial_sequence('worklist_order', 'number'))"
_PUT_ORDER: Final = """
INSERT INTO worklist_order (service_request, number, study_instance_uid, accession_number,
    accession_issuer, requested_procedure_id, uses)
OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (service_request) DO UPDATE SET study_instance_uid = excluded.study_instance_uid,
    accession_number = excluded.accession_number, accession_issuer = excluded.accession_issuer,
    uses = excluded.uses
"""
# The occurrence becomes the appointment when that is made, unless it was begun.
_BOOKED: Final = """
UPDATE worklist_step SET appointment = %(appointment)s
WHERE service_request = %(order)s AND appointment = '' AND performed = '{}'
  AND NOT EXISTS (SELECT FROM worklist_step AS other WHERE other.service_request = %(order)s
                  AND other.appointment = %(appointment)s)
"""
_STEP_ID: Final = (
    "SELECT step_id FROM worklist_step WHERE service_request = %s AND appointment = %s"
)
_NEXT_STEP: Final = "SELECT nextval(pg_get_serial_sequence('worklist_step', 'id'))"
_PUT_STEP: Final = f"""
INSERT INTO worklist_step AS w (id, service_request, appointment, step_id, state, status,
    shown_until, start_date, start_time, modality, stations, study_instance_uid, accession_number,
    requested_procedure_id, patient_id, attributes, folded, step, step_folded)
OVERRIDING SYSTEM VALUE
VALUES (%(id)s, %(service_request)s, %(appointment)s, %(step_id)s, %(state)s, %(state)s,
    %(shown_until)s, %(start_date)s, %(start_time)s, %(modality)s, %(stations)s, %(study)s,
    %(accession)s, %(procedure)s, %(patient_id)s, %(attributes)s, %(folded)s, %(step)s,
    %(step_folded)s)
ON CONFLICT (service_request, appointment) DO UPDATE SET state = excluded.state,
    status = {STATUS.format(state="excluded.state", performed="w.performed")},
    shown_until = excluded.shown_until, start_date = excluded.start_date,
    start_time = excluded.start_time, modality = excluded.modality,
    stations = excluded.stations, study_instance_uid = excluded.study_instance_uid,
    accession_number = excluded.accession_number,
    requested_procedure_id = excluded.requested_procedure_id,
    patient_id = excluded.patient_id, attributes = excluded.attributes,
    folded = excluded.folded, step = excluded.step, step_folded = excluded.step_folded,
    changed_at = clock_timestamp()
"""
_LEAVE: Final = """
UPDATE worklist_step SET state = '', status = '', changed_at = clock_timestamp()
WHERE service_request = %s AND state <> '' AND appointment <> ALL(%s::text[])
"""
_FORGET: Final = "UPDATE worklist_order SET uses = '{}' WHERE service_request = %s"
_USING: Final = "SELECT service_request FROM worklist_order WHERE uses && %s::text[] ORDER BY 1"

Attributes = dict[str, list[Any]]

ASCII: Final = ()
"""The character sets of a peer that knows no other letters."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step that is listed: whose it is, its state and what it says."""

    service_request: str
    appointment: str
    step_id: str
    state: str
    shown_until: datetime | None
    numbers: Numbers
    attributes: Attributes
    step: Attributes


async def numbers_of(connection: Connection, service_request: str) -> Numbers | None:
    """Return the numbers that an order has got, None before that."""
    row = await (await connection.execute(_ORDER, (service_request,))).fetchone()
    return Numbers(*row) if row else None


async def new_numbers(connection: Connection, uuid: UUID, system: str, prefix: str) -> Numbers:
    """Return numbers that no other order has."""
    number = await _next(connection, _NEXT_ORDER)
    return Numbers(ids.study_uid(uuid), f"{prefix}{number:08d}", system, ids.procedure_id(number))


async def step_id(connection: Connection, service_request: str, appointment: str) -> str:
    """Return the id of a step: the one that it has, or a new one."""
    if appointment:
        given = {"order": service_request, "appointment": appointment}
        await connection.execute(_BOOKED, given)
    cursor = await connection.execute(_STEP_ID, (service_request, appointment))
    row = await cursor.fetchone()
    return str(row[0]) if row else ids.step_id(await _next(connection, _NEXT_STEP))


async def _next(connection: Connection, query: str) -> int:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return int(row[0])


async def put(
    connection: Connection, order: str, numbers: Numbers, rows: Sequence[Row], uses: Sequence[str]
) -> None:
    """Write an order with its steps; others that it had leave the list."""
    values = (
        order,
        ids.number_of(numbers.requested_procedure_id),
        numbers.study_instance_uid,
        numbers.accession_number,
        numbers.accession_issuer,
        numbers.requested_procedure_id,
        list(uses),
    )
    await connection.execute(_PUT_ORDER, values)
    for row in rows:
        await connection.execute(_PUT_STEP, _values(row))
    await connection.execute(_LEAVE, (order, [row.appointment for row in rows]))


async def leave(connection: Connection, order: str) -> None:
    """Take all steps of an order off the list."""
    await connection.execute(_LEAVE, (order, []))
    await connection.execute(_FORGET, (order,))


async def using(connection: Connection, references: Sequence[str]) -> list[str]:
    """Return the orders whose steps say something of one of these resources."""
    rows = await (await connection.execute(_USING, (list(references),))).fetchall()
    return [str(row[0]) for row in rows]


def _values(row: Row) -> dict[str, Any]:
    return {
        "id": ids.number_of(row.step_id),
        "service_request": row.service_request,
        "appointment": row.appointment,
        "step_id": row.step_id,
        "state": row.state,
        "shown_until": row.shown_until,
        "start_date": row.step["ScheduledProcedureStepStartDate"][0],
        "start_time": f"{row.step['ScheduledProcedureStepStartTime'][0]}.000000",
        "modality": _first(row.step, "Modality"),
        "stations": row.step.get("ScheduledStationAETitle", []),
        "study": row.numbers.study_instance_uid,
        "accession": row.numbers.accession_number,
        "procedure": row.numbers.requested_procedure_id,
        "patient_id": _first(row.attributes, "PatientID"),
        "attributes": Jsonb(row.attributes),
        "folded": Jsonb(folded(row.attributes)),
        "step": Jsonb(row.step),
        "step_folded": Jsonb(folded(row.step)),
    }


def folded(attributes: Attributes) -> dict[str, list[str]]:
    """Return the groups of each person name as they are compared.

    A patient is found by his other names too, and everyone in Latin letters: a peer whose
    character set lacks the letters of a name is told these, and asks by them.
    """
    known = {keyword: values for keyword, values in attributes.items() if keyword in NAMES}
    if PATIENT_NAME in known:
        known[PATIENT_NAME] = [*known[PATIENT_NAME], *known.get("OtherPatientNames", ())]
    return {keyword: _compared(values) for keyword, values in known.items()}


def _compared(names: Sequence[object]) -> list[str]:
    groups = (
        group
        for name in map(str, names)
        for form in (name, name_in(name, ASCII))
        for group in searched(form)
    )
    return [group for group in dict.fromkeys(groups) if group]


def _first(attributes: Attributes, keyword: str) -> str:
    return str(next(iter(attributes.get(keyword, ())), ""))
