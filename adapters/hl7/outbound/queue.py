"""The queue of messages to other systems.

    queued ──CA──> accepted ──AA──> done
      │ ├──AA, CA─────────────────> done
      │ └──AE, CE, too many AR────> dead ──> queued (an operator) or dismissed
      └──time-out, AR: later, with the same bytes

A message is never changed once it is in here, so that a resend is the same for the one
who knows it already.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fhir_server.database import Connection

Via = Literal["own", "connection"]
LONGEST_WAIT: Final = 300

_PUT: Final = """
INSERT INTO hl7_outbound (destination, kind, event, control_id, keys, reference, version,
                          content_sha256, payload, via, state, detail)
SELECT %(destination)s, %(kind)s, %(event)s, %(control_id)s, %(keys)s, %(reference)s, %(version)s,
       %(digest)s, %(payload)s, %(via)s, %(state)s, %(detail)s
WHERE %(digest)s IS DISTINCT FROM (
    SELECT content_sha256 FROM hl7_outbound
    WHERE destination = %(destination)s AND reference = %(reference)s AND state <> 'dead'
    ORDER BY id DESC LIMIT 1
) OR %(kind)s = 'law'
RETURNING id
"""
_PAGE: Final = """
SELECT id, control_id, keys, payload, attempts, coalesce(next_attempt <= now(), true), kind
FROM hl7_outbound
WHERE destination = %s AND state = 'queued' AND via = %s AND id > %s ORDER BY id LIMIT %s
"""
_SETTLED: Final = """
UPDATE hl7_outbound SET state = %(state)s, reply = %(reply)s, detail = %(detail)s,
    attempts = attempts + 1, next_attempt = NULL, sent_at = now(),
    finished_at = CASE WHEN %(state)s = 'accepted' THEN NULL ELSE now() END
WHERE id = %(id)s AND state = 'queued'
"""
_LATER: Final = """
UPDATE hl7_outbound SET attempts = attempts + 1, detail = %(detail)s, reply = %(reply)s,
    next_attempt = now() + least(%(longest)s, 2 ^ least(attempts, 20)) * interval '1 second'
WHERE id = %(id)s AND state = 'queued'
"""
_NOTED: Final = "UPDATE hl7_outbound SET detail = %s WHERE id = %s AND state = 'queued'"
_APPLIED: Final = """
UPDATE hl7_outbound SET state = %s, reply = %s, detail = %s, finished_at = now(), noted = false
WHERE destination = %s AND control_id = %s AND state = 'accepted'
"""
_AGAIN: Final = """
UPDATE hl7_outbound SET state = 'queued', attempts = 0, next_attempt = NULL, finished_at = NULL,
    detail = %s, noted = false
WHERE id = ANY(%s) AND state IN ('dead', 'queued') AND payload <> ''
RETURNING id
"""
_DISMISSED: Final = """
UPDATE hl7_outbound SET state = 'dismissed', finished_at = now(), detail = %s
WHERE id = ANY(%s) AND state IN ('dead', 'queued') RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a destination, as it is put in the queue.

    `keys` are the patients whose messages keep their order; `digest` tells that the same
    was said of `reference` before, and need not be said again. A `problem` makes it a dead
    letter without bytes.
    """

    destination: str
    event: str
    control_id: str
    keys: tuple[str, ...]
    reference: str
    version: int
    digest: bytes
    payload: bytes
    kind: Literal["feed", "law"] = "feed"
    via: Via = "own"
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits; `due` tells that it may be tried now."""

    id: int
    control_id: str
    keys: frozenset[str]
    payload: bytes
    attempts: int
    due: bool
    kind: str


async def put(connection: Connection, message: Message) -> int | None:
    """Put a message in line; return its number, None where the same was just said."""
    values = {
        "destination": message.destination,
        "kind": message.kind,
        "event": message.event,
        "control_id": message.control_id,
        "keys": list(message.keys),
        "reference": message.reference,
        "version": message.version,
        "digest": message.digest,
        "payload": message.payload,
        "via": message.via,
        "state": "dead" if message.problem else "queued",
        "detail": message.problem or None,
    }
    row = await (await connection.execute(_PUT, values)).fetchone()
    return int(row[0]) if row else None


async def page(
    connection: Connection, destination: str, after: int, most: int, via: Via = "own"
) -> list[Queued]:
    """Return messages that wait, in their order."""
    cursor = await connection.execute(_PAGE, (destination, via, after, most), binary=True)
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return [
        Queued(id_, control, frozenset(keys), bytes(payload), attempts, due, kind)
        for id_, control, keys, payload, attempts, due, kind in rows
    ]


async def settled(
    connection: Connection, id_: int, state: str, reply: bytes, detail: str | None
) -> None:
    """Note the acknowledgement of a message."""
    values = {"id": id_, "state": state, "reply": reply, "detail": detail}
    await connection.execute(_SETTLED, values)


async def later(connection: Connection, id_: int, detail: str, reply: bytes | None = None) -> None:
    """Note that a message is to be sent again, after 1, 2, 4 ... seconds, at most 5 minutes."""
    values = {"id": id_, "detail": detail, "reply": reply, "longest": LONGEST_WAIT}
    await connection.execute(_LATER, values)


async def noted(connection: Connection, id_: int, detail: str) -> None:
    """Note why a message still waits."""
    await connection.execute(_NOTED, (detail, id_))


async def applied(
    connection: Connection,
    destination: str,
    control_id: str,
    state: str,
    reply: bytes,
    detail: str | None,
) -> bool:
    """Note the application acknowledgement of a message that was accepted; return if it was."""
    values = (state, reply, detail, destination, control_id)
    return (await connection.execute(_APPLIED, values)).rowcount == 1


async def retry(connection: Connection, ids: Collection[int], by: str) -> list[int]:
    """Have dead letters sent again, with the bytes that they had; return which."""
    cursor = await connection.execute(_AGAIN, (f"Sent again by {by}", list(ids)))
    return [row[0] for row in await cursor.fetchall()]


async def dismiss(connection: Connection, ids: Collection[int], by: str, comment: str) -> list[int]:
    """Put messages aside that are not to be sent; return which."""
    cursor = await connection.execute(_DISMISSED, (f"Dismissed by {by}: {comment}", list(ids)))
    return [row[0] for row in await cursor.fetchall()]


def startable(rows: Sequence[Queued], blocked: set[str]) -> list[Queued]:
    """Return those of a page that may be sent now, in their order.

    Who waits for another try blocks the patients that it speaks of, in `blocked` for the
    pages that follow.
    """
    found: list[Queued] = []
    for row in rows:
        if row.due and not row.keys & blocked:
            found.append(row)
        else:
            blocked |= row.keys
    return found
