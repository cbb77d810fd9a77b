"""What rights look at and is not there yet, as after an upgrade.

Walks over types whose index rows are made anew, and consents that deny because nobody has read
them, or nobody could.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

BEHIND: Final = """
SELECT (SELECT json_agg(json_build_array(w.type_id, w.total, coalesce((
            SELECT sum(p.done) FROM reindex_part p WHERE p.reindex = w.id), 0)) ORDER BY w.type_id)
        FROM reindex w WHERE w.whole AND w.state IN ('pending', 'running')),
       EXISTS (SELECT FROM job WHERE kind = 'consents.rebuild'),
       (SELECT count(*) FROM consent WHERE NOT readable)
"""
"""One row, of which `read` makes a `Behind`."""

UNREAD: Final = """
SELECT r.id, c.patient FROM consent c JOIN resource r ON r.key = c.key
WHERE NOT c.readable ORDER BY r.id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far what is made anew has come.

    `walks` are (type id, resources, of these done); `reading` says that all consents are read
    anew; `unread` is the number of those that deny because they are not understood, or not
    read yet.
    """

    walks: tuple[tuple[int, int, int], ...] = ()
    reading: bool = False
    unread: int = 0


def read(row: Sequence[Any] | None) -> Behind:
    """Return what a row of `BEHIND` says."""
    if row is None:
        return Behind()
    walks, reading, unread = row
    return Behind(tuple((int(a), int(b), int(c)) for a, b, c in walks or ()), reading, unread)
