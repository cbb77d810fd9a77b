"""`sangam hl7`: the operator's view of the inbox."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.inbox.receive import JOB
from fhir_server.database import Connection, Database
from fhir_server.jobs import enqueue

app = typer.Typer(
    help="The inbox of HL7 v2 messages: what came, what became of it, and trying again.",
    no_args_is_help=True,
)

Opening = Callable[[], AbstractAsyncContextManager[Database]]
"""What the command line gives as the context's object: it opens the database."""

_T = TypeVar("_T")

_REPLAYABLE: Final = ("dead", "rejected", "done", "stale")

_LIST: Final = """
SELECT id, received_at, sender, type, event, state, coalesce(reason, ''), coalesce(detail, '')
FROM hl7_message
WHERE (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY id DESC LIMIT %(limit)s
"""
_REPLAY: Final = """
UPDATE hl7_message SET state = 'stored', reason = NULL, detail = NULL, attempts = 0,
    next_attempt = NULL, finished_at = NULL,
    replays = coalesce(replays, '[]'::jsonb) || %(actor)s::jsonb
WHERE (id = ANY(%(ids)s) OR (%(ids)s IS NULL AND state = %(state)s
       AND (%(reason)s::text IS NULL OR reason = %(reason)s)))
  AND state = ANY(%(replayable)s) AND control_id IS NOT NULL
RETURNING id
"""
_COUNTS: Final = """
SELECT state, coalesce(reason, ''), count(*) FROM hl7_message
GROUP BY state, reason ORDER BY state, reason
"""


@app.command("list")
def list_messages(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="stored, done, dead or rejected; all without.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="A reason such as NO_PATIENT_ID.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """Show messages of the inbox, without their content.

    Example: sangam hl7 list --state dead
    """
    asked = {"state": state, "reason": reason, "limit": limit}
    rows = _run(context, lambda connection: _rows(connection, _LIST, asked))
    table = Table("id", "received", "sender", "message", "state", "reason", "detail")
    for id_, received, sender, kind, event, now, why, detail in rows:
        at = received.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(id_), at, sender, f"{kind or ''}^{event or ''}", now, why, detail)
    Console().print(table)


@app.command()
def status(context: typer.Context) -> None:
    """Count the messages of the inbox by state and reason."""
    table = Table("state", "reason", "messages")
    for state, reason, count in _run(context, lambda c: _rows(c, _COUNTS, {})):
        table.add_row(state, reason, str(count))
    Console().print(table)


@app.command()
def show(
    context: typer.Context, id_: Annotated[int, typer.Argument(metavar="ID", help="The message.")]
) -> None:
    """Show what became of a message: versions written, leaves not mapped, warnings.

    The content of the message is patient data and is not shown.
    """
    columns = "state, reason, detail, attempts, result_versions, unmapped, warnings, replays"
    query = f"SELECT {columns} FROM hl7_message WHERE id = %(id)s"
    rows = _run(context, lambda connection: _rows(connection, query, {"id": id_}))
    if not rows:
        raise typer.BadParameter("There is no such message", param_hint="ID")
    found = dict(zip(columns.split(", "), rows[0], strict=True))
    Console().print_json(json.dumps(found))


@app.command()
def replay(
    context: typer.Context,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="Messages to try again.")
    ] = None,
    state: Annotated[str, typer.Option(help="Without IDs: all of this state.")] = "dead",
    reason: Annotated[str | None, typer.Option(help="Without IDs: only of this reason.")] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Without IDs and reason: really all of the state.")
    ] = False,
) -> None:
    """Process messages again from their stored bytes, with today's settings and maps.

    A message that was applied before updates what it wrote and doubles nothing.

    Examples: sangam hl7 replay 17 18 / sangam hl7 replay --reason MAPPING_ERROR
    """
    if not ids and reason is None and not all_:
        raise typer.BadParameter("Name messages, a --reason, or --all")
    count = _run(context, lambda c: put_back(c, ids, state=state, reason=reason))
    Console().print(f"{count} messages will be processed again.")


async def put_back(
    connection: Connection, ids: Sequence[int] | None, *, state: str, reason: str | None
) -> int:
    """Make messages `stored` again, with the job that processes them; return how many.

    What is no message (junk, a cut frame) stays as it is.
    """
    actor = [{"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": getpass.getuser()}]
    asked = {
        "ids": list(ids) if ids else None,
        "state": state,
        "reason": reason,
        "actor": json.dumps(actor),
        "replayable": list(_REPLAYABLE),
    }
    async with connection.transaction():
        cursor = await connection.execute(_REPLAY, asked)
        rows = await cursor.fetchall()
        if rows:
            await enqueue(connection, [JOB])
    return len(rows)


async def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[Any]:
    cursor = await connection.execute(query, values)
    return await cursor.fetchall()


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Do the work on a connection of the database that the command line opens."""
    opening: Opening = context.obj

    async def working() -> _T:
        async with opening() as database, database.statement() as connection:
            return await work(connection)

    return asyncio.run(working())
