"""Requests that are answered later, and their answers for as long as they are kept.

https://hl7.org/fhir/R5/async-bundle.html
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fhir_server.database import Connection


@dataclass(frozen=True, slots=True)
class Deferred:
    """A request as it came: `url` is the path and query below the base, `body` unpacked.

    `attempts` counts how often it was begun since it last came further.
    """

    id: str
    caller: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a request: an HTTP status, headers, and a body of FHIR JSON or none."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class State:
    """How far a request is: `done` of `entries` (None: not a batch), its answer at the end.

    `hasty` tells that the poll before was a moment ago.
    """

    begun: bool
    done: int
    entries: int | None
    expires: datetime
    hasty: bool
    answered: Answered | None


# The lane with the fewest that wait; those of a caller are counted in the same statement.
_ADD = """
WITH waiting AS (
    SELECT lane, caller FROM asynchronous_request WHERE finished_at IS NULL AND expires_at > now()
), chosen AS (
    SELECT n.lane FROM generate_series(0, %(lanes)s - 1) AS n(lane) LEFT JOIN waiting USING (lane)
    GROUP BY n.lane ORDER BY count(waiting.lane), n.lane LIMIT 1
)
INSERT INTO asynchronous_request (id, caller, lane, method, url, headers, body, expires_at)
SELECT %(id)s, %(caller)s, lane, %(method)s, %(url)s, %(headers)s, %(body)b,
       now() + %(keep)s * interval '1 second'
FROM chosen WHERE (SELECT count(*) FROM waiting WHERE caller = %(caller)s) < %(most)s
RETURNING lane
"""

_BEGIN = """
UPDATE asynchronous_request
SET attempts = attempts + 1, started_at = coalesce(started_at, clock_timestamp()),
    expires_at = greatest(expires_at, now() + interval '1 hour')
WHERE id = (
    SELECT id FROM asynchronous_request
    WHERE lane = %s AND finished_at IS NULL AND expires_at > now()
    ORDER BY created_at, id LIMIT 1
)
RETURNING id, caller, method, url, headers, body, attempts
"""

_EXPECT = "UPDATE asynchronous_request SET entries = %s WHERE id = %s AND finished_at IS NULL"

_NOTED = 'SELECT answer FROM asynchronous_entry WHERE request_id = %s AND "index" = %s'

_NOTE = """
WITH live AS (
    UPDATE asynchronous_request
    SET done = done + 1, attempts = 0,
        expires_at = greatest(expires_at, now() + interval '1 hour')
    WHERE id = %s AND finished_at IS NULL
    RETURNING id
)
INSERT INTO asynchronous_entry (request_id, "index", answer) SELECT id, %s, %b FROM live
"""

_FINISH = """
WITH ended AS (
    UPDATE asynchronous_request
    SET status = %(status)s, answer_headers = %(headers)s, answer = %(body)b, body = '',
        finished_at = now(), expires_at = now() + %(keep)s * interval '1 second'
    WHERE id = %(id)s AND finished_at IS NULL
    RETURNING id
), gone AS (
    DELETE FROM asynchronous_entry e USING ended WHERE e.request_id = ended.id
)
SELECT id FROM ended
"""

_POLL = """
WITH seen AS (
    SELECT id, started_at IS NOT NULL AS begun, done, entries, expires_at,
           finished_at IS NULL
               AND coalesce(polled_at > clock_timestamp() - %(pause)s * interval '1 second', false)
               AS hasty,
           finished_at, status, answer_headers, answer
    FROM asynchronous_request
    WHERE id = %(id)s AND caller = %(caller)s AND expires_at > now()
), marked AS (
    UPDATE asynchronous_request r SET polled_at = clock_timestamp()
    FROM seen WHERE r.id = seen.id AND seen.finished_at IS NULL AND NOT seen.hasty
)
SELECT begun, done, entries, expires_at, hasty, status, answer_headers, answer FROM seen
"""

_REMOVE = """
DELETE FROM asynchronous_request WHERE id = %s AND caller = %s AND expires_at > now()
"""

_SWEEP = "DELETE FROM asynchronous_request WHERE expires_at <= now()"

_NEXT_SWEEP = """
SELECT extract(epoch FROM min(expires_at) - now())::float8 FROM asynchronous_request
WHERE expires_at > now()
"""


async def add(
    connection: Connection, one: Deferred, *, lanes: int, most: int, keep: float
) -> int | None:
    """Store a request and return its lane; None when `most` of its caller's wait already."""
    values = {
        "id": one.id,
        "caller": one.caller,
        "method": one.method,
        "url": one.url,
        "headers": Jsonb(one.headers),
        "body": one.body,
        "lanes": lanes,
        "most": most,
        "keep": keep,
    }
    row = await (await connection.execute(_ADD, values)).fetchone()
    return None if row is None else int(row[0])


async def begin(connection: Connection, lane: int) -> Deferred | None:
    """Return the oldest request of a lane that is not answered, None when there is none."""
    row = await (await connection.execute(_BEGIN, (lane,))).fetchone()
    return None if row is None else Deferred(*row)


async def expect(connection: Connection, id_: str, entries: int) -> None:
    """Tell how many entries a batch has."""
    await connection.execute(_EXPECT, (entries, id_))


async def noted(connection: Connection, id_: str, index: int) -> bytes | None:
    """Return what became of an entry, None when it is yet to be carried out."""
    row = await (await connection.execute(_NOTED, (id_, index))).fetchone()
    return None if row is None else bytes(row[0])


async def note(connection: Connection, id_: str, index: int, answer: bytes) -> bool:
    """Write what became of an entry; False when the request is gone or answered.

    UniqueViolation when another has done so meanwhile.
    """
    return (await connection.execute(_NOTE, (id_, index, answer))).rowcount == 1


async def finish(connection: Connection, id_: str, answered: Answered, *, keep: float) -> bool:
    """Write the answer of a request; False when it is gone or answered.

    The answer is kept for `keep` seconds, the request's body no longer.
    """
    values: dict[str, Any] = {
        "id": id_,
        "status": answered.status,
        "headers": Jsonb(answered.headers),
        "body": answered.body,
        "keep": keep,
    }
    return (await connection.execute(_FINISH, values)).rowcount == 1


async def poll(connection: Connection, id_: str, caller: str, *, pause: float) -> State | None:
    """Return how far a caller's request is, None when there is none.

    A poll within `pause` seconds of the one before is hasty, and does not count as one.
    """
    values = {"id": id_, "caller": caller, "pause": pause}
    row = await (await connection.execute(_POLL, values)).fetchone()
    if row is None:
        return None
    begun, done, entries, expires, hasty, status, headers, body = row
    answered = None if status is None else Answered(status, headers, bytes(body))
    return State(begun, done, entries, expires, hasty, answered)


async def remove(connection: Connection, id_: str, caller: str) -> bool:
    """Forget a caller's request, whether it is answered or not; False when there is none."""
    return (await connection.execute(_REMOVE, (id_, caller))).rowcount == 1


async def sweep(connection: Connection) -> float | None:
    """Remove what has expired; return in how many seconds something will, None for never."""
    await connection.execute(_SWEEP)
    row = await (await connection.execute(_NEXT_SWEEP)).fetchone()
    return None if row is None or row[0] is None else float(row[0])
