"""`sangam tenant`: the hospitals of an installation."""

import asyncio
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from fhir_server.at_rest.folder import new_key, unsealed
from fhir_server.config import Settings
from fhir_server.main import migrate, tenants
from fhir_server.main.options import fail
from fhir_server.main.target import Target, base_of, database_of
from fhir_server.main.tenant_export import export as write_folder
from fhir_server.tenancy import roles, tenant, usage
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.tenant import Connection, Tenant

app = typer.Typer(
    help="Tenants: hospitals in one installation that see nothing of each other.",
    no_args_is_help=True,
)

Name: TypeAlias = Annotated[str, typer.Argument(help="Small letters, digits and hyphens.")]
SettingsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--settings", exists=True, dir_okay=False, help="TOML file: what differs for the tenant."
    ),
]
MaxResources: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="Quota of resources; 0: none.")
]
MaxBytes: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="Quota of bytes in tables, and in DICOM files; 0: none.")
]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    settings_file: SettingsFile = None,
    max_resources: MaxResources = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Make a tenant with a schema and a role of its own; one broken off is gone on with.

    Example: `sangam tenant create north --settings north.toml`
    """
    with _installation(context) as (settings, conninfo):
        migrate.migrate(conninfo)
        quotas = {"max_resources": max_resources or None, "max_bytes": max_bytes or None}
        made = tenants.create(settings, conninfo, name, _read(settings_file), **quotas)
        Console().print(f"The tenant {made.name} is served at {base_of(settings)}/t/{made.name}.")


@app.command("list")
def list_tenants(context: typer.Context) -> None:
    """Show all tenants and their states."""
    table = Table("tenant", "state", "AE titles", "MLLP ports", "schema")
    with _installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
        for one in tenant.listed(connection):
            own = settings_of(settings, one)
            ports = ", ".join(str(channel.port) for channel in own.hl7.channels)
            table.add_row(one.name, one.state, ", ".join(own.dicom.ae_titles), ports, one.schema)
    Console().print(table)


@app.command()
def show(context: typer.Context, name: Name) -> None:
    """Show what a tenant is, what it uses of its quotas, and what it sets for itself."""
    with _installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
        one = tenant.named(connection, name)
        used = _usage(conninfo, one)
        folder = settings_of(settings, one).data_dir
    table = Table("what", "value", title=name)
    table.add_row("state", one.state)
    table.add_row("schema and role", one.schema)
    table.add_row("folder", str(folder))
    table.add_row("resources", _of(used.resources, one.max_resources))
    table.add_row("bytes in tables", _of(used.bytes, one.max_bytes))
    table.add_row("bytes in files", f"{_size(folder):,}")
    table.add_row("sets for itself", ", ".join(sorted(one.settings)) or "nothing")
    Console().print(table)


@app.command("set")
def change(
    context: typer.Context,
    name: Name,
    settings_file: SettingsFile = None,
    max_resources: MaxResources = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Give a tenant other settings or quotas; servers follow within seconds.

    Example: `sangam tenant set north --max-resources 1000000`
    """
    with _installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
        one = tenant.named(connection, name)
        if settings_file is not None:
            one = replace(one, settings=_read(settings_file))
        if max_resources is not None:
            one = replace(one, max_resources=max_resources or None)
        if max_bytes is not None:
            one = replace(one, max_bytes=max_bytes or None)
        tenants.check(settings, connection, one)
        tenant.change(connection, one)
    Console().print(f"The tenant {name} is changed.")


@app.command()
def suspend(context: typer.Context, name: Name) -> None:
    """Refuse a tenant at every door; nothing of it is lost."""
    _enter(context, name, "suspended", "active")


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Serve a suspended tenant again."""
    _enter(context, name, "active", "suspended")


@app.command()
def export(
    context: typer.Context,
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    key_file: Annotated[
        Path | None,
        typer.Option(help="New file for the key of the folder.", show_default="FOLDER.key"),
    ] = None,
    *,
    plain: Annotated[
        bool, typer.Option("--plain", help="Not sealed: who has the folder can read it.")
    ] = False,
) -> None:
    """Write all that a tenant has to a folder: NDJSON, large content, settings.

    Its files are sealed under a key of their own; `sangam tenant unseal` opens them.

    Example: `sangam tenant export north north-2026-11`
    """
    key = None if plain else new_key(key_file or folder.with_name(f"{folder.name}.key"))
    with _installation(context) as (settings, conninfo):
        with tenants.connected(conninfo) as connection:
            one = tenant.named(connection, name)
        opener = tenants.opener(settings, conninfo, base_of(settings))

        async def written() -> int:
            async with opener(one) as server:
                return await write_folder(server, one, folder, key)

        count = asyncio.run(written())
    Console().print(f"{count:,} resources of {name} are in {folder}.")


@app.command()
def unseal(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="An export.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    key_file: Annotated[
        Path | None, typer.Option(help="File with its key.", show_default="FOLDER.key")
    ] = None,
) -> None:
    """Write a sealed export so that it can be read; no server or database is needed.

    Example: `sangam tenant unseal north-2026-11 north-readable`
    """
    key = key_file or folder.with_name(f"{folder.name}.key")
    try:
        count = unsealed(folder, key, out)
    except OSError as error:
        fail(f"The export cannot be opened: {error.strerror or error}")
    Console().print(f"{count:,} files are in {out}.")


@app.command()
def erase(
    context: typer.Context,
    name: Name,
    confirm: Annotated[str, typer.Option(help="The tenant's name once more.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  (a flag)
) -> None:
    """Drop schema, role and files of a suspended tenant, for good.

    It is asked for its name, and once more whether it is meant.

    Example: `sangam tenant erase north --confirm north --yes`
    """
    with _installation(context) as (settings, conninfo):
        typed = confirm or typer.prompt(f"Type the name of the tenant to erase ({name})")
        if not yes:
            typer.confirm("Nothing of it can be brought back. Erase it?", abort=True)
        tenants.erase(settings, conninfo, name, typed)
    Console().print(f"The tenant {name} is erased.")


def _enter(context: typer.Context, name: str, state: tenant.State, before: tenant.State) -> None:
    with _installation(context) as (_, conninfo), tenants.connected(conninfo) as connection:
        tenant.enter(connection, name, state, (before,))
    Console().print(f"The tenant {name} is {state}.")


@contextmanager
def _installation(context: typer.Context) -> Iterator[tuple[Settings, str]]:
    """Lend settings and conninfo of the installation that the command line names."""
    target: Target = context.obj
    if target.tenant is not None:
        fail("These commands are the installation's; name the tenant without --tenant.")
    settings = target.present()
    with database_of(settings) as conninfo:
        yield settings, conninfo


def _read(file: Path | None) -> dict[str, Any]:
    return tomllib.loads(file.read_text()) if file else {}


def _usage(conninfo: str, one: Tenant) -> usage.Usage:
    """Return what a tenant uses, asked as its role."""
    connection: Connection
    with psycopg.connect(roles.as_tenant(conninfo, one), autocommit=True) as connection:
        row = connection.execute(usage.STATEMENT).fetchone()
    assert row is not None
    return usage.of_row(row)


def _of(used: int, most: int | None) -> str:
    return f"{used:,}" if most is None else f"{used:,} of {most:,}"


def _size(folder: Path) -> int:
    return sum(place.stat().st_size for place in folder.rglob("*") if place.is_file())
