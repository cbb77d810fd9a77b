"""The analytical work order steps: a test of an order on a specimen, given to an analyzer.

Each is a row here and a Task: requested, accepted or rejected, in-progress, completed or
cancelled. IHE Laboratory Technical Framework, volume 2b, transaction LAB-28.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from adapters.hl7.outbound.record import Json
from fhir_server.caller import trusted
from fhir_server.database import OWN, Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.read import read_on
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

CALLER: Final = trusted("hl7", "law")
OPEN: Final = ("requested", "accepted", "in-progress")
# The states of a step in those of a Task; one that is being taken back is still under way.
_TASK: Final = {"cancelling": "in-progress"}
_COLUMNS: Final = "id, analyzer, request, specimen, code, task_id, state, outbound_id"

_HOLD: Final = f"SELECT pg_advisory_xact_lock(hashtextextended(%s, 0) # {OWN})"
_INSERT: Final = """
INSERT INTO hl7_awos (id, analyzer, request, specimen, code, task_id, state)
VALUES (%s, %s, %s, %s, %s, %s, 'requested')
"""
_OF_SPECIMENS: Final = f"""
SELECT {_COLUMNS} FROM hl7_awos
WHERE analyzer = %s AND request = ANY(%s) AND state = ANY(%s) ORDER BY created_at, id
"""
_OF_REQUESTS: Final = f"""
SELECT {_COLUMNS} FROM hl7_awos WHERE request = ANY(%s) AND state = ANY(%s)
ORDER BY created_at, id FOR UPDATE
"""
_OF_IDS: Final = f"SELECT {_COLUMNS} FROM hl7_awos WHERE id = ANY(%s) FOR UPDATE"
_OF_MESSAGE: Final = f"""
SELECT {_COLUMNS} FROM hl7_awos WHERE outbound_id = %s ORDER BY created_at, id FOR UPDATE
"""
_SENT: Final = "UPDATE hl7_awos SET outbound_id = %s WHERE id = ANY(%s)"
_STATE: Final = "UPDATE hl7_awos SET state = %s, changed_at = now() WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Step:
    """A row: `request` is a reference, `specimen` a label's number, `code` the analyzer's."""

    id: str
    analyzer: str
    request: str
    specimen: str
    code: str
    task_id: str
    state: str
    outbound_id: int | None


def new_number() -> str:
    """Return a number that no step had before or will have."""
    return f"AW{secrets.token_hex(8).upper()}"


async def hold(connection: Connection, analyzer: str) -> None:
    """Let nobody else give work to an analyzer until the transaction ends."""
    await connection.execute(_HOLD, (f"hl7_awos {analyzer}",))


async def _rows(connection: Connection, query: str, values: Sequence[Any]) -> list[Step]:
    cursor = await connection.execute(query, values)
    return [Step(*row) for row in await cursor.fetchall()]


async def of_analyzer(
    connection: Connection, analyzer: str, requests: Collection[str]
) -> list[Step]:
    """Return the open steps of an analyzer for these orders."""
    return await _rows(connection, _OF_SPECIMENS, (analyzer, list(requests), list(OPEN)))


async def of_requests(connection: Connection, requests: Collection[str]) -> list[Step]:
    """Return the open steps of all analyzers for these orders, locked."""
    return await _rows(connection, _OF_REQUESTS, (list(requests), list(OPEN)))


async def of_message(connection: Connection, outbound_id: int) -> list[Step]:
    """Return the steps that a message was last about, locked."""
    return await _rows(connection, _OF_MESSAGE, (outbound_id,))


async def of_ids(connection: Connection, ids: Collection[str]) -> list[Step]:
    """Return steps by their numbers, locked."""
    return await _rows(connection, _OF_IDS, (list(ids),))


async def add(
    server: Server,
    connection: Connection,
    base: str,
    analyzer: str,
    request: Json,
    specimen: str,
    code: str,
) -> Step:
    """Add a step with its Task; the order learns the number, by which results find it."""
    number = new_number()
    reference = f"ServiceRequest/{request['id']}"
    task = {
        "resourceType": "Task",
        "identifier": [{"system": f"{base}/hl7/awos", "value": number}],
        "basedOn": [{"reference": reference}],
        "status": "requested",
        "intent": "order",
        "code": {"text": f"Analyzer test {code}"},
        "focus": {"reference": reference},
        **({"for": request["subject"]} if "subject" in request else {}),
        "authoredOn": datetime.now(UTC).isoformat(timespec="seconds"),
        "owner": {
            "identifier": {"system": f"{base}/hl7/sender", "value": analyzer},
            "display": analyzer,
        },
    }
    named = {
        **request,
        "identifier": [*request.get("identifier", ()), *_names(base, analyzer, number)],
    }
    entries = [
        Entry("POST", "Task", resource=task, raw=json.encode(task)),
        Entry("PUT", reference, resource=named, raw=json.encode(named)),
    ]
    outcomes = await transaction(server, connection, CALLER, entries)
    made = Step(number, analyzer, reference, specimen, code, outcomes[0].id, "requested", None)
    await connection.execute(_INSERT, (number, analyzer, reference, specimen, code, made.task_id))
    return made


async def rename(
    server: Server, connection: Connection, base: str, request: Json, given: Sequence[Step]
) -> None:
    """Give an order the numbers of its steps again, where somebody wrote it without them."""
    has = {(one.get("system"), one.get("value")) for one in request.get("identifier", ())}
    names = [name for one in given for name in _names(base, one.analyzer, one.id)]
    missing = [one for one in names if (one["system"], one["value"]) not in has]
    if missing:
        named = {**request, "identifier": [*request.get("identifier", ()), *missing]}
        version = f'W/"{request["meta"]["versionId"]}"'
        reference = f"ServiceRequest/{request['id']}"
        raw = json.encode(named)
        entry = Entry("PUT", reference, resource=named, raw=raw, if_match=version)
        await transaction(server, connection, CALLER, [entry])


def _names(base: str, analyzer: str, number: str) -> list[Json]:
    """Return the number as results tell it: with its authority, and without."""
    ids = f"{base}/hl7/{analyzer}/ids"
    return [
        {"use": "secondary", "type": {"text": "AWOS"}, "system": system, "value": number}
        for system in (f"{ids}/AWOS", f"{ids}/placer")
    ]


async def sent(connection: Connection, ids: Collection[str], outbound_id: int) -> None:
    """Note the message in which steps went out."""
    await connection.execute(_SENT, (outbound_id, list(ids)))


async def move(server: Server, connection: Connection, step: Step, state: str) -> None:
    """Change the state of a step and its Task; a Task that somebody deleted is left so."""
    if step.state == state:
        return
    await connection.execute(_STATE, (state, step.id))
    try:
        found = await read_on(server, connection, CALLER, "Task", step.task_id)
    except (NotFound, Gone):
        return
    task: Json = json.decode_keeping(found.body)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    changed = {**task, "status": _TASK.get(state, state), "lastModified": now}
    entry = Entry("PUT", f"Task/{step.task_id}", resource=changed, raw=json.encode(changed))
    await transaction(server, connection, CALLER, [entry])
