"""Messages that were named and that a command does nothing to, each with the reason."""

from collections.abc import Collection, Sequence
from typing import Final

import typer
from rich.console import Console

from fhir_server.database import Connection

INBOX: Final = "SELECT id, state FROM hl7_message WHERE id = ANY(%s)"
OUTBOUND: Final = "SELECT id, state FROM hl7_outbound WHERE id = ANY(%s)"


async def left(
    connection: Connection, query: str, ids: Sequence[int], done: Collection[int], verb: str
) -> list[str]:
    """Return why each of the messages that is not among those done was left as it is.

    `query` is INBOX or OUTBOUND; `verb` is what could not be done (`dismissed`).
    """
    others = [one for one in dict.fromkeys(ids) if one not in done]
    cursor = await connection.execute(query, (others,))
    states: dict[int, str] = dict(await cursor.fetchall())
    return [
        f"Message {one} is {states[one]}, and was not {verb}."
        if one in states
        else f"There is no message {one}."
        for one in others
    ]


def end(problems: Sequence[str]) -> None:
    """Print why messages were left, and end the command with 1 if any was."""
    for one in problems:
        Console(stderr=True, markup=False).print(one, highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
