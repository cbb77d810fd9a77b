"""`sangam hl7 outbound`: what waits for other systems, and what they refused."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.operators import refused
from adapters.hl7.outbound import queue
from fhir_server.database import Connection

app = typer.Typer(
    help="Messages to other systems: look, send again, put aside.", no_args_is_help=True
)

Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="Messages, by `outbound list`.")]
State = Literal["queued", "accepted", "done", "dead", "dismissed"]
_T = TypeVar("_T")

_LIST: Final = """
SELECT id, queued_at, destination, event, state, attempts, next_attempt, coalesce(detail, '')
FROM hl7_outbound
WHERE (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(destination)s::text IS NULL OR destination = %(destination)s)
ORDER BY id DESC LIMIT %(limit)s
"""
_DESTINATIONS: Final = """
SELECT destination, count(*) FILTER (WHERE state = 'queued'),
       count(*) FILTER (WHERE state = 'accepted'), count(*) FILTER (WHERE state = 'dead'),
       max(finished_at) FILTER (WHERE state = 'done'),
       (array_agg(detail ORDER BY id) FILTER (WHERE state = 'queued' AND detail <> ''))[1]
FROM hl7_outbound GROUP BY 1 ORDER BY 1
"""


@app.command("list")
def list_messages(
    context: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only of this state.")] = None,
    destination: Annotated[str | None, typer.Option(help="Only for this destination.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """Show messages, without their content.

    Example: sangam hl7 outbound list --state dead
    """
    asked = {"state": state, "destination": destination, "limit": limit}
    table = Table("id", "queued", "destination", "message", "state", "tries", "next", "detail")
    for id_, queued, name, event, now, tries, again, detail in _rows(context, _LIST, asked):
        cells = (str(id_), _at(queued), name, event, now, str(tries), _at(again), detail)
        table.add_row(*cells)
    Console(markup=False).print(table)


@app.command()
def retry(context: typer.Context, ids: Ids) -> None:
    """Send dead letters again now, with the bytes that they had.

    Example: sangam hl7 outbound retry 42
    """
    by = getpass.getuser()

    async def work(connection: Connection) -> tuple[list[int], list[str]]:
        done = await queue.retry(connection, ids, by)
        return done, await refused.left(connection, refused.OUTBOUND, ids, done, "sent again")

    done, problems = _run(context, work)
    Console(markup=False).print(f"{len(done)} messages will be sent again.")
    refused.end(problems)


@app.command()
def dismiss(
    context: typer.Context,
    ids: Ids,
    *,
    comment: Annotated[str, typer.Option(help="Why they are not needed; no patient data.")],
) -> None:
    """Put messages aside that are not to be sent; what waits behind them goes on.

    Example: sangam hl7 outbound dismiss 42 --comment "told by telephone"
    """
    by = getpass.getuser()

    async def work(connection: Connection) -> tuple[list[int], list[str]]:
        done = await queue.dismiss(connection, ids, by, comment)
        return done, await refused.left(connection, refused.OUTBOUND, ids, done, "dismissed")

    done, problems = _run(context, work)
    Console(markup=False).print(f"{len(done)} messages are dismissed.")
    refused.end(problems)


def destinations(context: typer.Context) -> None:
    """Show for each destination what waits, what it refused, and when it last took something."""
    table = Table("destination", "queued", "accepted", "dead", "last done", "why they wait")
    for name, queued, accepted, dead, last, why in _rows(context, _DESTINATIONS, {}):
        table.add_row(name, str(queued), str(accepted), str(dead), _at(last), why or "")
    Console(markup=False).print(table)


def _at(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else ""


def _rows(context: typer.Context, query: str, values: dict[str, Any]) -> list[Any]:
    async def read(connection: Connection) -> list[Any]:
        return await (await connection.execute(query, values)).fetchall()

    return _run(context, read)


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    async def working() -> _T:
        async with context.obj() as database, database.statement() as connection:
            return await work(connection)

    return asyncio.run(working())
