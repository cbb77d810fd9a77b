"""`sangam tenant`: the hospitals of an installation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from fhir_server.config import Settings
from fhir_server.main import migrate, tenant_archives, tenants
from fhir_server.main.databases import base_of
from fhir_server.main.for_tenants import installation, read_settings
from fhir_server.main.options import fail
from fhir_server.tenancy import roles, tenant, usage
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.tenant import Connection, Tenant

app = typer.Typer(
    help="Tenants: hospitals in one installation that see nothing of each other.",
    no_args_is_help=True,
)
tenant_archives.register(app)

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
    with installation(context) as (settings, conninfo):
        migrate.migrate(conninfo)
        quotas = {"max_resources": max_resources or None, "max_bytes": max_bytes or None}
        made = tenants.create(settings, conninfo, name, read_settings(settings_file), **quotas)
        Console(markup=False).print(
            f"The tenant {made.name} is served at {base_of(settings)}/t/{made.name}."
        )


@app.command("list")
def list_tenants(context: typer.Context) -> None:
    """Show all tenants and their states."""
    table = Table("tenant", "state", "AE titles", "MLLP ports", "schema")
    with installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
        for one in tenant.listed(connection):
            own = settings_of(settings, one)
            ports = ", ".join(str(channel.port) for channel in own.hl7.channels)
            table.add_row(one.name, one.state, ", ".join(own.dicom.ae_titles), ports, one.schema)
    Console(markup=False).print(table)


@app.command()
def show(context: typer.Context, name: Name) -> None:
    """Show what a tenant is, what it uses of its quotas, and what it sets for itself."""
    with installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
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
    Console(markup=False).print(table)


@app.command("usage")
def show_usage(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One tenant; all without.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show what each tenant has, counted at this moment, and its quotas.

    Example: `sangam tenant usage`
    """
    with installation(context) as (settings, conninfo), tenants.connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in tenants.KEPT]
        if name is not None:
            found = [one for one in found if one.name == name]
            if not found:
                fail(f"There is no tenant {name} that is whole")
        told = {one.name: _told(settings, conninfo, one) for one in found}
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    table = Table("what", *told)
    for what in next(iter(told.values()), {}):
        figures = [one[what] for one in told.values()]
        table.add_row(what, *("none" if one is None else f"{one:,}" for one in figures))
    Console(markup=False).print(table)


def _told(settings: Settings, conninfo: str, one: Tenant) -> dict[str, int | None]:
    """Return the figures of a tenant, asked as its role, and its quotas."""
    with psycopg.connect(roles.as_tenant(conninfo, one), autocommit=True) as connection:
        row = connection.execute(usage.ALL).fetchone()
    assert row is not None
    quotas = {"quota of resources": one.max_resources, "quota of bytes": one.max_bytes}
    files = {"bytes in files": _size(settings_of(settings, one).data_dir)}
    return {**dict(usage.Figures(*map(int, row)).told()), **files, **quotas}


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

    def otherwise(one: Tenant) -> Tenant:
        if settings_file is not None:
            one = replace(one, settings=read_settings(settings_file))
        if max_resources is not None:
            one = replace(one, max_resources=max_resources or None)
        if max_bytes is not None:
            one = replace(one, max_bytes=max_bytes or None)
        return one

    with installation(context) as (settings, conninfo):
        tenants.change(settings, conninfo, name, otherwise)
    Console(markup=False).print(f"The tenant {name} is changed.")


@app.command()
def suspend(context: typer.Context, name: Name) -> None:
    """Refuse a tenant at every door; nothing of it is lost."""
    _enter(context, name, "suspended", "active")


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Serve a suspended tenant again."""
    _enter(context, name, "active", "suspended")


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
    with installation(context) as (settings, conninfo):
        typed = confirm or typer.prompt(f"Type the name of the tenant to erase ({name})")
        if not yes:
            typer.confirm("Nothing of it can be brought back. Erase it?", abort=True)
        tenants.erase(settings, conninfo, name, typed)
    Console(markup=False).print(f"The tenant {name} is erased.")


def _enter(context: typer.Context, name: str, state: tenant.State, before: tenant.State) -> None:
    with installation(context) as (_, conninfo):
        tenants.enter(conninfo, name, state, before)
    Console(markup=False).print(f"The tenant {name} is {state}.")


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
