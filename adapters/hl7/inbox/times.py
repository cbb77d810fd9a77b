"""As of when the stored resources are that messages told of.

A report keeps one time for all that its first message brought, and those of what came
later; what stands alone has a row of its own. docs/decisions/0029 has the reasons.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from adapters.hl7.inbox.plan import Told
from fhir_server.database import Connection
from fhir_server.errors import Conflict

_REPORTS: Final = "SELECT key, event_time, later FROM hl7_report WHERE key = ANY(%s)"
_APPLIED: Final = """
SELECT resource, event_time, cleared FROM hl7_applied WHERE resource = ANY(%s)
"""
_CLAIM: Final = """
INSERT INTO hl7_report (key, patient_id, message_id, event_time)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (key) DO UPDATE SET message_id = excluded.message_id,
    patient_id = excluded.patient_id
RETURNING key, xmax = 0
"""
_LATER: Final = """
UPDATE hl7_report AS r SET later = coalesce(r.later, '{}') || g.later
FROM unnest(%s::text[], %s::jsonb[]) AS g(key, later) WHERE r.key = g.key
"""
_NOTE: Final = """
INSERT INTO hl7_applied (resource, event_time, cleared)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::jsonb[])
ON CONFLICT (resource) DO UPDATE
SET event_time = excluded.event_time, cleared = excluded.cleared
WHERE hl7_applied.event_time <> excluded.event_time
    OR hl7_applied.cleared IS DISTINCT FROM excluded.cleared
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A report that was written before: the time of what it brought, and of what came later."""

    event_time: datetime | None
    later: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A report of a message: its key, its Patient's id, the row, and the time of its results."""

    key: str
    patient_id: str
    row: int
    event_time: datetime | None


async def reports(connection: Connection, keys: Iterable[str]) -> dict[str, Known]:
    """Return those of the reports that were written before, by key."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    cursor = await connection.execute(_REPORTS, (wanted,))
    return {key: Known(time, later or {}) for key, time, later in await cursor.fetchall()}


async def told(
    connection: Connection, within: Mapping[str, str], known: Mapping[str, Known]
) -> tuple[dict[str, datetime], dict[str, frozenset[str]]]:
    """Return by reference the event times of stored resources, and what messages deleted of them.

    `within` gives the report in which the key of each was made, "" without one.
    """
    found: dict[str, datetime] = {}
    for reference, key in within.items():
        if key in known:
            later = known[key].later.get(reference)
            time = datetime.fromisoformat(later) if later else known[key].event_time
            if time is not None:
                found[reference] = time
    alone = [reference for reference, key in within.items() if not key]
    cleared: dict[str, frozenset[str]] = {}
    if alone:
        cursor = await connection.execute(_APPLIED, (alone,))
        for reference, when, paths in await cursor.fetchall():
            found[reference] = when
            if paths:
                cleared[reference] = frozenset(paths)
    return found, cleared


async def claim(connection: Connection, claims: Sequence[Claim], known: Collection[str]) -> None:
    """Note the reports; Conflict where one that was not `known` has come since.

    Its results were then created twice, and the transaction is to be done again.
    """
    if not claims:
        return
    first = {one.key: one for one in claims}
    columns = [(one.key, one.patient_id, one.row, one.event_time) for one in first.values()]
    cursor = await connection.execute(_CLAIM, [list(c) for c in zip(*columns, strict=True)])
    if any(not inserted and key not in known for key, inserted in await cursor.fetchall()):
        raise Conflict("Another process wrote one of these reports")


async def note(
    connection: Connection,
    done: Iterable[Told],
    literals: Mapping[str, str],
    known: Mapping[str, Known],
    before: Mapping[str, datetime],
) -> None:
    """Note as of when resources are now; `literals` are the references of what was created."""
    later: dict[str, dict[str, str]] = {}
    alone: dict[str, tuple[datetime, Jsonb | None]] = {}
    for one in done:
        for reference, (within, time) in one.times.items():
            stored = literals.get(reference, reference)
            paths = one.cleared.get(reference)
            if before.get(reference) == time and paths is None:
                continue
            if not within:
                alone[stored] = (time, Jsonb(sorted(paths)) if paths else None)
            elif within in known:
                later.setdefault(within, {})[stored] = time.isoformat()
    if later:
        found = [Jsonb(times) for times in later.values()]
        await connection.execute(_LATER, (list(later), found))
    if alone:
        whens, paths_of = zip(*alone.values(), strict=True)
        await connection.execute(_NOTE, (list(alone), list(whens), list(paths_of)))
