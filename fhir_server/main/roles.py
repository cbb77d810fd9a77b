"""`sangam role`: what roles may do, shown and changed."""

import asyncio
import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.access.role_store import Changed
from fhir_server.access.role_table import RoleTable, written
from fhir_server.caller import Caller, trusted
from fhir_server.errors import NotFound
from fhir_server.interactions import roles
from fhir_server.main.target import Target

app = typer.Typer(
    help="Roles: what each may do, and changing that for this site.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="ROLE", help="As `DOCTOR`.")]


@app.command("list")
def list_roles(context: typer.Context) -> None:
    """Show the roles, and who changed which.

    Example: `sangam role list`
    """
    table, changes = asyncio.run(_read(context.obj))
    shown = Table("role", "title", "rules", "version", "changed by", "changed at")
    for name, role in table.roles.items():
        change = changes.get(name)
        last = (str(change.version), change.by, f"{change.at:%Y-%m-%d %H:%M}") if change else ()
        shown.add_row(name, role.title, str(len(role.grants)), *last)
    Console(markup=False).print(shown)


@app.command()
def show(context: typer.Context, name: Name) -> None:
    """Write what a role may do as TOML, to be changed and given to `set`.

    Example: `sangam role show NURSE > nurse.toml`
    """
    table, _ = asyncio.run(_read(context.obj))
    if name not in table.roles:
        raise NotFound("There is no such role")
    typer.echo(written(table.roles[name]).decode(), nl=False)


@app.command("set")
def set_role(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="TOML, as of `show`.")],
) -> None:
    """Put a role in force; everybody who has it has these rights within a minute.

    Example: `sangam role set NURSE nurse.toml`
    """

    async def work(target: Target) -> int:
        async with target.server() as server:
            return await roles.change(server, _operator(), name, file.read_bytes())

    version = asyncio.run(work(context.obj))
    Console(markup=False).print(f"{name} is in force as version {version}.")


@app.command()
def reset(context: typer.Context, name: Name) -> None:
    """Put the role in force that is shipped; one that was added here is no more.

    Example: `sangam role reset NURSE`
    """

    async def work(target: Target) -> int:
        async with target.server() as server:
            return await roles.reset(server, _operator(), name)

    version = asyncio.run(work(context.obj))
    Console(markup=False).print(f"{name} is again as it is shipped (version {version}).")


async def _read(target: Target) -> tuple[RoleTable, Mapping[str, Changed]]:
    async with target.server() as server:
        return await roles.read(server, _operator())


def _operator() -> Caller:
    return trusted(getpass.getuser(), "cli")
