"""Commands of what is sealed at rest: the data keys of a tenant, and the master key of all."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.at_rest.custody import custody
from fhir_server.at_rest.keyring import Listed, listed
from fhir_server.at_rest.progress import Progress, progress
from fhir_server.audit.happening import SETTINGS_CHANGED, happened
from fhir_server.caller import trusted
from fhir_server.interactions import data_key_rotation
from fhir_server.main.databases import database_of
from fhir_server.main.rewrapping import rotated
from fhir_server.main.sealing import told
from fhir_server.main.target import Target

CALLER = trusted("operator", "cli")


def show_data(context: typer.Context) -> None:
    """Show the data keys under which files and secrets are sealed, and how far a rotation is.

    Example: `sangam keys data`
    """

    async def work() -> tuple[list[Listed], Progress | None]:
        target: Target = context.obj
        async with target() as database, database.connection() as connection:
            return await listed(connection), await progress(connection)

    keys, state = asyncio.run(work())
    table = Table("data key", "made", "state", "wrapped by")
    for one in keys:
        said = f"replaced {one.retired:%Y-%m-%d %H:%M}" if one.retired else "seals"
        table.add_row(one.id[:8], f"{one.made:%Y-%m-%d %H:%M}", said, one.master[:8])
    console = Console(markup=False)
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

    Console(markup=False).print(f"{asyncio.run(work())} by the server's worker: sangam keys data")


def rotate_master(context: typer.Context) -> None:
    """Make a new master key and wrap the data keys of all tenants under it, at once.

    With two keys in the file, the first is the new one, which you made. Servers go on.

    Example: `sangam keys rotate-master`
    """
    target: Target = context.obj
    settings = target.installation()
    target.present()
    with database_of(settings) as conninfo:
        count, written = rotated(conninfo, custody(settings))

    async def told_of() -> None:
        async with target() as database, database.transaction() as connection:
            await happened(connection, CALLER, SETTINGS_CHANGED, about=["master key"])

    asyncio.run(told_of())
    console = Console(markup=False)
    console.print(f"{count} data keys are wrapped under the first key of {custody(settings)}.")
    if not written:
        console.print("Take the other keys out of it; they open nothing any more.")
    console.print("Keep a copy of the new key apart from the backups: without it all is lost.")
