"""Transactions that are tried again when the database asks for it.

Deadlocks, serialization failures and races for one id are the server's affair,
never the client's: five tries with jitter, then a conflict.

https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from psycopg import errors

from fhir_server.database import Connection, Database
from fhir_server.errors import Conflict, SangamError

TRIES = 5
T = TypeVar("T")

_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)


class ChangedMeanwhile(errors.SerializationFailure):
    """What the work had found is no longer so; `refusal` is what to say in the end."""

    refusal: SangamError | None = None


def changed_meanwhile(refusal: SangamError | None = None) -> ChangedMeanwhile:
    """Return the error by which work asks to be tried again.

    When no try is left, the client is told the `refusal`.
    """
    error = ChangedMeanwhile("changed meanwhile")
    error.refusal = refusal
    return error


async def atomically(database: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` inside one transaction and return its result.

    Conflict when five tries met other writers.
    """
    return await _tried(database.transaction, work)


async def in_one_statement(database: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work`, which writes by a single statement, on a connection in autocommit.

    Conflict when five tries met other writers.
    """
    return await _tried(database.statement, work)


async def _tried(
    lend: Callable[[], AbstractAsyncContextManager[Connection]],
    work: Callable[[Connection], Awaitable[T]],
) -> T:
    refusal: SangamError | None = None
    for attempt in range(TRIES):
        try:
            async with lend() as connection:
                return await work(connection)
        except _AGAIN as error:
            refusal = error.refusal if isinstance(error, ChangedMeanwhile) else None
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  (jitter)
    raise refusal or Conflict("Other writers kept changing the same resources; try again")
