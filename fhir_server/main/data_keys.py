"""Commands of what is sealed at rest: the data keys of a tenant, and the master key of all."""

import asyncio
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.at_rest.keyring import Listed, listed, place
from fhir_server.audit.happening import SETTINGS_CHANGED, happened
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions import data_key_rotation
from fhir_server.interactions.data_key_rotation import Progress
from fhir_server.main.rewrapping import rotated
from fhir_server.main.target import Target, database_of

CALLER = trusted("operator", "cli")
_ALL = 1 << 16


def show_data(context: typer.Context) -> None:
    """Show the data keys under which files and secrets are sealed, and how far a rotation is.

    Example: `sangam keys data`
    """

    async def work() -> tuple[list[Listed], Progress | None]:
        target: Target = context.obj
        async with target() as database, database.connection() as connection:
            return await listed(connection), await data_key_rotation.progress(connection)

    keys, state = asyncio.run(work())
    table = Table("data key", "made", "state", "wrapped by")
    for one in keys:
        said = f"replaced {one.retired:%Y-%m-%d %H:%M}" if one.retired else "seals"
        table.add_row(one.id[:8], f"{one.made:%Y-%m-%d %H:%M}", said, one.master[:8])
    console = Console()
    console.print(table)
    for line in told(state):
        console.print(line)


def rotate_data(
    context: typer.Context,
    *,
    again: Annotated[
        bool,
        typer.Option("--again", help="No new key; seal what is not sealed under the present one."),
    ] = False,
) -> None:
    """Make a new data key, and have the running server seal everything under it.

    Old keys open what they sealed until nothing is left of it; then they are removed.

    Example: `sangam keys rotate-data`
    """

    async def work() -> str:
        target: Target = context.obj
        async with target.server() as server:
            if again:
                await data_key_rotation.again(server)
                return "Everything is sealed under the present key"
            made = await data_key_rotation.begin(server)
            async with server.database.statement() as connection:
                await happened(connection, CALLER, SETTINGS_CHANGED, about=[made])
            return f"New data key {made[:8]}; everything is sealed under it"

    Console().print(f"{asyncio.run(work())} by the server's worker: sangam keys data")


def rotate_master(context: typer.Context) -> None:
    """Make a new master key and wrap the data keys of all tenants under it, at once.

    With two keys in the file, the first is the new one, which you made. Servers go on.

    Example: `sangam keys rotate-master`
    """
    target: Target = context.obj
    settings = target.installation()
    target.present()
    with database_of(settings) as conninfo:
        count, written = rotated(conninfo, place(settings))

    async def told_of() -> None:
        async with target() as database, database.transaction() as connection:
            await happened(connection, CALLER, SETTINGS_CHANGED, about=["master key"])

    asyncio.run(told_of())
    console = Console()
    console.print(f"{count} data keys are wrapped under the first key of {place(settings)}.")
    if not written:
        console.print("Take the other keys out of the file; they open nothing any more.")
    console.print("Keep a copy of the file apart from the backups: without it all is lost.")


async def facts(connection: Connection) -> list[tuple[str, Any]]:
    """Return what `sangam status` says of what is sealed."""
    keys, state = await listed(connection), await data_key_rotation.progress(connection)
    if not keys:
        return [("sealed at rest", "not yet: no server has run")]
    one = keys[0]
    since = f"data key {one.id[:8]} since {one.made:%Y-%m-%d}, master key {one.master[:8]}"
    return [("sealed at rest", since), *(("", line) for line in told(state))]


def told(state: Progress | None) -> list[str]:
    """Return what there is to be said of a rotation."""
    if state is None:
        return []
    lines = (
        ["Files that are not sealed are believed: sangam keys rotate-data"] if state.plain else []
    )
    if state.began and not state.ended:
        folder = int(state.place.rpartition(":")[2] or 0)
        store = int(state.place.partition(":")[0] or 0) + 1
        lines.append(
            f"Rotation since {state.began:%Y-%m-%d %H:%M}: pass {state.number}, store {store}, "
            f"{100 * folder // _ALL} %, {state.seen} files seen, {state.renewed} sealed anew"
        )
    if state.failed:
        lines.append(f"{state.failed} files cannot be opened; the log names them")
    return lines
