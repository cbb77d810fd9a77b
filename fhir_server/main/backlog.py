"""`sangam jobs`: what waits, and what the operator takes out of the way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fhir_server import jobs
from fhir_server.database import Connection, Database

app = typer.Typer(
    help="Jobs: what waits and why, parking one that never succeeds, trying it again.",
    no_args_is_help=True,
)

Opening = Callable[[], AbstractAsyncContextManager[Database]]
"""What the command line gives as the context's object: it opens the database."""

Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers from `sangam jobs list`.")]

_T = TypeVar("_T")

_LIST: Final = """
SELECT id, kind, coalesce(dedupe_key, ''), state, attempts, due_at, created_at, coalesce(error, '')
FROM job WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY created_at, id LIMIT %(limit)s
"""


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="ready, running or parked.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the oldest first.")] = 20,
) -> None:
    """Show the jobs that are not done, with the place of the last error.

    Example: `sangam jobs list --state parked`
    """
    asked = {"state": state, "limit": limit}

    async def rows(connection: Connection) -> list[tuple[Any, ...]]:
        return await (await connection.execute(_LIST, asked)).fetchall()

    table = Table("id", "kind", "key", "state", "attempts", "due", "created", "error")
    for id_, kind, key, now, attempts, due, created, error in _run(context, rows):
        times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (due, created))
        table.add_row(str(id_), kind, key, now, str(attempts), *times, error)
    Console(markup=False).print(table)


@app.command()
def park(context: typer.Context, ids: Ids) -> None:
    """Take waiting jobs out of the way; they are kept, and tried no more.

    Example: `sangam jobs park 17`
    """
    _each(context, ids, jobs.park, "parked", "does not wait")


@app.command()
def unpark(context: typer.Context, ids: Ids) -> None:
    """Make parked jobs ready again.

    Example: `sangam jobs unpark 17`
    """
    _each(context, ids, jobs.unpark, "ready again", "is not parked")


def _each(
    context: typer.Context,
    ids: list[int],
    change: Callable[[Connection, int], Awaitable[bool]],
    yes: str,
    no: str,
) -> None:
    async def changed(connection: Connection) -> list[bool]:
        return [await change(connection, id_) for id_ in ids]

    found = _run(context, changed)
    for id_, done in zip(ids, found, strict=True):
        Console(markup=False).print(f"Job {id_} {'is ' + yes if done else no}.")
    if not all(found):
        raise typer.Exit(1)


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Do the work on a connection of the database that the command line opens."""
    opening: Opening = context.obj

    async def working() -> _T:
        async with opening() as database, database.statement() as connection:
            return await work(connection)

    return asyncio.run(working())
