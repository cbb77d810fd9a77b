"""The job that turns stored messages into FHIR resources.

Messages are taken in the order of receipt; those of one patient never overtake
one another. The FHIR write and the state of the row are one transaction, so a
message is applied once whatever happens.
"""

import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from adapters.hl7 import metrics
from adapters.hl7.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.context import Profile, Refusal, Write
from adapters.hl7.examine import sender_of
from adapters.hl7.refusal import application
from adapters.hl7.tokenizer import BadHeader, Message, parse
from adapters.hl7.transform import MAP_VERSION, Mapped, transform
from fhir_server.caller import Caller
from fhir_server.config import Settings
from fhir_server.database import Connection
from fhir_server.errors import (
    Conflict,
    PreconditionFailed,
    SangamError,
    Throttled,
    Unavailable,
)
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

_LOCK: Final = 7_261_964_007  # any number, the same in every process
_WINDOW: Final = 200
_TRANSIENT: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.OperationalError,
    Conflict,
    Throttled,
    Unavailable,
)
_AMBIGUOUS: Final = {"Patient": "AMBIGUOUS_PATIENT", "ServiceRequest": "AMBIGUOUS_ORDER"}
_CALLER: Final = "hl7"

_log = logging.getLogger(__name__)

_NEXT: Final = """
SELECT id, raw, partition_keys, attempts, ack_mode,
       coalesce(next_attempt <= now(), true) AS due
FROM hl7_message WHERE state = 'stored' AND id > %s ORDER BY id LIMIT %s
"""
_LEFT: Final = """
SELECT EXISTS (
    SELECT FROM hl7_message WHERE state = 'stored'
    AND coalesce(next_attempt <= now(), true) AND NOT partition_keys && %s::text[]
), EXISTS (SELECT FROM hl7_message WHERE state = 'stored')
"""
_DONE: Final = """
UPDATE hl7_message AS m SET state = 'done', reason = NULL, detail = NULL,
    attempts = m.attempts + 1, next_attempt = NULL, finished_at = now(),
    result_versions = g.versions, unmapped = g.unmapped,
    warnings = nullif(coalesce(m.warnings, '{}') || g.warnings, '{}'::jsonb),
    profile = m.sender, map_version = %s, app_ack = g.app_ack
FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::jsonb[], %s::bytea[])
    AS g(id, versions, unmapped, warnings, app_ack)
WHERE m.id = g.id AND m.state = 'stored'
RETURNING m.id
"""
_DEAD: Final = """
UPDATE hl7_message SET state = 'dead', reason = %s, detail = %s, attempts = attempts + 1,
    next_attempt = NULL, finished_at = now(), map_version = %s, app_ack = %s
WHERE id = %s AND state = 'stored'
"""
_LATER: Final = """
UPDATE hl7_message SET attempts = attempts + 1, detail = %s, next_attempt = %s
WHERE id = %s AND state = 'stored'
"""
_OWNED: Final = """
INSERT INTO hl7_report (key, patient_id, message_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT (key) DO UPDATE SET message_id = excluded.message_id
WHERE hl7_report.patient_id = excluded.patient_id
RETURNING key
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A stored message that may be processed now or, if it is not `due`, later."""

    id: int
    raw: bytes
    partition_keys: frozenset[str]
    attempts: int
    ack_mode: str
    due: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that was mapped, with its row."""

    row: Row
    message: Message
    mapped: Mapped


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Process all stored messages that are due.

    One process at a time does so; another that comes finds it busy and leaves,
    and the busy one looks again before it ends. Raises Unavailable when messages
    wait for another try, so that the job comes back.
    """
    while True:
        async with _alone(server) as alone:
            if not alone:
                return
            blocked = await _drain(server)
        due, waiting = await _left(server, blocked)
        if due:
            continue
        if waiting:
            raise Unavailable("Messages wait for another try")
        return


@asynccontextmanager
async def _alone(server: Server) -> AsyncIterator[bool]:
    """Hold the lock of the one who processes, if nobody holds it."""
    async with server.database.statement() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        row = await cursor.fetchone()
        alone = bool(row and row[0])
        try:
            yield alone
        finally:
            if alone:
                await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _left(server: Server, blocked: set[str]) -> tuple[bool, bool]:
    """Return whether a message came that can be taken now, and whether any is stored."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_LEFT, (list(blocked),))
        row = await cursor.fetchone()
    assert row is not None
    return bool(row[0]), bool(row[1])


async def _drain(server: Server) -> set[str]:
    """Pass over the stored messages in their order; return the partitions that wait."""
    after = 0
    blocked: set[str] = set()
    while rows := await _window(server, after):
        after = rows[-1].id
        group: list[Row] = []
        keys: set[str] = set()
        for row in rows:
            if not row.due or row.partition_keys & blocked:
                blocked |= row.partition_keys
                continue
            if row.partition_keys & keys or len(group) == server.settings.hl7.batch_messages:
                blocked |= await _process(server, group)
                group, keys = [], set()
                if row.partition_keys & blocked:
                    blocked |= row.partition_keys
                    continue
            group.append(row)
            keys |= row.partition_keys
        blocked |= await _process(server, group)
    return blocked


async def _window(server: Server, after: int) -> list[Row]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(_NEXT, (after, _WINDOW), binary=True)
        return [
            Row(id_, bytes(raw), frozenset(keys), attempts, mode, due)
            for id_, raw, keys, attempts, mode, due in await cursor.fetchall()
        ]


async def _process(server: Server, rows: Sequence[Row]) -> set[str]:
    """Process messages of different patients; return the partitions that must wait.

    They are one transaction, and each its own where that fails.
    """
    if not rows:
        return set()
    if len(rows) > 1:
        ready = [mapped for row in rows if (mapped := await _mapped(server, row))]
        try:
            for group in _disjoint(ready):
                await _commit(server, group)
        except Exception as error:  # noqa: BLE001  (whatever it was, one of the messages has it)
            _log.info("A group of %d messages goes singly: %s", len(rows), type(error).__name__)
        else:
            return set()
    waiting: set[str] = set()
    for row in rows:
        if not await _single(server, row):
            waiting |= row.partition_keys
    return waiting


def _disjoint(ready: Sequence[Ready]) -> list[list[Ready]]:
    """Split messages, in order, where two write what has one identity."""
    groups: list[list[Ready]] = []
    seen: set[str] = set()
    for one in ready:
        written = {write.full_url for write in one.mapped.writes if write.method == "PUT"}
        if not groups or written & seen:
            groups.append([])
            seen = set()
        groups[-1].append(one)
        seen |= written
    return groups


async def _single(server: Server, row: Row) -> bool:
    """Process one message; return whether it is finished, well or not."""
    ready = await _mapped(server, row)
    if ready is None:
        return True
    try:
        await _commit(server, [ready])
    except Refusal as refusal:
        await _bury(server, row, ready.message, refusal)
    except _TRANSIENT as error:
        return await _postpone(server, row, ready.message, error)
    except SangamError as error:
        await _bury(server, row, ready.message, _refusal(error, ready))
    except Exception as error:  # noqa: BLE001  (the inbox goes on; the row says why)
        _log.exception("Message %d cannot be committed", row.id)
        await _bury(server, row, ready.message, _unexpected(error))
    return True


async def _mapped(server: Server, row: Row) -> Ready | None:
    """Return the mapped message; bury one that cannot be mapped and return None."""
    message: Message | None = None
    try:
        with metrics.map_seconds.time():
            message = opened(row.raw, server.settings)
            return Ready(row, message, transform(message, profile_of(message, server)))
    except Refusal as refusal:
        await _bury(server, row, message, refusal)
    except Exception as error:  # noqa: BLE001  (the inbox goes on; the row says why)
        _log.exception("Message %d cannot be mapped", row.id)
        await _bury(server, row, message, _unexpected(error))
    return None


def opened(raw: bytes, settings: Settings) -> Message:
    """Return the message in stored bytes; raises Refusal where it cannot be read."""
    try:
        decoded = decode(
            raw, fallback=settings.hl7.fallback_charset, override=settings.hl7.charset_override
        )
        return parse(decoded.text, decoded.codec)
    except UnsupportedCharset:
        raise Refusal("CHARSET_UNSUPPORTED", "The character set is not supported") from None
    except Undecodable:
        raise Refusal("UNDECODABLE", "The message is not in its character set") from None
    except BadHeader as bad:
        raise Refusal("BAD_MSH", str(bad)) from None


def profile_of(message: Message, server: Server) -> Profile:
    """Return what is agreed with the sender of a message."""
    settings = server.settings.hl7
    zone = settings.timezone
    return Profile(
        base=settings.uri_base.rstrip("/") or server.base,
        sender=sender_of(message),
        zone=UTC if zone == "UTC" else ZoneInfo(zone),
        authorities=settings.authorities,
        orders_from_results=settings.orders_from_results,
        encounter_without_number=settings.encounter_without_number,
        placer_scope=settings.placer_scope,
        obx_after_spm=settings.obx_after_spm,
    )


def entries(writes: Sequence[Write]) -> list[Entry]:
    """Return the writes as entries of a transaction: conditional updates and creates."""
    return [
        Entry(
            write.method,
            f"{kind}?{query}" if write.method == "PUT" else kind,
            resource=write.resource,
            full_url=write.full_url,
            if_none_exist=query if write.method == "POST" else None,
        )
        for write in writes
        for kind, query in ((write.resource["resourceType"], _query(write.identity)),)
    ]


def _query(identity: Sequence[str]) -> str:
    return "identifier=" + quote(",".join(identity), safe="|:/.-_~,")


async def _commit(server: Server, group: Sequence[Ready]) -> None:
    """Write the resources and finish the rows in one transaction."""
    writes: dict[str, Write] = {}
    for ready in group:
        for write in ready.mapped.writes:
            writes.setdefault(write.full_url, write)
    # Before the transaction, which makes the references in the resources literal.
    reports = _reports(group)
    caller = Caller(_CALLER, "hl7")
    with metrics.commit_seconds.time():
        async with server.database.transaction() as connection:
            outcomes = await transaction(server, connection, caller, entries(list(writes.values())))
            written = dict(zip(writes, outcomes, strict=True))
            await _own(connection, [(key, written[who].id, row) for key, who, row in reports])
            await _finish(connection, group, written)
    metrics.processed.labels(server.settings.hl7.channel).inc(len(group))


def _reports(group: Sequence[Ready]) -> list[tuple[str, str, int]]:
    """Return (identity, patient's full URL, row) of each report."""
    return [
        (write.identity[0], write.resource["subject"]["reference"], ready.row.id)
        for ready in group
        for write in ready.mapped.writes
        if write.resource["resourceType"] == "DiagnosticReport"
    ]


async def _own(connection: Connection, claims: Sequence[tuple[str, str, int]]) -> None:
    """Claim each report for its Patient's id; Refusal where it is another patient's.

    A filler that uses a number again for somebody else must not move results from
    one person to another.
    """
    if not claims:
        return
    cursor = await connection.execute(
        _OWNED, ([c[0] for c in claims], [c[1] for c in claims], [c[2] for c in claims])
    )
    if len(await cursor.fetchall()) != len(claims):
        raise Refusal("PATIENT_CONFLICT", "The report belongs to another patient", "PID-3", "204")


async def _finish(
    connection: Connection, group: Sequence[Ready], written: dict[str, Outcome]
) -> None:
    now = datetime.now(UTC)
    cursor = await connection.execute(
        _DONE,
        (
            MAP_VERSION,
            [ready.row.id for ready in group],
            [Jsonb(_versions(ready, written)) for ready in group],
            [Jsonb(ready.mapped.unmapped) for ready in group],
            [Jsonb(dict(ready.mapped.warnings)) for ready in group],
            [application(ready.message, ready.row.ack_mode, None, now) for ready in group],
        ),
    )
    if len(await cursor.fetchall()) != len(group):
        raise Conflict("Another process finished one of these messages")


def _versions(ready: Ready, written: dict[str, Outcome]) -> list[str]:
    outcomes = (written[write.full_url] for write in ready.mapped.writes)
    return [f"{o.type}/{o.id}/_history/{o.version}" for o in outcomes]


def _refusal(error: SangamError, ready: Ready) -> Refusal:
    """Return what the operator and the sender are told of a refused write."""
    issue = error.issues[0]
    detail = f"{issue.expression}: {issue.text}" if issue.expression else issue.text
    if isinstance(error, PreconditionFailed):
        kinds = [write.resource["resourceType"] for write in ready.mapped.writes]
        index = _entry_index(issue.expression)
        kind = kinds[index] if index is not None and index < len(kinds) else ""
        return Refusal(_AMBIGUOUS.get(kind, "INVALID_RESOURCE"), detail, code="204")
    return Refusal("INVALID_RESOURCE", detail)


def _entry_index(expression: str | None) -> int | None:
    number = (expression or "").removeprefix("Bundle.entry[").partition("]")[0]
    return int(number) if number.isdecimal() else None


def _unexpected(error: Exception) -> Refusal:
    return Refusal("MAPPING_ERROR", f"The mapping failed with {type(error).__name__}")


async def _bury(server: Server, row: Row, message: Message | None, refusal: Refusal) -> None:
    """Set a message aside with its reason; its bytes stay."""
    place = f"{refusal.place}: " if refusal.place else ""
    mode = row.ack_mode
    ack = application(message, mode, refusal, datetime.now(UTC)) if message else None
    values = (refusal.reason, f"{place}{refusal.text}", MAP_VERSION, ack, row.id)
    async with server.database.statement() as connection:
        await connection.execute(_DEAD, values)
    metrics.dead.labels(refusal.reason).inc()


async def _postpone(server: Server, row: Row, message: Message, error: Exception) -> bool:
    """Try again later, more and more patiently; return whether the tries are used up."""
    if row.attempts + 1 >= server.settings.hl7.attempts:
        text = f"The tries are used up: {type(error).__name__}"
        await _bury(server, row, message, Refusal("RETRY_EXHAUSTED", text))
        return True
    wait = min(60.0, 2.0**row.attempts) * random.uniform(0.8, 1.2)  # noqa: S311  (jitter)
    due = datetime.now(UTC) + timedelta(seconds=wait)
    async with server.database.statement() as connection:
        await connection.execute(_LATER, (type(error).__name__, due, row.id))
    return False
