"""The job that brings FHIR up to date with a performed procedure step.

Procedure, order, Task, Appointment and ImagingStudy change in one transaction. It reads the
step as it is now, so that several messages may be one change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from adapters.dicom.dataset.attributes import text
from adapters.dicom.dataset.performed import COMPLETED, DISCONTINUED, IN_PROGRESS
from adapters.dicom.mpps import content, follow_up, orders, rows
from adapters.dicom.mpps import procedure as mapping
from adapters.dicom.mpps.content import Json
from adapters.dicom.mpps.procedure import Found
from adapters.dicom.mpps.rows import Performed
from adapters.dicom.storage.defaults import completed as with_defaults
from adapters.dicom.studies.expected import Expected, expect, withdraw
from adapters.dicom.studies.patients import held, identifier
from adapters.dicom.studies.project import bring_up_to_date, lock
from adapters.dicom.studies.reading import (
    CALLER,
    literal,
    location,
    read,
    search,
    survivor,
    token,
)
from adapters.dicom.studies.subject import Subject, agreed_issuers, subject
from adapters.dicom.worklist import progress
from adapters.dicom.worklist.progress import Reference, Step
from fhir_server.database import Connection
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.patch import json_patch_body
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

CONFLICT: Final = "patient"
"""The flag of a step whose patient is another than that of the order it names."""

_NEW = "urn:uuid:0d0b9a1c-6a2c-4f7e-8f3b-7d2c1f0f6a55"
_CANCELLED = """
SELECT bool_and(state = 'DISCONTINUED' AND NOT withdrawn) FROM dicom_mpps
WHERE studies @> ARRAY[%s::text COLLATE "C"]
"""
_DONE = {"completed": COMPLETED, "stopped": DISCONTINUED, "not-done": DISCONTINUED}


@dataclass(frozen=True, slots=True)
class _Performed:
    """A step with all that it leads to."""

    step: Performed
    attributes: Mapping[str, Any]
    orders: Sequence[Json]
    scheduled: Sequence[Step]
    subject: Subject


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Bring FHIR up to date with the step of `payload["mpps"]`."""
    async with server.database.transaction() as connection:
        step = await rows.to_apply(connection, str(payload["mpps"]))
        if step is not None and step.applied < step.version:
            for study in sorted(step.studies):
                await lock(connection, study)
            await _apply(server, connection, step)


async def _apply(server: Server, connection: Connection, step: Performed) -> None:
    one, flags = await _gathered(server, connection, step)
    made, before = await _procedure(server, connection, one)
    changed = follow_up.differences(before or {}, made)
    entries: list[Entry] = [*one.subject.entries]
    if before is None:
        entries.append(Entry("POST", "Procedure", made, full_url=_NEW))
    elif changed:
        entries.append(_patch(literal(before), changed))
    for order in one.orders:
        entries += await _of_order(server, connection, one, order)
    outcomes = await transaction(server, connection, CALLER, _distinct(entries))
    ids = {outcome.type: f"{outcome.type}/{outcome.id}" for outcome in reversed(outcomes)}
    shown = literal(before) if before else ids["Procedure"]
    reference = one.subject.reference.get("reference")
    patient = ids["Patient"] if one.subject.entries else reference
    await _tell_studies(server, connection, one, shown, patient)
    await rows.applied(connection, step, shown.partition("/")[2], flags)


async def _gathered(
    server: Server, connection: Connection, step: Performed
) -> tuple[_Performed, list[str]]:
    """Find what the step leads to; an order of another patient is not followed."""
    attributes = with_defaults(step.attributes, step.issuer, "")
    scheduled = await _scheduled(connection, step, attributes)
    found = await _orders(server, connection, attributes, scheduled)
    person = await subject(server, connection, attributes, found)
    if await _agree(server, connection, person, found):
        return _Performed(step, attributes, found, scheduled, person), []
    # Nothing may become of an order because of what was done to somebody else.
    await progress.discontinued(connection, step.sop_instance_uid, wrong_entry=True)
    own = identifier(attributes, agreed_issuers(server.settings.dicom))
    nobody = Subject("conflict", held(attributes, own))
    return _Performed(step, attributes, (), (), nobody), [CONFLICT]


async def _scheduled(
    connection: Connection, step: Performed, attributes: Mapping[str, Any]
) -> list[Step]:
    """Tell the worklist what becomes of its steps, and return those that are meant."""
    uid = step.sop_instance_uid
    found = await progress.started(connection, uid, _references(attributes))
    if step.state == COMPLETED:
        return await progress.completed(connection, uid)
    if step.state == DISCONTINUED:
        return await progress.discontinued(connection, uid, wrong_entry=step.withdrawn)
    return found


def _references(attributes: Mapping[str, Any]) -> list[Reference]:
    return [
        Reference(
            text(item, "StudyInstanceUID"),
            text(item, "AccessionNumber"),
            text(item, "RequestedProcedureID"),
            text(item, "ScheduledProcedureStepID"),
        )
        for item in content.scheduled(attributes)
    ]


async def _orders(
    server: Server,
    connection: Connection,
    attributes: Mapping[str, Any],
    scheduled: Sequence[Step],
) -> list[Json]:
    """Return the orders of the scheduled steps, else those that the numbers lead to."""
    ids = dict.fromkeys(one.service_request for one in scheduled)
    known = [await read(server, connection, f"ServiceRequest/{id_}") for id_ in ids]
    if found := [one for one in known if one]:
        return found
    wanted = [token(*_parts(one)) for one in orders.tokens(attributes)]
    if not wanted:
        return []
    url = f"ServiceRequest?identifier={','.join(wanted)}&_count=50"
    return orders.meant(attributes, await search(server, connection, url))


def _parts(value: str) -> tuple[str, str]:
    system, bar, rest = value.partition("|")
    return (system, rest) if bar and system == mapping.DICOM_UID else ("", value)


async def _agree(
    server: Server, connection: Connection, person: Subject, found: Sequence[Json]
) -> bool:
    """Return whether the step's patient is that of each order, as far as both are known."""
    for order in found:
        named = str(order.get("subject", {}).get("reference", ""))
        known = await read(server, connection, named) if named.startswith("Patient/") else None
        if known is None:
            continue
        if person.patient is None:
            return False
        if literal(await survivor(server, connection, known)) != literal(person.patient):
            return False
    return True


async def _procedure(
    server: Server, connection: Connection, one: _Performed
) -> tuple[Json, Json | None]:
    """Return the Procedure as the step makes it, and as it is stored."""
    step, attributes = one.step, one.attributes
    url = f"Procedure?identifier={token(mapping.DICOM_UID, f'urn:oid:{step.sop_instance_uid}')}"
    stored = await search(server, connection, url)
    encounters = [str(order.get("encounter", {}).get("reference", "")) for order in one.orders]
    found = Found(
        one.subject.reference,
        ZoneInfo(step.timezone or server.settings.dicom.timezone),
        tuple(map(literal, one.orders)),
        next(filter(None, encounters), ""),
        await _device(server, connection, attributes),
        await _location(server, connection, attributes),
    )
    made = mapping.procedure(
        step.sop_instance_uid, step.state, attributes, found, withdrawn=step.withdrawn
    )
    return made, stored[0] if stored else None


async def _device(
    server: Server, connection: Connection, attributes: Mapping[str, Any]
) -> Json | None:
    """Return the reference to the station: to its Device where there is one."""
    named = mapping.station(attributes, server.settings.dicom.ae_title_system)
    if named is None:
        return None
    title = named["identifier"]
    known = await search(server, connection, f"Device?identifier={token('', title['value'])}")
    found = [one for one in known if mapping.is_station(one, title)]
    return {"reference": literal(found[0])} if len(found) == 1 else named


async def _location(
    server: Server, connection: Connection, attributes: Mapping[str, Any]
) -> Json | None:
    """Return the reference to where it was performed: to its Location where there is one."""
    named = text(attributes, "PerformedLocation")
    if not named:
        return None
    found = await location(server, connection, named)
    return {"reference": found, "display": named} if found else {"display": named}


async def _of_order(
    server: Server, connection: Connection, one: _Performed, order: Json
) -> list[Entry]:
    """Return what becomes of an order, its Tasks and its Appointments."""
    state = await _state(server, connection, one, order)
    withdrawn = one.step.withdrawn
    completes = server.settings.dicom.complete_order_on_mpps and not withdrawn
    reason = mapping.reason(one.attributes)
    tasks = await _tasks(server, connection, order)
    appointments = await _appointments(server, connection, one, order)
    changes = [
        (order, follow_up.request(order, state) if completes else None),
        *((each, follow_up.task(each, state, reason, withdrawn=withdrawn)) for each in tasks),
        *((each, follow_up.appointment(each)) for each in appointments),
    ]
    return [_patch(literal(resource), changed) for resource, changed in changes if changed]


async def _state(server: Server, connection: Connection, one: _Performed, order: Json) -> str:
    """Return how far an order is: by the steps of the worklist, else by its Procedures."""
    scheduled = await progress.steps_of(connection, str(order["id"]))
    if scheduled:
        return follow_up.together([_of_step(step) for step in scheduled])
    url = f"Procedure?based-on={literal(order)}&category={mapping.IMAGING}&_count=100"
    own = mapping.identifier(one.step.sop_instance_uid)
    others = [
        _DONE.get(str(found.get("status")), IN_PROGRESS)
        for found in await search(server, connection, url)
        if found.get("status") != "entered-in-error" and own not in found.get("identifier", ())
    ]
    return follow_up.attempted([*others, *([] if one.step.withdrawn else [one.step.state])])


def _of_step(step: Step) -> str:
    if step.is_completed:
        return COMPLETED
    states = set(step.performed.values())
    return DISCONTINUED if states == {DISCONTINUED} else IN_PROGRESS if states else ""


async def _tasks(server: Server, connection: Connection, order: Json) -> list[Json]:
    found: dict[str, Json] = {}
    for criteria in ("focus", "based-on"):
        url = f"Task?{criteria}={literal(order)}&_count=50"
        found |= {str(task["id"]): task for task in await search(server, connection, url)}
    return [task for task in found.values() if follow_up.fulfils(task)]


async def _appointments(
    server: Server, connection: Connection, one: _Performed, order: Json
) -> list[Json]:
    """Return the Appointments of what was completed."""
    own = [step for step in one.scheduled if step.service_request == order["id"]]
    if own:
        # What else was begun for the step may have been broken off after it was completed.
        ids = dict.fromkeys(s.appointment for s in own if s.is_completed and s.appointment)
        known = [await read(server, connection, f"Appointment/{id_}") for id_ in ids]
        return [found for found in known if found]
    if one.step.state != COMPLETED:
        return []
    url = f"Appointment?based-on={literal(order)}&_count=2"
    found = await search(server, connection, url)
    return found if len(found) == 1 else []


async def _tell_studies(
    server: Server, connection: Connection, one: _Performed, shown: str, patient: str | None
) -> None:
    """Write the ImagingStudies, in order of their UIDs as locks are.

    A step that only goes on leaves its study to the fold, since each version stores all of it.
    """
    encounters = [str(order.get("encounter", {}).get("reference", "")) for order in one.orders]
    for study in sorted(one.step.studies):
        said = Expected(
            subject=patient,
            encounter=next(filter(None, encounters), None),
            requests=tuple(map(literal, one.orders)),
            procedures=() if one.step.withdrawn else (shown,),
            attributes=mapping.study_attributes(one.attributes),
            cancelled=await _cancelled(connection, study),
        )
        await expect(connection, study, said)
        if one.step.withdrawn:
            await withdraw(connection, study, shown)
        if one.step.state != IN_PROGRESS or one.step.procedure is None:
            await bring_up_to_date(server, connection, study)


async def _cancelled(connection: Connection, study: str) -> bool:
    """Return whether all steps of a study were discontinued."""
    row = await (await connection.execute(_CANCELLED, (study,))).fetchone()
    return bool(row and row[0])


def _patch(url: str, changed: Mapping[str, Any]) -> Entry:
    operations = [
        {"op": "add", "path": f"/{name}", "value": value} for name, value in changed.items()
    ]
    return Entry("PATCH", url, json_patch_body(msgspec.json.encode(operations)))


def _distinct(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries, one for each resource that is changed; two orders may share a Task."""
    found: dict[tuple[str, str], Entry] = {}
    for number, one in enumerate(entries):
        found.setdefault((one.method, one.url if one.method == "PATCH" else str(number)), one)
    return list(found.values())
