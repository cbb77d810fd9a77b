"""Mapped messages written to FHIR, and what becomes of their rows.

The FHIR write and the state of the row are one transaction, so a message is
applied once whatever happens.
"""

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from adapters.hl7 import metrics
from adapters.hl7.acknowledgement.outcome import application
from adapters.hl7.inbox import contents, untranslated
from adapters.hl7.inbox.merge import Joining, merge
from adapters.hl7.inbox.understand import NOTHING_KEPT, KeptOrigin, understand
from adapters.hl7.inbox.writing import Given, Written, trace, write
from adapters.hl7.laboratory import critical, snapshot_results
from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.transform import MAP_VERSION, Mapped, transform
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.configured import profile_of
from adapters.hl7.uri_base import uri_base
from fhir_server.caller import Caller, trusted
from fhir_server.database import Connection
from fhir_server.errors import (
    Conflict,
    SangamError,
    Throttled,
    Unavailable,
)
from fhir_server.interactions.judging import SAMPLED
from fhir_server.server import Server

TRANSIENT: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.OperationalError,
    Conflict,
    Throttled,
    Unavailable,
)
# So many messages of a kind are judged in full before samples do.
_NEW: Final = 50
# What many messages name, and no result changes.
_REMEMBERED: Final = frozenset(
    ("Practitioner", "PractitionerRole", "Organization", "Device", "Location")
)

_log = logging.getLogger(__name__)

_DONE: Final = """
UPDATE hl7_message AS m SET state = g.state, reason = NULL, detail = NULL,
    attempts = m.attempts + 1, next_attempt = NULL, finished_at = now(),
    result_versions = g.versions, unmapped = g.unmapped,
    warnings = nullif(coalesce(m.warnings, '{}') || g.warnings, '{}'::jsonb),
    profile = g.profile, map_version = %s, app_ack = g.app_ack, event_time = g.event_time
FROM unnest(
    %b::bigint[], %b::jsonb[], %b::jsonb[], %b::jsonb[], %b::bytea[], %b::text[], %b::text[],
    %b::timestamptz[]
) AS g(id, versions, unmapped, warnings, app_ack, profile, state, event_time)
WHERE m.id = g.id AND m.state = 'stored'
RETURNING m.id
"""
_DEAD: Final = """
UPDATE hl7_message SET state = 'dead', reason = %s, detail = %s, attempts = attempts + 1,
    next_attempt = NULL, finished_at = now(), map_version = %s, app_ack = %s, holds = %s
WHERE id = %s AND state = 'stored'
"""
_STATE: Final = "SELECT state FROM hl7_message WHERE id = %s"
_LATER: Final = """
UPDATE hl7_message SET attempts = attempts + 1, detail = %s, next_attempt = %s
WHERE id = %s AND state = 'stored'
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A stored message that may be processed now or, if it is not `due`, later.

    `confirmed`: an operator wants what it does, however much that is. `holds` and
    `waits` are its claims (inbox/barriers): it starts when none of `waits` is held by
    an earlier one; `alone`: it shares no transaction with others.
    """

    id: int
    raw: bytes
    partition_keys: frozenset[str]
    attempts: int
    ack_mode: str
    due: bool
    confirmed: bool = False
    holds: frozenset[str] = frozenset()
    waits: frozenset[str] = frozenset()
    alone: bool = False
    kept: KeptOrigin = NOTHING_KEPT


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that was mapped, with its row."""

    row: Row
    message: Message
    mapped: Mapped
    profile: Profile


@dataclass(slots=True)
class Work:
    """One pass over the inbox: the server, and the literal reference of what is known to exist.

    `base` begins the systems and keys that are made; `known` is keyed by the full
    URL that stands for an identity in a message.
    """

    server: Server
    base: str
    known: dict[str, str] = field(default_factory=dict)
    judged: Counter[str] = field(default_factory=Counter)
    groups: int = 0

    def door(self, group: Sequence[Ready]) -> str:
        """Return the way in, which tells how far resources are judged.

        In full while kinds of messages of a sender are new in this pass, and samples of
        what follows; else by structure, as each resource costs as much to judge as to map.
        """
        settings = self.server.settings
        self.groups += 1
        kinds = [
            f"{one.profile.label or one.profile.sender} {one.message.header.raw(9)}"
            for one in group
        ]
        new = any(self.judged[kind] < _NEW for kind in kinds)
        self.judged.update(kinds)
        every = settings.hl7.full_validation_every
        full = new or self.groups % every == 0 or "hl7" in settings.validation.doors
        return "hl7" if full else SAMPLED


async def begin(server: Server) -> Work:
    """Return the work of one pass."""
    return Work(server, await uri_base(server))


async def apply(work: Work, rows: Sequence[Row]) -> set[str]:
    """Write messages of different patients; return the claims behind which others wait.

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
            waiting |= row.holds
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
        await _bury(work.server, row, ready.message, _refusal(error))
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
            settings = work.server.settings
            agreed = agreements(work.server)
            await agreed.refresh()
            message, profile = await understand(
                agreed, settings, row.raw, row.kept, lambda m: profile_of(m, settings, work.base)
            )
            mapped = transform(message, profile, work.known)
            ready = Ready(row, message, mapped, profile)
            if not (mapped.untranslated and profile.dictionary.hold):
                return ready
        await _hold(work, ready)
    except TRANSIENT:  # what is agreed lies in the database, too: the job comes back
        raise
    except Refusal as refusal:
        await _bury(work.server, row, message, refusal)
    except Exception as error:  # noqa: BLE001  (the inbox goes on; the row says why)
        _log.exception("Message %d cannot be mapped", row.id)
        await _bury(work.server, row, message, _unexpected(error))
    return None


async def _hold(work: Work, ready: Ready) -> None:
    """Set aside a message that has codes without translation, and ask for these."""
    places = untranslated.texts(ready.mapped.untranslated)
    refusal = Refusal("UNMAPPED_CODE_HELD", f"Codes without translation: {places}")
    # First, as a message that is held while nobody is asked would stay so.
    async with work.server.database.transaction() as connection:
        await untranslated.note(connection, _untranslated([ready]))
    await _bury(work.server, ready.row, ready.message, refusal)


def _untranslated(group: Sequence[Ready]) -> list[untranslated.Noted]:
    return [
        untranslated.Noted(ready.row.id, ready.profile.sender, ready.mapped.untranslated)
        for ready in group
        if ready.mapped.untranslated
    ]


async def _commit(work: Work, group: Sequence[Ready]) -> None:
    """Write the resources and finish the rows in one transaction."""
    if not group:
        return
    server = work.server
    caller = trusted("hl7", work.door(group))
    given = [Given(one.row.id, one.mapped, one.profile.trust) for one in group]
    with metrics.commit_seconds.time():
        async with server.database.transaction() as connection:
            written = await write(server, connection, caller, given)
            documents = [one for ready in group for one in ready.mapped.binaries]
            await contents.store(server, connection, caller, documents, written.outcomes)
            results = await _results(server, connection, caller, group, written)
            raised = await critical.follow(server, connection, caller, work.base, results)
            more = await merge(server, connection, work.base, _joinings(group, written))
            await trace(server, connection, caller, work.base, _said(group, written))
            await _finish(connection, server, group, written, more)
            await untranslated.note(connection, _untranslated(group))
    metrics.processed.labels(server.settings.hl7.channel).inc(len(group))
    metrics.stale.inc(sum(done.stale for done in written.done.values()))
    for ready in group:
        metrics.count_unmapped(ready.profile.sender, ready.mapped.unmapped)
    for level in raised:
        metrics.critical.labels(level).inc()
    work.known.update(
        (url, f"{outcome.type}/{outcome.id}")
        for url, outcome in written.outcomes.items()
        if outcome.type in _REMEMBERED
    )


async def _results(
    server: Server,
    connection: Connection,
    caller: Caller,
    group: Sequence[Ready],
    written: Written,
) -> list[critical.Written]:
    """Return the results that were written; cancel those that their report no longer has."""
    found: list[critical.Written] = []
    for ready in group:
        agreed, writes = ready.mapped.critical, ready.mapped.writes
        found += critical.results(writes, written.outcomes, agreed)
        if ready.profile.snapshot_results and not written.done[ready.row.id].late:
            outcomes = written.outcomes
            gone = await snapshot_results.cancel(server, connection, caller, writes, outcomes)
            found += [critical.cancelled(outcome, agreed) for outcome in gone]
    return found


def _said(
    group: Sequence[Ready], written: Written
) -> list[tuple[int, bytes, Mapping[str, Any], Sequence[str]]]:
    return [(one.row.id, one.row.raw, one.mapped.said, written.new[one.row.id]) for one in group]


def _joinings(group: Sequence[Ready], written: Written) -> list[Joining]:
    """Return what the messages join, beyond what they write (inbox/merge)."""
    return [
        Joining(
            one.row.id,
            one.mapped.merges,
            one.mapped.event_time,
            one.row.confirmed,
            written.new[one.row.id],
        )
        for one in group
        if one.mapped.merges
    ]


async def _finish(
    connection: Connection,
    server: Server,
    group: Sequence[Ready],
    written: Written,
    more: Mapping[int, Sequence[str]],
) -> None:
    now = datetime.now(UTC)
    rows = [ready.row.id for ready in group]
    done = [written.done[row] for row in rows]
    cursor = await connection.execute(
        _DONE,
        (
            MAP_VERSION,
            rows,
            [Jsonb([*written.versions[row], *more.get(row, ())]) for row in rows],
            [Jsonb(ready.mapped.unmapped) for ready in group],
            [
                Jsonb({**ready.mapped.warnings, **written.done[ready.row.id].warnings})
                for ready in group
            ],
            [_told(server, ready.row, ready.message, None, now) for ready in group],
            [ready.profile.label or ready.profile.sender for ready in group],
            [
                "stale" if one.stale and one_row not in more else "done"
                for one, one_row in zip(done, rows, strict=True)
            ],
            [ready.mapped.event_time for ready in group],
        ),
    )
    if len(await cursor.fetchall()) != len(group):
        raise Conflict("Another process finished one of these messages")


def _refusal(error: SangamError) -> Refusal:
    """Return what the operator and the sender are told of a refused write."""
    issue = error.issues[0]
    detail = f"{issue.expression}: {issue.text}" if issue.expression else issue.text
    return Refusal("INVALID_RESOURCE", detail)


def _unexpected(error: Exception) -> Refusal:
    return Refusal("MAPPING_ERROR", f"The mapping failed with {type(error).__name__}")


async def _bury(server: Server, row: Row, message: Message | None, refusal: Refusal) -> None:
    """Set a message aside with its reason; its bytes stay."""
    place = f"{refusal.place}: " if refusal.place else ""
    ack = _told(server, row, message, refusal, datetime.now(UTC)) if message else None
    held = server.settings.hl7.on_dead == "hold"
    values = (refusal.reason, f"{place}{refusal.text}", MAP_VERSION, ack, held, row.id)
    async with server.database.statement() as connection:
        await connection.execute(_DEAD, values)
    metrics.dead.labels(refusal.reason).inc()


def _told(
    server: Server, row: Row, message: Message, refusal: Refusal | None, now: datetime
) -> bytes | None:
    """Return what the sender is told of the outcome, in the form that its channel has."""
    form = server.settings.hl7.of(row.kept.channel).order_response
    return application(message, row.ack_mode, refusal, now, form)


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
