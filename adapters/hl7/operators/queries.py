"""What operators ask of the inbox, in SQL."""

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.database import Connection

Row = dict[str, Any]

_SHOWN: Final = """
id, channel, sender, received_at, control_id, type, event, version, state, reason, detail,
attempts, next_attempt, holds, event_time, finished_at, profile, map_version,
jsonb_array_length(coalesce(result_versions, '[]'::jsonb)) AS versions,
jsonb_array_length(coalesce(unmapped, '[]'::jsonb)) AS unmapped, warnings
"""
# Of a patient only as far back as this: the keys of partitions have no index, which each
# message would have to fill.
_PATIENT_WINDOW: Final = 200_000

LIST: Final = f"""
SELECT {_SHOWN} FROM hl7_message
WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(sender)s::text IS NULL OR sender = %(sender)s)
  AND (%(channel)s::text IS NULL OR channel = %(channel)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND (%(event)s::text IS NULL OR event = %(event)s)
  AND (%(control_id)s::text IS NULL OR control_id = %(control_id)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
  AND (%(patient)s::text IS NULL OR (
    id > (SELECT max(id) - {_PATIENT_WINDOW} FROM hl7_message)
    AND EXISTS (SELECT FROM unnest(partition_keys) AS key WHERE starts_with(key, %(patient)s))))
ORDER BY id DESC LIMIT %(limit)s
"""

ONE: Final = f"""
SELECT {_SHOWN}, peer, charset, processing_id, ack_mode, app_ack_sent_at, batch_id, sequence,
    octet_length(raw) AS bytes, result_versions, unmapped AS unmapped_leaves, replays AS history
FROM hl7_message WHERE id = %(id)s
"""
PAYLOAD: Final = "SELECT raw, charset, ack, app_ack FROM hl7_message WHERE id = %(id)s"

# One look into the index for each sender, however many messages there are.
SOURCES: Final = """
WITH RECURSIVE sources AS (
    (SELECT sender FROM hl7_message ORDER BY sender LIMIT 1)
    UNION ALL
    SELECT (SELECT m.sender FROM hl7_message AS m WHERE m.sender > s.sender
            ORDER BY m.sender LIMIT 1)
    FROM sources AS s WHERE s.sender IS NOT NULL
), day AS (
    SELECT sender, count(*) AS received, count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'stale') AS stale,
        count(*) FILTER (WHERE state = 'rejected') AS rejected
    FROM hl7_message WHERE received_at > now() - interval '24 hours' GROUP BY sender
), waiting AS (
    SELECT sender, count(*) AS waiting, min(received_at) AS oldest
    FROM hl7_message WHERE state = 'stored' GROUP BY sender
), dead AS (
    SELECT sender, count(*) AS dead FROM hl7_message WHERE state = 'dead' GROUP BY sender
)
SELECT s.sender, last.channel, last.received_at AS last_heard, last.id AS last_id,
    extract(epoch FROM now() - last.received_at)::float8 AS silent_seconds,
    coalesce(waiting, 0) AS waiting,
    coalesce(extract(epoch FROM now() - oldest), 0)::float8 AS lag_seconds,
    coalesce(dead, 0) AS dead, coalesce(received, 0) AS received_day,
    coalesce(done, 0) AS done_day, coalesce(stale, 0) AS stale_day,
    coalesce(rejected, 0) AS rejected_day
FROM sources AS s
CROSS JOIN LATERAL (
    SELECT id, channel, received_at FROM hl7_message AS m WHERE m.sender = s.sender
    ORDER BY id DESC LIMIT 1
) AS last
LEFT JOIN day USING (sender) LEFT JOIN waiting USING (sender) LEFT JOIN dead USING (sender)
ORDER BY s.sender
"""
DEAD: Final = """
SELECT reason, count(*) AS messages, count(*) FILTER (WHERE holds) AS holding,
    min(received_at) AS oldest, max(received_at) AS newest
FROM hl7_message WHERE state = 'dead' GROUP BY reason ORDER BY count(*) DESC, reason
"""
UNMAPPED: Final = """
SELECT sender, substring(leaf ->> 0 from '^[^[]+') || '-' || substring(leaf ->> 0 from '-([0-9]+)')
    AS field, leaf ->> 1 AS reason, count(*) AS leaves, count(DISTINCT id) AS messages
FROM (
    SELECT id, sender, unmapped FROM hl7_message
    WHERE jsonb_typeof(unmapped) = 'array' AND (%(sender)s::text IS NULL OR sender = %(sender)s)
    ORDER BY id DESC LIMIT %(messages)s
) AS last, jsonb_array_elements(unmapped) AS leaf
WHERE leaf ->> 1 <> 'control' OR %(control)s
GROUP BY 1, 2, 3 ORDER BY leaves DESC, 1, 2, 3 LIMIT %(limit)s
"""
CODES: Final = """
SELECT sender, fields, system, code, display, unit, count, state, task_id, last_at, target
FROM hl7_code
WHERE (%(all)s OR state <> 'done') AND (%(sender)s::text IS NULL OR sender = %(sender)s)
ORDER BY count DESC, sender, code LIMIT %(limit)s
"""


async def rows(connection: Connection, query: str, asked: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a query by the names of their columns."""
    cursor = await connection.execute(query, asked)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
