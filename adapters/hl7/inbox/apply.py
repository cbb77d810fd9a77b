"""Mapped messages written to FHIR, and what becomes of their rows.

The FHIR write and the state of the row are one transaction, so a message is
applied once whatever happens.
"""

import logging
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from adapters.hl7 import metrics
from adapters.hl7.acknowledgement.outcome import application
from adapters.hl7.mapping.context import Profile, Refusal, Write
from adapters.hl7.mapping.transform import MAP_VERSION, Mapped, transform
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, Message, parse
from adapters.hl7.profiles.attribution import sender_of
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
from fhir_server.r4 import json
from fhir_server.server import Server

TRANSIENT: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.OperationalError,
    Conflict,
    Throttled,
    Unavailable,
)
_AMBIGUOUS: Final = {"Patient": "AMBIGUOUS_PATIENT", "ServiceRequest": "AMBIGUOUS_ORDER"}
# What many messages name, and no result changes.
_REMEMBERED: Final = frozenset(("Practitioner", "PractitionerRole", "Organization", "Device"))

_log = logging.getLogger(__name__)

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
_STATE: Final = "SELECT state FROM hl7_message WHERE id = %s"
_LATER: Final = """
UPDATE hl7_message SET attempts = attempts + 1, detail = %s, next_attempt = %s
WHERE id = %s AND state = 'stored'
"""
_PIN: Final = "INSERT INTO hl7_installation (id, uri_base) VALUES (1, %s) ON CONFLICT DO NOTHING"
_PINNED: Final = "SELECT uri_base FROM hl7_installation WHERE id = 1"
_STORED: Final = "SELECT key FROM hl7_report WHERE key = ANY(%s)"
_OWNED: Final = """
INSERT INTO hl7_report (key, patient_id, message_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT (key) DO UPDATE SET message_id = excluded.message_id
WHERE hl7_report.patient_id = excluded.patient_id
RETURNING key, xmax = 0
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


@dataclass(slots=True)
class Work:
    """One pass over the inbox: the server, and the literal reference of what is known to exist.

    `base` begins the systems and keys that are made; `known` is keyed by the full
    URL that stands for an identity in a message.
    """

    server: Server
    base: str
    known: dict[str, str] = field(default_factory=dict)


async def begin(server: Server) -> Work:
    """Return the work of one pass.

    Without a setting, systems and keys begin for ever with the base URL that the
    server had when the first message was processed: under another one, nothing
    that was written before would be found again.
    """
    said = server.settings.hl7.uri_base.rstrip("/")
    if said:
        return Work(server, said)
    async with server.database.statement() as connection:
        await connection.execute(_PIN, (server.base,))
        cursor = await connection.execute(_PINNED)
        row = await cursor.fetchone()
    assert row is not None
    return Work(server, str(row[0]))


async def apply(work: Work, rows: Sequence[Row]) -> set[str]:
    """Write messages of different patients; return the partitions that must wait.

    They are one transaction, and each its own where that fails.
    """
    ready = [mapped for row in rows if (mapped := await _mapped(work, row))]
    try:
        for group in _disjoint(ready):
            await _commit(work, group)
    except Exception as error:  # noqa: BLE001  (whatever it was, one of the messages has it)
        _log.info("A group of %d messages goes singly: %s", len(rows), type(error).__name__)
    else:
        return set()
    # What was known to exist may be what is gone.
    work.known.clear()
    waiting: set[str] = set()
    for row in rows:
        if not await _single(work, row):
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


async def _single(work: Work, row: Row) -> bool:
    """Process one message; return whether it is finished, well or not."""
    if await _is_finished(work.server, row):
        return True
    ready = await _mapped(work, row)
    if ready is None:
        return True
    try:
        await _commit(work, [ready])
    except Refusal as refusal:
        await _bury(work.server, row, ready.message, refusal)
    except TRANSIENT as error:
        return await _postpone(work.server, row, ready.message, error)
    except SangamError as error:
        await _bury(work.server, row, ready.message, _refusal(error, ready))
    except Exception as error:  # noqa: BLE001  (the inbox goes on; the row says why)
        _log.exception("Message %d cannot be committed", row.id)
        await _bury(work.server, row, ready.message, _unexpected(error))
    return True


async def _is_finished(server: Server, row: Row) -> bool:
    """Whether the message was finished in the meantime, as part of a group."""
    async with server.database.statement() as connection:
        cursor = await connection.execute(_STATE, (row.id,))
        return await cursor.fetchone() != ("stored",)


async def _mapped(work: Work, row: Row) -> Ready | None:
    """Return the mapped message; bury one that cannot be mapped and return None."""
    message: Message | None = None
    try:
        with metrics.map_seconds.time():
            message = opened(row.raw, work.server.settings)
            profile = profile_of(message, work.server.settings, work.base)
            return Ready(row, message, transform(message, profile, work.known))
    except Refusal as refusal:
        await _bury(work.server, row, message, refusal)
    except Exception as error:  # noqa: BLE001  (the inbox goes on; the row says why)
        _log.exception("Message %d cannot be mapped", row.id)
        await _bury(work.server, row, message, _unexpected(error))
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


def profile_of(message: Message, configured: Settings, base: str) -> Profile:
    """Return what is agreed with the sender of a message."""
    settings = configured.hl7
    zone = settings.timezone
    return Profile(
        base=base,
        sender=sender_of(message),
        zone=UTC if zone == "UTC" else ZoneInfo(zone),
        authorities=settings.authorities,
        orders_from_results=settings.orders_from_results,
        encounter_without_number=settings.encounter_without_number,
        placer_scope=settings.placer_scope,
        obx_after_spm=settings.obx_after_spm,
    )


def _entry(write: Write, reports: Collection[str]) -> Entry:
    """Return a write as an entry of a transaction: a conditional update or create.

    What belongs to a report that is not among the stored `reports` is new, and is
    created without a search.
    """
    kind: str = write.resource["resourceType"]
    # With its text at hand, the transaction replaces references there.
    raw = json.encode(write.resource)
    new = write.within and write.within not in reports
    query = None if new else _query(write.identity)
    updates = write.method == "PUT" and not new
    return Entry(
        "PUT" if updates else "POST",
        f"{kind}?{query}" if updates else kind,
        resource=write.resource,
        raw=raw,
        full_url=write.full_url,
        if_none_exist=None if updates else query,
    )


def _query(identity: Sequence[str]) -> str:
    return "identifier=" + quote(",".join(identity), safe="|:/.-_~,")


async def _commit(work: Work, group: Sequence[Ready]) -> None:
    """Write the resources and finish the rows in one transaction."""
    if not group:
        return
    server = work.server
    writes: dict[str, Write] = {}
    for ready in group:
        for write in ready.mapped.writes:
            writes.setdefault(write.full_url, write)
    # Before the transaction, which makes the references in the resources literal.
    reports = _reports(group)
    caller = Caller("hl7", "hl7")
    with metrics.commit_seconds.time():
        async with server.database.transaction() as connection:
            stored = await _stored(connection, [key for key, _, _ in reports])
            asked = [_entry(write, stored) for write in writes.values()]
            outcomes = await transaction(server, connection, caller, asked)
            written = dict(zip(writes, outcomes, strict=True))
            claims = [(key, written[who].id, row) for key, who, row in reports]
            await _own(connection, claims, stored)
            await _finish(connection, group, written)
    metrics.processed.labels(server.settings.hl7.channel).inc(len(group))
    work.known.update(
        (url, f"{outcome.type}/{outcome.id}")
        for url, outcome in written.items()
        if outcome.type in _REMEMBERED
    )


def _reports(group: Sequence[Ready]) -> list[tuple[str, str, int]]:
    """Return (identity, patient's full URL, row) of each report."""
    return [
        (write.identity[0], write.resource["subject"]["reference"], ready.row.id)
        for ready in group
        for write in ready.mapped.writes
        if write.resource["resourceType"] == "DiagnosticReport"
    ]


async def _stored(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of the reports that were written before."""
    cursor = await connection.execute(_STORED, (list(keys),))
    return {key for (key,) in await cursor.fetchall()}


async def _own(
    connection: Connection, claims: Sequence[tuple[str, str, int]], stored: Collection[str]
) -> None:
    """Claim each report for its Patient's id; Refusal where it is another patient's.

    A filler that uses a number again for somebody else must not move results from
    one person to another. Conflict where a report that was not among the `stored`
    ones has come since, as its results were then created twice.
    """
    if not claims:
        return
    cursor = await connection.execute(
        _OWNED, ([c[0] for c in claims], [c[1] for c in claims], [c[2] for c in claims])
    )
    owned = await cursor.fetchall()
    if len(owned) != len(claims):
        raise Refusal("PATIENT_CONFLICT", "The report belongs to another patient", "PID-3", "204")
    if any(not inserted and key not in stored for key, inserted in owned):
        raise Conflict("Another process wrote one of these reports")


async def _finish(
    connection: Connection, group: Sequence[Ready], written: Mapping[str, Outcome]
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


def _versions(ready: Ready, written: Mapping[str, Outcome]) -> list[str]:
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
