"""`sangam keys`: the keys that sign tokens, and those that seal what is at rest."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from fhir_server.audit.happening import SETTINGS_CHANGED, happened
from fhir_server.caller import trusted
from fhir_server.errors import NotFound
from fhir_server.identity import signing
from fhir_server.main.data_keys import rotate_data, rotate_master, show_data
from fhir_server.main.target import Target

app = typer.Typer(
    help="Keys that sign tokens, and keys that seal what is stored: looking, rotating.",
    no_args_is_help=True,
)
CALLER = trusted("operator", "cli")


@app.command("list")
def list_keys(context: typer.Context) -> None:
    """Show the keys: which one signs, which ones are still published.

    Example: `sangam keys list`
    """

    async def work() -> list[signing.Key]:
        target: Target = context.obj
        async with target() as database, database.connection() as connection:
            return await signing.listed(connection)

    table = Table(Column("kid", no_wrap=True), "made", "signs from", "state")
    for one in asyncio.run(work()):
        table.add_row(
            one.kid, f"{one.made:%Y-%m-%d %H:%M}", f"{one.signs:%Y-%m-%d %H:%M}", one.state
        )
    Console(markup=False).print(table)


@app.command()
def rotate(
    context: typer.Context,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Sign with it at once; verifiers may not know it yet.")
    ] = False,
) -> None:
    """Make a new key, which signs as soon as every verifier knows it; old tokens stay good.

    Example: `sangam keys rotate`
    """

    async def work() -> str:
        target: Target = context.obj
        async with target.server() as server:
            lead = 0 if now else server.settings.security.identity.key_lead_seconds
            kid = await signing.rotate(server, lead)
            async with server.database.statement() as connection:
                await happened(connection, CALLER, SETTINGS_CHANGED, about=[kid])
            return kid

    Console(markup=False).print(f"New key {asyncio.run(work())}")


@app.command()
def withdraw(context: typer.Context, kid: str) -> None:
    """Publish a key no more, as when others know it: all tokens that it signed end.

    Make another first. Example: `sangam keys rotate --now; sangam keys withdraw KID`
    """

    async def work() -> None:
        target: Target = context.obj
        async with target() as database, database.transaction() as connection:
            if not await signing.withdraw(connection, kid):
                raise NotFound("There is no such key; `sangam keys list` shows them")
            await happened(connection, CALLER, SETTINGS_CHANGED, about=[kid])

    asyncio.run(work())
    Console(markup=False).print("The key is withdrawn.")


app.command("data")(show_data)
app.command("rotate-data")(rotate_data)
app.command("rotate-master")(rotate_master)
