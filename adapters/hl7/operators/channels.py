"""`sangam hl7 channel`: the MLLP ports, and whether they take messages."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.mllp.channels import states, want
from fhir_server.database import Connection

app = typer.Typer(help="The MLLP ports: look, stop, start.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The channel, `mllp` for the plain port.")]
_T = TypeVar("_T")


@app.command("list")
def list_channels(context: typer.Context) -> None:
    """Show the channels that ever ran: state, port, and why one cannot listen."""
    table = Table("channel", "state", "port", "seen", "detail")
    for one in _run(context, states):
        seen = one["seen_at"]
        at = f"{seen.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if isinstance(seen, datetime) else ""
        state = f"{one['state']}{' (to be stopped)' if _stops(one) else ''}"
        table.add_row(str(one["name"]), state, str(one["port"] or ""), at, str(one["detail"]))
    Console(markup=False).print(table)


@app.command()
def stop(context: typer.Context, name: Name) -> None:
    """Let a channel answer what it has read and take nothing more, until it is started.

    It stays stopped when the server starts again.
    """
    _want(context, name, stopped=True)
    Console(markup=False).print(f"{name} stops.")


@app.command()
def start(context: typer.Context, name: Name) -> None:
    """Let a stopped channel take messages again."""
    _want(context, name, stopped=False)
    Console(markup=False).print(f"{name} starts.")


def _stops(one: dict[str, object]) -> bool:
    return bool(one["stopped"]) and one["state"] == "listening"


def _want(context: typer.Context, name: str, *, stopped: bool) -> None:
    if name not in {one["name"] for one in _run(context, states)}:
        raise typer.BadParameter("There is no such channel", param_hint="NAME")
    by = getpass.getuser()
    _run(context, lambda connection: want(connection, name, stopped=stopped, by=by))


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    async def working() -> _T:
        async with context.obj() as database, database.statement() as connection:
            return await work(connection)

    return asyncio.run(working())
