"""`sangam dicom quota` and `sangam dicom verify`."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from adapters.dicom.listing import print_table
from adapters.dicom.storage import quota as quotas
from adapters.dicom.storage.sweep import sweep
from adapters.dicom.storage.tiered import archive_blobs
from adapters.dicom.storage.verify import Finding, files, verify
from fhir_server.bases import DEFAULT
from fhir_server.blobs import Blobs, blobs_of
from fhir_server.errors import BadRequest

Connection = psycopg.Connection[tuple[Any, ...]]

app = typer.Typer(help="What is held of each sender, and how much may be.", no_args_is_help=True)

_T = TypeVar("_T")
_SHOWN = 20
_SIZE = re.compile(r"(\d{1,15})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

_SET = """
INSERT INTO dicom_usage (name, quota) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET quota = excluded.quota
"""
_COUNT = """
SELECT count(*) FROM dicom_instance WHERE %(study)s::text IS NULL OR study_instance_uid = %(study)s
"""


@app.command("show")
def show(context: typer.Context) -> None:
    """Show bytes, instances and quota of each sender; `*` are all together.

    Example: sangam dicom quota show
    """

    def read(connection: Connection) -> list[quotas.Account]:
        return [quotas.Account(*row) for row in connection.execute(quotas.ACCOUNTS)]

    table = Table("sender", "bytes", "instances", "quota", "used")
    for account in in_database(context, read):
        used = f"{account.bytes / account.quota:.0%}" if account.quota else "-"
        quota = "-" if account.quota is None else f"{account.quota:,}"
        table.add_row(account.name, f"{account.bytes:,}", f"{account.instances:,}", quota, used)
    print_table(table)


@app.command("set")
def set_quota(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="AE title of the sender, STOW-RS, or `*` for all.")],
    size: Annotated[str, typer.Argument(help="Bytes, such as 500G; `none`: no quota.")],
) -> None:
    """Limit what a sender may store; it counts within seconds, and nothing is removed.

    Example: sangam dicom quota set CT1 500G
    """
    limit = None if size == "none" else bytes_of(size)
    in_database(context, lambda connection: connection.execute(_SET, (name, limit)))
    typer.echo(f"{name}: " + ("no quota" if limit is None else f"{limit:,} bytes"))


def bytes_of(text: str) -> int:
    """Return the bytes of `500`, `500M` or `2 TiB`. Raises BadRequest."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise BadRequest("A size is a number of bytes, with K, M, G or T behind it or without")
    return int(found[1]) << _UNITS[found[2].upper()]


def verify_files(
    context: typer.Context,
    study: Annotated[str | None, typer.Option(help="Only this Study Instance UID.")] = None,
    *,
    orphans: Annotated[
        bool, typer.Option(help="Remove files that no instance has, once they are an hour old.")
    ] = True,
) -> None:
    """Read every stored file and compare it with its hash; remove what no instance has.

    Ends with 1 where a file is damaged. A server may run meanwhile, and does this by itself
    within `verify_days`.

    Example: sangam dicom verify
    """
    found, removed = in_archive(
        context,
        lambda connection, blobs: (
            _verified(connection, blobs, study),
            sweep(connection, blobs) if orphans and study is None else 0,
        ),
    )
    read, damaged = found
    for one in damaged[:_SHOWN]:
        typer.echo(f"{one.stored.sop_instance_uid}: {one.kind}")
    typer.echo(f"{read} files read, {len(damaged)} damaged, {removed} orphans removed")
    if damaged:
        raise typer.Exit(1)


def _verified(connection: Connection, blobs: Blobs, study: str | None) -> tuple[int, list[Finding]]:
    """Return how many files were read, and what is wrong with which."""
    row = connection.execute(_COUNT, {"study": study}).fetchone()
    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False)) as progress:
        task = progress.add_task("read", total=row[0] if row else 0)
        read, damaged = 0, []
        for one in verify(connection, blobs, files(connection, study)):
            progress.advance(task)
            read += 1
            if one.kind:
                damaged.append(one)
        return read, damaged


def in_archive(context: typer.Context, act: Callable[[Connection, Blobs], _T]) -> _T:
    """Do something with a connection to the database, and with the files of the archive."""
    settings = context.obj.settings()

    def with_files(connection: Connection, conninfo: str) -> _T:
        blobs = blobs_of(settings, conninfo, context.obj.tenant or DEFAULT)
        return act(connection, archive_blobs(blobs, settings.dicom))

    return _in_database(context, with_files)


def in_database(context: typer.Context, act: Callable[[Connection], _T]) -> _T:
    """Do something with a connection to the database of this installation."""
    return _in_database(context, lambda connection, _: act(connection))


def _in_database(context: typer.Context, act: Callable[[Connection, str], _T]) -> _T:
    async def main() -> _T:
        async with context.obj() as database:
            return await asyncio.to_thread(_with, database.conninfo, act)

    return asyncio.run(main())


def _with(conninfo: str, act: Callable[[Connection, str], _T]) -> _T:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return act(connection, conninfo)
