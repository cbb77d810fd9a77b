"""What operators do with messages of the inbox: try again, dismiss, let others pass.

Who did it and when stays with the row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from adapters.hl7.inbox.receive import JOB
from adapters.hl7.message.reasons import PARTIAL
from fhir_server.database import Connection
from fhir_server.jobs import enqueue

REPLAYABLE: Final = ("dead", "rejected", "done", "stale", "dismissed")
_CHOSEN: Final = """
WHERE (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(sender)s::text IS NULL OR sender = %(sender)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
  AND state = ANY(%(states)s) AND control_id IS NOT NULL
  AND (reason IS NULL OR reason <> ALL(%(never)s))
"""
_REPLAY: Final = f"""
UPDATE hl7_message SET state = 'stored', reason = NULL, detail = NULL, attempts = 0,
    next_attempt = NULL, finished_at = NULL, holds = false,
    confirmed = confirmed OR %(confirmed)s,
    replays = coalesce(replays, '[]'::jsonb) || %(note)s::jsonb
{_CHOSEN} RETURNING id
"""
_FIND: Final = f"SELECT id FROM hl7_message {_CHOSEN} ORDER BY id LIMIT %(most)s"
_DISMISS: Final = """
UPDATE hl7_message SET state = 'dismissed', holds = false,
    replays = coalesce(replays, '[]'::jsonb) || %(note)s::jsonb
WHERE id = ANY(%(ids)s) AND state = 'dead' RETURNING id
"""
_RELEASE: Final = """
UPDATE hl7_message SET holds = false,
    replays = coalesce(replays, '[]'::jsonb) || %(note)s::jsonb
WHERE id = ANY(%(ids)s) AND state = 'dead' AND holds RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which messages are meant; None asks for nothing. `until` is not among them itself."""

    ids: Sequence[int] | None = None
    state: str | None = None
    reason: str | None = None
    sender: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def find(connection: Connection, chosen: Chosen, most: int) -> list[int]:
    """Return the first messages that a replay would take."""
    cursor = await connection.execute(_FIND, {**_asked(chosen), "most": most})
    return [id_ for (id_,) in await cursor.fetchall()]


async def replay(
    connection: Connection, chosen: Chosen, actor: str, *, confirmed: bool = False
) -> list[int]:
    """Make messages `stored` again, with the job that processes them; return their ids.

    What is no message (junk), and of what only a part is kept, stays as it is.
    `confirmed` lets a merge pass that is too large (MERGE_TOO_LARGE).
    """
    did = "confirm" if confirmed else "replay"
    asked = {**_asked(chosen), "note": _note(actor, did), "confirmed": confirmed}
    return await _changed(connection, _REPLAY, asked)


async def dismiss(
    connection: Connection, ids: Sequence[int], actor: str, comment: str
) -> list[int]:
    """Make dead letters `dismissed`, and let pass what they hold; return their ids."""
    note = _note(actor, "dismiss", comment)
    return await _changed(connection, _DISMISS, {"ids": list(ids), "note": note})


async def release(connection: Connection, ids: Sequence[int], actor: str) -> list[int]:
    """Let pass what waits behind dead letters, which stay; return their ids."""
    return await _changed(connection, _RELEASE, {"ids": list(ids), "note": _note(actor, "release")})


def _asked(chosen: Chosen) -> dict[str, object]:
    ids = list(chosen.ids) if chosen.ids is not None else None
    return {
        **asdict(chosen),
        "ids": ids,
        "states": list(REPLAYABLE),
        "never": sorted(PARTIAL),
    }


def _note(actor: str, did: str, comment: str = "") -> str:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"comment": comment} if comment else {}
    return json.dumps([{"at": at, "by": actor, "did": did, **said}])


async def _changed(connection: Connection, query: str, asked: dict[str, object]) -> list[int]:
    async with connection.transaction():
        cursor = await connection.execute(query, asked)
        ids = sorted(id_ for (id_,) in await cursor.fetchall())
        if ids:
            await enqueue(connection, [JOB])
    return ids
