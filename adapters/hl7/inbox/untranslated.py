"""Local codes that came without a translation, counted beside the message that had them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7 import metrics
from adapters.hl7.mapping.context import Untranslated
from fhir_server.database import Connection
from fhir_server.jobs import Job, enqueue

JOB: Final = Job("hl7.codes", {}, dedupe_key="codes")

# In one order in every transaction, as two that count the same codes would else wait for each
# other. A Task is told of a count when it has doubled: a Task for each message would be worse
# than the codes. A code that comes untranslated after it was settled was mapped by who did not
# know that yet, or its map is gone: the job looks.
_NOTE: Final = """
WITH given AS (
    SELECT * FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
        %s::bigint[], %s::bigint[]
    ) AS g(sender, system, code, field, display, unit, n, first, last)
), noted AS (
    INSERT INTO hl7_code AS c (
        sender, system, code, fields, display, unit, count, first_message, last_message
    )
    SELECT sender, system, code, ARRAY(SELECT DISTINCT unnest(array_agg(field)) ORDER BY 1),
        max(display), max(unit), sum(n), min(first), max(last)
    FROM given GROUP BY sender, system, code ORDER BY sender, system, code
    ON CONFLICT (sender, system, code) DO UPDATE SET
        count = c.count + excluded.count,
        fields = CASE WHEN c.fields @> excluded.fields THEN c.fields ELSE ARRAY(
            SELECT DISTINCT unnest(c.fields || excluded.fields) ORDER BY 1
        ) END,
        display = CASE WHEN c.display = '' THEN excluded.display ELSE c.display END,
        unit = CASE WHEN c.unit = '' THEN excluded.unit ELSE c.unit END,
        first_message = least(c.first_message, excluded.first_message),
        last_message = greatest(c.last_message, excluded.last_message),
        last_at = now(),
        state = CASE WHEN c.state = 'done' THEN 'settled' ELSE c.state END
    RETURNING state = 'settled' OR count >= 2 * told AS telling
)
SELECT coalesce(bool_or(telling), false) FROM noted
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """Codes of one message without translation."""

    message: int
    sender: str
    codes: tuple[Untranslated, ...]


async def note(connection: Connection, found: Iterable[Noted]) -> None:
    """Count the codes inside the caller's transaction, and have the operators told.

    It comes last before the commit: the rows are shared by all who send these codes.
    """
    counted: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for one in found:
        for code in one.codes:
            said = (code.system, code.code, code.field, code.display, code.unit)
            key = (one.sender, *(text.replace("\x00", "") for text in said))
            count, first, last = counted.get(key, (0, one.message, one.message))
            counted[key] = (count + 1, min(first, one.message), max(last, one.message))
    if not counted:
        return
    columns = zip(*counted, strict=True)
    numbers = zip(*counted.values(), strict=True)
    cursor = await connection.execute(_NOTE, [list(one) for one in (*columns, *numbers)])
    row = await cursor.fetchone()
    if row and row[0]:
        await enqueue(connection, [JOB])
    for key, (count, *_) in counted.items():
        metrics.unmapped_codes.labels(metrics.sender_label(key[0]), key[3]).inc(count)


def texts(codes: Sequence[Untranslated]) -> str:
    """Return which fields hold the codes, as the row's detail tells them."""
    return ", ".join(sorted({code.field for code in codes}))
