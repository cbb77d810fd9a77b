"""C-FIND: what matches, streamed from the index.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.1
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.dicom import metrics
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network.command import Answer, Command
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Exchange, Fixed, Intake, Operation, Streamed
from adapters.dicom.network.statuses import CANCELLED, DOES_NOT_MATCH, OUT_OF_RESOURCES, SUCCESS
from adapters.dicom.query import models
from adapters.dicom.query.answers import Asked, answer, limited, record
from adapters.dicom.query.matching import Malformed, criteria
from adapters.dicom.query.statement import Statement, matches
from adapters.dicom.recorded import answered as recorded
from adapters.dicom.studies.ids import SHOWN_AS
from fhir_server.audit.peers import IMAGES
from fhir_server.database import SESSION, with_options

log = logging.getLogger(__name__)

LIMIT_REACHED = 0xB001

RELATIONAL = 0
"""The item of extended negotiation of relational queries and retrievals (PS3.4, C.5)."""

_COMBINED = 1
_FETCHED = 500
_WAIT_SECONDS = 10.0

Session = psycopg.Connection[tuple[Any, ...]]
Pool = ConnectionPool[Session]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Queries:
    """Where queries are answered from: connections, and the most answers to one query."""

    pool: Pool
    limit: int


def pool(conninfo: str, *, connections: int, seconds: float) -> Pool:
    """Return connections of their own for queries, none of which takes longer than `seconds`."""
    # All rows of a cursor are read here; PostgreSQL would plan for the first of them.
    options = f"{SESSION} -c statement_timeout={int(seconds * 1000)} -c cursor_tuple_fraction=1"
    return ConnectionPool(
        conninfo,
        min_size=0,
        max_size=connections,
        open=False,
        check=ConnectionPool.check_connection,
        kwargs={"options": with_options(conninfo, options), "autocommit": True},
    )


def find(queries: Queries, peer: Peer, context: Agreed, command: Command) -> Intake | Operation:
    """Return the operation that answers a C-FIND."""
    if not command.has_data_set:
        return Fixed(Answer(DOES_NOT_MATCH, "There is no identifier"))
    return Streamed(lambda data, exchange: _found(queries, peer, context, data, exchange))


def agreed_on(context: Agreed, item: int) -> bool:
    """Return whether a feature was agreed by extended negotiation (PS3.4, C.5.1.1)."""
    return context.extended[item : item + 1] == b"\1"


@dataclass(frozen=True, slots=True)
class Question:
    """What a C-FIND asks of the database, and how the rows found are answered.

    `status` is that of the pending responses, `beyond` the last one when there are more
    matches than are answered. `level` is what is asked for, in metrics. `record` has it
    recorded, over a connection, which rows are about to be answered.
    """

    statement: Statement
    status: int
    identifier: Callable[[Sequence[Any]], bytes]
    beyond: Answer
    record: Callable[[Session, Iterable[Row]], None]
    level: str = "WORKLIST"


def _found(
    queries: Queries, peer: Peer, context: Agreed, data: bytes, exchange: Exchange
) -> Iterator[Answer]:
    def record_of(session: Session, found: Iterable[Row]) -> None:
        studies = (sorted({row[0] for row in found}),)
        shown = session.execute(SHOWN_AS, studies).fetchall()
        recorded(session, peer, IMAGES, data, (("ImagingStudy", row[0]) for row in shown))

    def question() -> Question:
        asked, statement = understood(context, data, peer)
        return Question(
            statement,
            asked.status(),
            lambda row: answer(asked, record(asked.level, row, statement.counted)),
            Answer(LIMIT_REACHED, "There are more matches"),
            record_of,
            asked.level.name,
        )

    return answered(queries, question, exchange)


def answered(
    queries: Queries, question: Callable[[], Question], exchange: Exchange
) -> Iterator[Answer]:
    """Yield the responses to a question; what cannot be understood or read is a status."""
    try:
        asked = question()
    except Malformed as error:
        yield Answer(DOES_NOT_MATCH, str(error))
        return
    try:
        with metrics.querying(asked.level):
            yield from _streamed(queries, asked, exchange)
    except psycopg.Error as error:
        log.warning("a query failed: %s", type(error).__name__)
        yield Answer(OUT_OF_RESOURCES, "The index is not available")


def understood(context: Agreed, data: bytes, peer: Peer) -> tuple[Asked, Statement]:
    """Return what an identifier asks for and the statement that finds it. Raises Malformed."""
    keys = models.identifier(data, context.transfer_syntax)
    level = models.level_of(keys, context.abstract_syntax)
    if not agreed_on(context, RELATIONAL):
        models.check_hierarchy(keys, context.abstract_syntax, level)
    model = models.levels(context.abstract_syntax)
    parents: tuple[Level, ...] = model[: model.index(level) + 1]
    asked = Asked(level, keys, parents, context.transfer_syntax, peer.called, peer.character_set)
    combined = agreed_on(context, _COMBINED)
    return asked, matches(level, criteria(keys), asked.keywords(), combined=combined)


def _streamed(queries: Queries, asked: Question, exchange: Exchange) -> Iterator[Answer]:
    left = queries.limit
    with closing(batches(queries.pool, limited(asked.statement, left))) as found:
        for session, batch in found:
            shown = batch[:left]
            if batch[:1] == shown[:1]:  # the one row too many is not shown
                asked.record(session, shown)
            for row in shown:
                if exchange.cancelled():
                    yield Answer(CANCELLED, "The query was cancelled")
                    return
                yield Answer(asked.status, data_set=asked.identifier(row))
            left -= len(shown)
            if len(shown) < len(batch):
                yield asked.beyond
                return
    yield Answer(SUCCESS)


def rows(pool: Pool, statement: Statement) -> Generator[Row]:
    """Yield the rows of a statement as `batches` does, one by one."""
    with closing(batches(pool, statement)) as found:
        yield from chain.from_iterable(batch for _, batch in found)


def batches(pool: Pool, statement: Statement) -> Generator[tuple[Session, list[Row]]]:
    """Yield the rows of a statement, some at a time, with the connection they come from.

    There is one batch at least. No transaction stays open while they are read. Raises
    psycopg.Error.
    """
    with (
        pool.connection(timeout=_WAIT_SECONDS) as connection,
        # Held over its transaction, so that a slow reader holds none.
        connection.cursor(name="found", withhold=True) as cursor,
    ):
        with connection.transaction():
            cursor.execute(statement.sql, statement.values)
        while True:
            batch = cursor.fetchmany(_FETCHED)
            yield connection, batch
            if len(batch) < _FETCHED:
                return
