"""`sangam care`: care relationships, made anew from what is stored."""

import asyncio
from collections.abc import Mapping
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from fhir_server.interactions import reindex
from fhir_server.main.target import Target
from fhir_server.search.care import SOURCES
from fhir_server.server import Server
from fhir_server.store import progress

app = typer.Typer(help="Care relationships of staff with patients.", no_args_is_help=True)

_LOOK_SECONDS: Final = 0.5


@app.callback()
def main() -> None:
    """Keep `rebuild` a command of its own."""


@app.command()
def rebuild(context: typer.Context) -> None:
    """Find the care relationships of all that is stored, beside a running server if there is one.

    Needed once for resources that were stored before there were any. What was broken off goes
    on where it was.

    Example: `sangam care rebuild`
    """
    failed = asyncio.run(rebuilt(context.obj))
    Console(markup=False).print("The care relationships are made anew.")
    if failed:
        Console(markup=False).print(
            f"{failed:,} resources could not be read: see GET [base]/$reindex."
        )
        raise typer.Exit(1)


async def rebuilt(target: Target) -> int:
    """Walk over the types that establish relationships; return how many resources failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with target.server() as server:
        await reindex.ask(server, sorted(SOURCES))
        walking = asyncio.create_task(reindex.run(server, {}))
        with Bars(*columns, TimeRemainingColumn(), console=Console(markup=False)) as bars:
            tasks = {name: bars.add_task(name, total=None) for name in sorted(SOURCES)}
            while not walking.done():
                await _show(server, bars, tasks)
                await asyncio.wait({walking}, timeout=_LOOK_SECONDS)
            failed = await _show(server, bars, tasks)
        await walking
        return failed


async def _show(server: Server, bars: Bars, tasks: Mapping[str, TaskID]) -> int:
    """Draw how far each type is; return how many resources failed by now."""
    names = server.definitions.type_names
    async with server.database.connection() as connection:
        found = [one for one in await progress.walks(connection) if names[one.type_id] in tasks]
    for one in found:
        task = tasks[names[one.type_id]]
        bars.update(task, completed=one.done, total=one.total)
    return sum(one.failed for one in found)
