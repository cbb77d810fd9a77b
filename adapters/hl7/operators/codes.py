"""`sangam hl7 codes`: local codes and units that have no translation, and giving them one."""

import asyncio
import getpass
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.codes.settle import settle
from adapters.hl7.codes.task import Asked
from adapters.hl7.inbox.apply import begin
from adapters.hl7.mapping.sender_rules import Translation
from adapters.hl7.mapping.units import UCUM, is_ucum
from adapters.hl7.profiles.compose import UNIT_FIELD
from adapters.hl7.profiles.model import target_of
from fhir_server.caller import trusted
from fhir_server.database import Connection

app = typer.Typer(
    help="Local codes and units that have no translation, and giving them one.",
    no_args_is_help=True,
)

_STATES: Final = {"open": "asked for", "settled": "being repaired", "done": "translated"}
_LIST: Final = """
SELECT sender, fields, code, display, unit, count, state, target, coalesce(task_id, ''), system
FROM hl7_code
WHERE (%(all)s OR state <> 'done') AND (%(sender)s::text IS NULL OR sender = %(sender)s)
ORDER BY count DESC, sender, code LIMIT %(limit)s
"""
_ONE: Final = """
SELECT sender, system, code, fields, display, unit, count FROM hl7_code
WHERE sender = %s AND code = %s AND (%s::text IS NULL OR %s = ANY(fields))
"""


@app.command("list")
def list_codes(
    context: typer.Context,
    sender: Annotated[str | None, typer.Option(help="Only of this sender.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Those that are translated, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the most frequent first.")] = 100,
) -> None:
    """Show the codes that came without a translation, how often, and the Task of each.

    Example: sangam hl7 codes list --sender LIS-LAB
    """
    table = Table("sender", "field", "code", "display", "unit", "messages", "state", "Task")
    asked = {"all": all_, "sender": sender, "limit": limit}
    for whose, fields, code, display, unit, count, state, target, task_id, _ in _run(
        context, _LIST, asked
    ):
        meaning = ", ".join(f"{one[1]}^{one[2]}" for one in target or ())
        told = _STATES[state] + (f": {meaning}" if meaning else "")
        table.add_row(whose, ", ".join(fields), code, display, unit, str(count), told, task_id)
    Console(markup=False).print(table)


@app.command("map")
def map_code(
    context: typer.Context,
    sender: Annotated[str, typer.Argument(help="The sender, as `list` shows it.")],
    code: Annotated[str, typer.Argument(help="Its code or unit.")],
    meaning: Annotated[
        str | None,
        typer.Argument(help="code^display^system, of a unit the UCUM code; none: nothing."),
    ] = None,
    field: Annotated[str | None, typer.Option(help="The field, where several have it.")] = None,
) -> None:
    """Say what a local code means: for later messages, those held, and what is stored.

    Examples: sangam hl7 codes map LIS-LAB GLU '2345-7^Glucose^LN' /
    sangam hl7 codes map LIS-LAB 'gm/L' 'g/L'
    """
    Console(markup=False).print(asyncio.run(_map(context, (sender, code, field), meaning)))


async def _map(
    context: typer.Context, which: tuple[str, str, str | None], meaning: str | None
) -> str:
    sender, code, field = which
    async with context.obj.server() as server, server.database.transaction() as connection:
        asked = await _asked(connection, sender, code, field)
        meant = _meant(asked, meaning)
        base = (await begin(server)).base
        await settle(server, connection, trusted(getpass.getuser(), "cli"), base, asked, meant)
    return f"{code} of {sender} is settled; what is stored and held is put right by the worker."


async def _asked(connection: Connection, sender: str, code: str, field: str | None) -> Asked:
    rows = await (await connection.execute(_ONE, (sender, code, field, field))).fetchall()
    if len(rows) != 1:
        text = "several systems have it; name a --field" if rows else "no such code has come"
        raise typer.BadParameter(text, param_hint="CODE")
    whose, system, code, fields, display, unit, count = rows[0]
    return Asked(whose, system, code, tuple(fields), display, unit, count)


def _meant(asked: Asked, meaning: str | None) -> tuple[Translation, ...]:
    if meaning is None:
        return ()
    if asked.fields == (UNIT_FIELD,):
        if not is_ucum(meaning):
            raise typer.BadParameter("This is no UCUM code", param_hint="MEANING")
        return (Translation(UCUM, meaning),)
    try:
        return (Translation(*target_of(meaning)),)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MEANING") from None


def _run(context: typer.Context, query: str, values: dict[str, Any]) -> list[Any]:
    async def working() -> list[Any]:
        async with context.obj() as database, database.connection() as connection:
            rows: list[Any] = await (await connection.execute(query, values)).fetchall()
            return rows

    return asyncio.run(working())
