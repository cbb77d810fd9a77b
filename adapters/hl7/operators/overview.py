"""`sangam hl7 sources` and `sangam hl7 unmapped`: who sends, and what is not taken up."""

import asyncio
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.explain.words import REASON_TEXTS
from adapters.hl7.operators import queries

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def sources(context: typer.Context) -> None:
    """Show each sender: when it was last heard, what waits and for how long, the last day.

    Example: sangam hl7 sources
    """
    table = Table("sender", "channel", "last heard", "24 h", "done", "waiting", "lag", "dead")
    for one in _rows(context, queries.SOURCES, {}):
        lag = span(one["lag_seconds"]) if one["waiting"] else ""
        numbers = (one["received_day"], one["done_day"], one["waiting"] or "", lag, one["dead"])
        heard = f"{span(one['silent_seconds'])} ago"
        table.add_row(one["sender"], one["channel"], heard, *map(str, numbers))
    Console(markup=False).print(table)


def unmapped(
    context: typer.Context,
    sender: Annotated[str | None, typer.Option(help="Only of this sender.")] = None,
    messages: Annotated[int, typer.Option(min=1, help="Over so many, the newest.")] = 5_000,
    limit: Annotated[int, typer.Option(min=1, help="How many fields.")] = 100,
    *,
    control: Annotated[
        bool, typer.Option("--control", help="With what only guides the transmission.")
    ] = False,
) -> None:
    """Sum what is in no resource by sender and field, and say why.

    Example: sangam hl7 unmapped --sender LIS-LAB
    """
    asked = {"sender": sender, "messages": messages, "limit": limit, "control": control}
    table = Table("sender", "field", "why", "leaves", "messages")
    for one in _rows(context, queries.UNMAPPED, asked):
        why = REASON_TEXTS.get(one["reason"], one["reason"])
        count = (str(one["leaves"]), str(one["messages"]))
        table.add_row(one["sender"], one["field"], why, *count)
    Console(markup=False).print(table)


def span(seconds: float) -> str:
    """Return a time as a person says it: `40 s`, `5 min`, `3 h`, `2 days`."""
    if seconds < _MINUTE:
        return f"{max(0, round(seconds))} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{round(seconds / _HOUR)} h" if seconds < 2 * _DAY else f"{round(seconds / _DAY)} days"


def _rows(context: typer.Context, query: str, asked: dict[str, Any]) -> list[queries.Row]:
    async def working() -> list[queries.Row]:
        async with context.obj() as database, database.connection() as connection:
            return await queries.rows(connection, query, asked)

    return asyncio.run(working())
