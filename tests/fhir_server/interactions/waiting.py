"""A writer ahead of another, which waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

CALLER = trusted("test", "rest")
# 20 seconds of looking.
MOST_LOOKS = 4000


@asynccontextmanager
async def ahead(server: Server, *entries: Entry) -> AsyncIterator[None]:
    """Have these entries written and not committed while the block runs."""
    async with server.database.transaction() as connection:
        await transaction(server, connection, CALLER, entries)
        yield


async def answer_after(
    server: Server, database_url: str, first: Entry, request: Awaitable[Any]
) -> httpx.Response:
    """Return the answer to a request that waits for `first`, which began before it, to commit."""
    async with ahead(server, first):
        asked = asyncio.ensure_future(request)
        await asyncio.to_thread(until_one_waits, database_url)
        assert not asked.done()
    answer: httpx.Response = await asked
    return answer


def until_one_waits(database_url: str) -> None:
    """Return once a statement waits for a lock; fail when none does."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(MOST_LOOKS):
            if connection.execute(waiting).fetchone() != (0,):
                return
            connection.execute("SELECT pg_sleep(0.005)")
    pytest.fail("nobody waits")
