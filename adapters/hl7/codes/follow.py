"""The job that asks for translations, and takes up those that are given.

A Task is made for each code that has none; one that is completed by REST settles what the
code means, and what was stored or held before is put right. The change feed tells whether
any Task was written. While one is open, or something is to be repaired, the job comes back.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from adapters.hl7.codes import repair
from adapters.hl7.codes.settle import SEEN_SECONDS, settle
from adapters.hl7.codes.task import Asked, answer, identifier, inputs, task
from adapters.hl7.inbox.apply import begin
from adapters.hl7.inbox.untranslated import JOB
from adapters.hl7.mapping.context import Json
from adapters.hl7.profiles import maps
from fhir_server import changes, feed_readers
from fhir_server.caller import trusted
from fhir_server.changes import Cursor
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.read import read_on
from fhir_server.interactions.transaction import transaction
from fhir_server.jobs import Job, enqueue
from fhir_server.r4 import json
from fhir_server.server import Server

_CALLER: Final = trusted("hl7", "worker")
_PAGE: Final = 50

_COLUMNS: Final = "sender, system, code, fields, display, unit, count"
# Who sends a new code with each message is no reason for a Task each.
_MOST_OPEN: Final = 1_000

_TELL: Final = f"""
SELECT {_COLUMNS}, task_id FROM hl7_code AS c
WHERE state = 'open' AND count >= 2 * told AND (task_id IS NOT NULL OR %s > (
    SELECT count(*) FROM hl7_code AS o
    WHERE o.sender = c.sender AND o.state = 'open' AND o.task_id IS NOT NULL
)) ORDER BY sender, system, code LIMIT %s
"""
_TOLD: Final = """
UPDATE hl7_code SET task_id = %s, told = %s WHERE sender = %s AND system = %s AND code = %s
"""
_ASKED: Final = f"""
SELECT {_COLUMNS}, task_id FROM hl7_code
WHERE state = 'open' AND task_id IS NOT NULL AND (sender, system, code) > (%s, %s, %s)
ORDER BY sender, system, code LIMIT %s
"""
_SETTLED: Final = f"""
SELECT {_COLUMNS}, target FROM hl7_code
WHERE state = 'settled' AND last_at < now() - %s * interval '1 second'
ORDER BY sender, system, code LIMIT %s
"""
_REPAIRED: Final = """
UPDATE hl7_code SET state = %s, told = CASE WHEN %s = 'open' THEN 0 ELSE told END
WHERE sender = %s AND system = %s AND code = %s AND state = 'settled'
"""
_LEFT: Final = "SELECT EXISTS (SELECT FROM hl7_code WHERE state IN ('open', 'settled'))"

_READER: Final = "hl7.codes"


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Ask, take up answers, repair; come back while there is something to wait for."""
    base = (await begin(server)).base
    await _tell(server, base)
    reached = await _written(server)
    if reached is not None:
        await _answers(server, base)
        async with server.database.statement() as connection:
            await feed_readers.move(connection, _READER, reached)
    await _repair(server, base)
    async with server.database.transaction() as connection:
        row = await (await connection.execute(_LEFT)).fetchone()
        if row and row[0]:
            later = server.settings.hl7.unmapped_poll_seconds
            await enqueue(connection, [Job(JOB.kind, {}, JOB.dedupe_key, delay_seconds=later)])
        else:  # whoever asks next looks from there, not from where nobody waited any more
            await feed_readers.forget(connection, _READER)


async def _tell(server: Server, base: str) -> None:
    """Make the Tasks that are missing, and tell others how often their code has come."""
    while True:
        async with server.database.transaction() as connection:
            rows = await (await connection.execute(_TELL, (_MOST_OPEN, _PAGE))).fetchall()
            for *said, task_id in rows:
                asked = _asked(said)
                id_ = await _write_task(server, connection, base, asked, task_id)
                key = (asked.sender, asked.system, asked.code)
                await connection.execute(_TOLD, (id_, max(asked.count, 1), *key))
        if len(rows) < _PAGE:
            return


async def _write_task(
    server: Server, connection: Connection, base: str, asked: Asked, task_id: str | None
) -> str:
    """Write the Task of a code, leaving as it is what others did with it; return its id."""
    now = datetime.now(UTC)
    stored = await _present(server, connection, task_id) if task_id else None
    if stored is not None and answer(stored, is_unit=asked.is_unit)[0] == "open":
        told = {**stored, "input": inputs(base, asked)}
        return await _put(server, connection, told)
    made = task(base, asked, now)
    if stored is not None:  # it was answered, and the answer is gone
        return await _put(server, connection, {**stored, **made, "output": []})
    one = identifier(base, asked)
    query = f"identifier={one['system']}|{one['value']}"
    entry = Entry("POST", "Task", resource=made, raw=json.encode(made), if_none_exist=query)
    (outcome,) = await transaction(server, connection, _CALLER, [entry])
    return outcome.id


async def _put(server: Server, connection: Connection, resource: Json) -> str:
    resource = {name: value for name, value in resource.items() if value != []}
    version = f'W/"{resource["meta"]["versionId"]}"'
    entry = Entry(
        "PUT", f"Task/{resource['id']}", resource, json.encode(resource), if_match=version
    )
    await transaction(server, connection, _CALLER, [entry])
    return str(resource["id"])


async def _written(server: Server) -> Cursor | None:
    """Return how far the change feed goes, None where no Task was written since."""
    types = [server.definitions.type_ids["Task"]]
    async with server.database.statement() as connection:
        reached = await feed_readers.place(connection, _READER)
        if reached is None:
            return await changes.latest(connection)
        seen, more = False, True
        while more:
            page = await changes.read(connection, reached, _PAGE, types)
            seen, more, reached = seen or bool(page.changes), page.more, page.reached
        if not seen:
            await feed_readers.move(connection, _READER, reached)
        return reached if seen else None


async def _answers(server: Server, base: str) -> None:
    """Take up the answers of all open Tasks, page by page."""
    after = ("", "", "")
    while True:
        async with server.database.transaction() as connection:
            rows = await (await connection.execute(_ASKED, (*after, _PAGE))).fetchall()
            for *said, task_id in rows:
                await _take_up(server, connection, base, _asked(said), task_id)
        if len(rows) < _PAGE:
            return
        after = rows[-1][:3]


async def _take_up(
    server: Server, connection: Connection, base: str, asked: Asked, task_id: str
) -> None:
    stored = await _present(server, connection, task_id)
    if stored is None:  # somebody deleted it, so the code is asked for again
        key = (asked.sender, asked.system, asked.code)
        await connection.execute(_TOLD, (None, 0, *key))
        return
    came, meant = answer(stored, is_unit=asked.is_unit)
    if came == "unclear":
        wanted = "a UCUM code" if asked.is_unit else "a coding with system and code"
        reason = {"text": f"The output needs {wanted}"}
        await _put(server, connection, {**stored, "status": "requested", "statusReason": reason})
    elif came != "open":
        await settle(server, connection, _CALLER, base, asked, meant)


async def _present(server: Server, connection: Connection, id_: str) -> Json | None:
    try:
        found = await read_on(server, connection, _CALLER, "Task", id_)
    except (NotFound, Gone):
        return None
    resource: Json = json.decode_keeping(found.body)
    return resource


async def _repair(server: Server, base: str) -> None:
    """Put right what came before its code was settled, once every process maps by that."""
    async with server.database.statement() as connection:
        rows = await (await connection.execute(_SETTLED, (SEEN_SECONDS, _PAGE))).fetchall()
    for *said, target in rows:
        asked = _asked(said)
        there = await _is_mapped(server, base, asked)
        if there:
            await repair.add_codings(server, _CALLER, asked, repair.meant_of(target))
            await repair.resume(server, asked)
        async with server.database.transaction() as connection:
            state = "done" if there else "open"
            key = (asked.sender, asked.system, asked.code)
            await connection.execute(_REPAIRED, (state, state, *key))


async def _is_mapped(server: Server, base: str, asked: Asked) -> bool:
    """Whether the stored maps still know the code; else it is asked for again."""
    stored = await maps.stored(server, base, asked.sender)
    return all((asked.system, asked.code) in stored.get(field, {}) for field in asked.fields)


def _asked(row: Sequence[Any]) -> Asked:
    sender, system, code, fields, display, unit, count = row
    return Asked(sender, system, code, tuple(fields), display, unit, count)
