"""`sangam load`: files loaded into the database."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fhir_server.config import Settings
from fhir_server.main import schema, sources
from fhir_server.main.databases import base_of, database_of
from fhir_server.main.load import PIECE_BYTES, Summary
from fhir_server.main.load import load as load_files
from fhir_server.main.loaders import loaders
from fhir_server.main.options import DatabaseUrl, DataDir, given
from fhir_server.main.tenants import find as find_tenant
from fhir_server.tenancy.tenant import Tenant

SHOWN_REFUSALS = 20
console = Console(markup=False)


def load(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH...")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that store.", show_default="processors")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="A tenant of the installation.", show_default="none")
    ] = None,
) -> None:
    """Load Bundles, resources and NDJSON, also in .gz, .tgz and directories.

    A transaction or batch is carried out; any other resource is stored, under its
    own id if it has one. What is refused is listed, the rest is kept.

    Example: `sangam load synthea/ patients.ndjson.gz`
    """
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        schema.migrate(conninfo)
        whose = tenant and find_tenant(conninfo, tenant)
        summary = _load(settings, conninfo, paths, processes or os.cpu_count() or 1, whose or None)
    _show(summary)
    if summary.refused:
        raise typer.Exit(1)


def _load(
    settings: Settings, conninfo: str, paths: list[Path], processes: int, tenant: Tenant | None
) -> Summary:
    base = base_of(settings)
    size = sources.size(paths)
    processes = min(processes, size // PIECE_BYTES + 1)
    columns = (TextColumn("Loading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        loaders(settings, conninfo, base, processes, tenant) as carry,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("load", total=size)

        def advance(done: int) -> None:
            progress.advance(task, done)

        return asyncio.run(load_files(carry, paths, jobs=2 * processes, advance=advance))


def _show(summary: Summary) -> None:
    table = Table("type", "stored")
    for type_name, count in sorted(summary.stored.items()):
        table.add_row(type_name, f"{count:,}")
    table.add_row("in all", f"{summary.stored.total():,}")
    console.print(table)
    if not summary.refused:
        return
    refused = Table("document", "place", "reason", title=f"{len(summary.refused):,} refused")
    for row in summary.refused[:SHOWN_REFUSALS]:
        refused.add_row(*row)
    console.print(refused)
