"""`sangam package`: implementation guides and what else comes as a package."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from fhir_server.caller import Caller, trusted
from fhir_server.config import Settings
from fhir_server.errors import SangamError
from fhir_server.main import migrate
from fhir_server.main.databases import base_of, database_of
from fhir_server.main.options import DatabaseUrl, DataDir, given
from fhir_server.main.wiring import running
from fhir_server.packages import record
from fhir_server.packages.bring import Done, Wish
from fhir_server.packages.install import install
from fhir_server.packages.remove import Away, remove
from fhir_server.server import Server

app = typer.Typer(
    help="Packages of profiles, code systems, value sets and search parameters.",
    no_args_is_help=True,
)
console = Console(markup=False)

_T = TypeVar("_T")


@app.command("install")
def install_package(  # noqa: PLR0913  (one parameter a flag)
    path: Annotated[Path, typer.Argument(exists=True, metavar="FILE|DIR")],
    *,
    dependencies: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Directory with the packages that it depends on.",
            show_default="setting packages.folder",
        ),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Go without this dependency; may be repeated.")
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Its examples, too.")] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace what has the same name and another content."),
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out resources that are not valid.")
    ] = False,
    any_fhir: Annotated[
        bool, typer.Option("--any-fhir-version", help="Also if it is not made for FHIR R4.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Install a package (.tgz, or a directory) and what it depends on: all, or nothing.

    Nothing is fetched from anywhere. A second installation of the same changes nothing.

    Example: `sangam package install guide.tgz --dependencies packages/`
    """
    wish = Wish(
        examples=examples,
        replacing=replace,
        lenient=skip_invalid,
        any_fhir=any_fhir,
        folder=dependencies,
        without=frozenset(without or ()),
    )
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=console
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing)
            progress.update(tasks[doing], completed=done, total=total)

        done = _run(
            given(data_dir=data_dir, database_url=database_url),
            lambda server: install(server, _caller(), path, wish, tell),
        )
    _show(done)


@app.command("list")
def list_packages(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show what is installed: since when, by whom, and from which archive.

    Example: `sangam package list`
    """

    async def rows(server: Server) -> list[record.Installed]:
        async with server.database.connection() as connection:
            return await record.installed(connection)

    found = _run(given(data_dir=data_dir, database_url=database_url), rows)
    # Names and versions are to be copied: they are not broken on a narrow screen.
    whole = Column("package", no_wrap=True)
    table = Table(whole, "resources", "installed", "by", "SHA-256")
    for one in found:
        at = f"{one.installed_at:%Y-%m-%d %H:%M}"
        digest = one.sha256 or "none: it was a directory"
        table.add_row(one.label, f"{one.resources:,}", at, one.installed_by, digest)
    console.print(table)


@app.command("remove")
def remove_package(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a package and what it brought.

    What another package has too stays, and what was changed since.

    Example: `sangam package remove ndhm.in 6.5.0`
    """
    away = _run(
        given(data_dir=data_dir, database_url=database_url),
        lambda server: remove(server, _caller(), name, version),
    )
    _show_away(away)


def _caller() -> Caller:
    return trusted(getpass.getuser(), "cli")


def _run(settings: Settings, work: Callable[[Server], Awaitable[_T]]) -> _T:
    """Do the work with a server over the database, which is migrated first."""

    async def working(conninfo: str, base: str) -> _T:
        async with running(settings, conninfo, base) as server:
            return await work(server)

    base = base_of(settings)
    with database_of(settings) as conninfo:
        migrate.migrate(conninfo)
        try:
            return asyncio.run(working(conninfo, base))
        except SangamError as error:
            _show_issues(error)
            raise


def _show_issues(error: SangamError) -> None:
    """Show the findings behind a refusal, where it has others than its own words."""
    for issue in error.issues:
        if issue.text != error.text:
            console.print(f"  {issue.text}", markup=False, soft_wrap=True)


def _show(found: Sequence[Done]) -> None:
    for one in found:
        if one.already:
            console.print(f"{one.label} is installed already.", markup=False)
            continue
        _show_counts(one.label, "stored", one.stored)
        for count, what in (
            (one.kept, "were there already"),
            (one.removed, "are no longer in it, and were deleted"),
            (len(one.faults), "are not valid, and were left out"),
        ):
            if count:
                console.print(f"{count:,} {what}.")
        for fault in one.faults:
            line = f"  {fault.path}: {fault.issue.expression}: {fault.issue.text}"
            console.print(line, markup=False, soft_wrap=True)


def _show_counts(label: str, what: str, counts: Mapping[str, int]) -> None:
    table = Table(label, what)
    for type_name, count in sorted(counts.items()):
        table.add_row(type_name, f"{count:,}")
    table.add_row("in all", f"{sum(counts.values()):,}")
    console.print(table)


def _show_away(away: Away) -> None:
    _show_counts(away.label, "deleted", away.deleted)
    if away.shared:
        console.print(f"{away.shared:,} are in other packages too, and stay.")
    for literal in away.changed:
        console.print(f"{literal} was changed since, and stays.", markup=False)
