"""`sangam audit`: the AuditEvents checked, and written out."""

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.at_rest.leaving import leaving
from fhir_server.audit import chain
from fhir_server.audit.happening import EXPORTED, happened
from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.caller import trusted
from fhir_server.errors import BadRequest
from fhir_server.interactions import auditing
from fhir_server.main.target import Target
from fhir_server.server import Server

app = typer.Typer(
    help="AuditEvents: whether any was changed, and all of them as a file.",
    no_args_is_help=True,
)
_SHOWN: Final = 100
_AT_ONCE: Final = 1_000

_Write: TypeAlias = Callable[[str], object]

_EVENTS: Final = """
SELECT r.key, b.json FROM resource r JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.key > %s AND NOT r.deleted AND r.last_updated >= %s
ORDER BY r.key LIMIT %s
"""


@app.command()
def verify(context: typer.Context) -> None:
    """Find AuditEvents that were changed, removed or put in; status 1 if there are any.

    Example: `sangam audit verify`
    """
    faults = asyncio.run(_verified(context.obj))
    if not faults:
        Console(markup=False).print("The chain of AuditEvents is whole.")
        return
    table = Table("day", "AuditEvent", "what is wrong", title=f"{len(faults):,} faults")
    for one in faults[:_SHOWN]:
        table.add_row(str(one.day or ""), one.id, one.what)
    Console(markup=False).print(table)
    raise typer.Exit(1)


async def _verified(target: Target) -> list[chain.Fault]:
    async with target.server() as server:
        type_id = server.definitions.type_ids[AUDIT_EVENT]
        async with server.database.connection() as connection:
            return await chain.verify(connection, server.registry.context.page_key, type_id)


@app.command()
def export(
    context: typer.Context,
    since: Annotated[datetime | None, typer.Option(help="From this time on, UTC.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
    recipient: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Seal for who has made this public key."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Seal for the passphrase in its first line."
        ),
    ] = None,
) -> None:
    """Write AuditEvents as NDJSON, one a line; that this was done is itself audited.

    **PLAIN**, unless `--out` names a new folder that is sealed: by `--recipient` (they run
    `sangam tenant pair`) or `--passphrase-file`. `sangam tenant unseal` opens it.

    Example: `sangam audit export --since 2026-01-01 --out audit.ndjson`
    """
    begin = (since or datetime(1970, 1, 1)).replace(tzinfo=UTC)  # noqa: DTZ001  (it is said next)
    sealed = recipient is not None or passphrase_file is not None
    if sealed and out is None:
        raise BadRequest("What is sealed needs --out, a new folder")
    with ExitStack() as held:
        if out is None:
            write: _Write = sys.stdout.write
        elif sealed:
            folder = held.enter_context(leaving(out, recipient, passphrase_file))
            file = held.enter_context(folder.create("audit.ndjson"))

            def write(text: str) -> None:
                file.write(text.encode())

        else:
            write = held.enter_context(open(out, "x", opener=_for_us)).write
        asyncio.run(_exported(context.obj, begin, write))


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


async def _exported(target: Target, since: datetime, write: _Write) -> None:
    async with target.server() as server:
        await auditing.settle(server)
        async with server.database.statement() as connection:
            caller = trusted(getpass.getuser(), "cli")
            await happened(connection, caller, EXPORTED, about=[AUDIT_EVENT])
        async for text in _events(server, since):
            write(f"{text}\n")


async def _events(server: Server, since: datetime) -> AsyncIterator[str]:
    after, type_id = 0, server.definitions.type_ids[AUDIT_EVENT]
    while True:
        async with server.database.connection() as connection:
            given = (type_id, after, since, _AT_ONCE)
            rows = await (await connection.execute(_EVENTS, given)).fetchall()
        for key, text in rows:
            after = key
            yield text
        if len(rows) < _AT_ONCE:
            return
