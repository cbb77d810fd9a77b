"""Rows of a statement, within the time that one may take.

https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled, UndefinedTable

from terminology.issues import UNPROCESSABLE, Issue, Refusal, not_found

Row = tuple[Any, ...]


class Connections(Protocol):
    """What lends connections in autocommit, such as a pool; they limit a statement's time."""

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """A connection for the time of a block."""
        ...


async def rows(
    connections: Connections,
    sql: str,
    parameters: Sequence[object] = (),
    *,
    prepare: bool = True,
) -> list[Row]:
    """All rows; Refusal `too-costly` when the statement takes too long, 404 when the release left.

    `prepare` False has it planned for its own values: where these decide how many rows there
    are, as in a search.
    """
    async with connections.connection() as connection:
        try:
            cursor = connection.cursor(binary=True)
            await cursor.execute(sql.encode(), parameters, prepare=prepare)
            return await cursor.fetchall()
        except QueryCanceled as error:
            words = "the request takes too long: ask for less"
            raise Refusal(UNPROCESSABLE, Issue("error", "too-costly", None, words)) from error
        except UndefinedTable as error:
            raise not_found("the release of the code system serves no longer") from error
