"""Emergency access to one patient's record, by breaking the glass.

While a record is open there is a care relationship of a kind of its own, which ends by itself;
`rights.Opened` asks for it.

https://profiles.ihe.net/ITI/BALP/content.html
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from fhir_server.access.openers import GLASS
from fhir_server.database import Connection
from fhir_server.rights import ANY, Opened, Rights
from fhir_server.search.care import Kind

_COLUMNS = (
    "key, actor, patient, reason, words, client, opened_at, until, ended_at, notice,"
    " signed_by, signed_at"
)

_OPEN = f"""
WITH opened AS (
    INSERT INTO break_glass
        (key, actor, patient, reason, words, client, session, opened_at, until, notice)
    VALUES (%(key)s, %(actor)s, %(patient)s, %(reason)s, %(words)s, %(client)s, %(session)s,
            now(), now() + %(lasting)s, %(notice)s)
    RETURNING *
),
relation AS (
    INSERT INTO idx_care (key, actor, patient, kind, low, high)
    SELECT key, %(relation)s, patient, {int(Kind.GLASS)},
           (extract(epoch FROM opened_at) * 1000000)::bigint,
           (extract(epoch FROM until) * 1000000)::bigint
    FROM opened
)
SELECT {_COLUMNS} FROM opened
"""

_END = f"""
WITH ended AS (
    UPDATE break_glass SET ended_at = now()
    WHERE actor = %s AND patient = %s AND ended_at IS NULL AND until > now()
    RETURNING *
),
relation AS (
    DELETE FROM idx_care i USING ended WHERE i.key = ended.key AND i.kind = {int(Kind.GLASS)}
)
SELECT {_COLUMNS} FROM ended ORDER BY opened_at
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """A record that a person opened: who, whose, why in a code and in words, and for how long.

    `ended_at` is when it was closed before its time, `notice` the id of the
    CommunicationRequest that told of it; who reviewed it has signed.
    """

    key: int
    actor: str
    patient: str
    reason: str
    words: str
    client: str | None
    opened_at: datetime
    until: datetime
    ended_at: datetime | None
    notice: str | None
    signed_by: str | None
    signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be opened: `actor` is a reference, `patient` an id."""

    key: int
    actor: str
    patient: str
    reason: str
    words: str
    client: str | None
    session: str | None
    lasting: timedelta
    notice: str | None


def may_open(rights: Rights, user: str) -> bool:
    """Return whether a role of the person may break the glass at all.

    It has grants for that on types of its own; those of labels, which each role has, are on
    every type.
    """
    opened = Opened(user)
    grants = (grant for wall in rights.walls for grant in wall)
    return any(opened in grant.limits and grant.type != ANY for grant in grants)


async def open_record(connection: Connection, asked: Asked) -> Opening:
    """Open a record, in the transaction of the connection."""
    given = {
        "key": asked.key,
        "actor": asked.actor,
        "patient": asked.patient,
        "reason": asked.reason,
        "words": asked.words,
        "client": asked.client,
        "session": asked.session,
        "lasting": asked.lasting,
        "notice": asked.notice,
        "relation": f"{GLASS}{asked.actor}",
    }
    (found,) = await _openings(connection, _OPEN, given)
    return found


async def close_record(connection: Connection, actor: str, patient: str) -> list[Opening]:
    """Close what a person has open of a patient; none where nothing is."""
    return await _openings(connection, _END, (actor, patient))


async def under_way(connection: Connection, actor: str) -> list[Opening]:
    """Return what a person has open now."""
    statement = (
        f"SELECT {_COLUMNS} FROM break_glass"
        " WHERE actor = %s AND ended_at IS NULL AND until > now() ORDER BY opened_at"
    )
    return await _openings(connection, statement, (actor,))


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A patient's record (an id) that a person had open, from one time until before another."""

    patient: str
    since: datetime
    until: datetime


async def open_between(
    connection: Connection, actors: Collection[str], first: datetime, last: datetime
) -> dict[str, list[OpenRecord]]:
    """Return by person what was open at some time from `first` to `last`."""
    cursor = await connection.execute(
        "SELECT actor, patient, opened_at, coalesce(ended_at, until) FROM break_glass"
        " WHERE actor = ANY(%s) AND until > %s AND opened_at <= %s"
        " AND coalesce(ended_at, until) > %s",
        (list(actors), first, last, first),
    )
    found: dict[str, list[OpenRecord]] = {}
    for actor, patient, since, until in await cursor.fetchall():
        found.setdefault(actor, []).append(OpenRecord(patient, since, until))
    return found


async def open_at(connection: Connection, actor: str, at: datetime) -> frozenset[str]:
    """Return the ids of the patients whose records a person had open at a time."""
    found = await open_between(connection, (actor,), at, at)
    return frozenset(one.patient for one in found.get(actor, ()))


async def unsigned(connection: Connection, limit: int) -> list[Opening]:
    """Return what nobody has reviewed yet, the oldest first."""
    statement = (
        f"SELECT {_COLUMNS} FROM break_glass WHERE signed_at IS NULL ORDER BY opened_at LIMIT %s"
    )
    return await _openings(connection, statement, (limit,))


async def sign(connection: Connection, key: int, by: str) -> Opening | None:
    """Note that `by` has reviewed an opening of another; None where there is no such."""
    statement = (
        "UPDATE break_glass SET signed_by = %s, signed_at = now()"
        f" WHERE key = %s AND signed_at IS NULL AND actor <> %s RETURNING {_COLUMNS}"
    )
    return next(iter(await _openings(connection, statement, (by, key, by))), None)


async def _openings(
    connection: Connection, statement: str, given: Iterable[object] | dict[str, object]
) -> list[Opening]:
    async with connection.cursor(row_factory=class_row(Opening)) as cursor:
        parameters = given if isinstance(given, dict) else tuple(given)
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()
