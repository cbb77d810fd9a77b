"""`sangam consent`: what consents of patients say, read anew from what is stored."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.interactions import consents
from fhir_server.main.target import Target
from fhir_server.store.behind import UNREAD

app = typer.Typer(help="Consents of patients.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Keep `rebuild` a command of its own."""


@app.command()
def rebuild(context: typer.Context) -> None:
    """Read all stored Consents anew, beside a running server if there is one.

    Needed where Consents were restored without their rows; new versions are read as they
    are written.

    Example: `sangam consent rebuild`
    """
    done = asyncio.run(_rebuilt(context.obj))
    Console(markup=False).print(f"{done:,} Consents were read.")


@app.command()
def unread(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many, by their ids.")] = 100,
) -> None:
    """List the Consents that deny all of their patients' records, as nobody could read them.

    Such a consent says what is not understood here. It denies until it is corrected.

    Example: `sangam consent unread`
    """
    table = Table("Consent", "Patient")
    for consent, patient in asyncio.run(_unread(context.obj, limit)):
        table.add_row(consent, patient)
    Console(markup=False).print(table)


async def _unread(target: Target, limit: int) -> list[tuple[str, str]]:
    async with target.server() as server, server.database.connection() as connection:
        return await (await connection.execute(UNREAD, (limit,))).fetchall()


async def _rebuilt(target: Target) -> int:
    console = Console(markup=False)
    async with target.server() as server:
        with console.status("Reading Consents") as shown:
            return await consents.rebuild(
                server, lambda done: shown.update(f"Reading Consents: {done:,}")
            )
