"""How far everything is sealed under the present data key, as the database notes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fhir_server.database import Connection

# Seals that a key of before has made are none where no key of before is there.
_READ: Final = """
SELECT place, pass, seen, renewed, failed, began_at, ended_at, plain,
  coalesce(extract(epoch FROM pass_at - (SELECT max(retired_at) FROM data_key)), 1e9)::float8,
  sealed, stores, EXISTS (SELECT FROM data_key WHERE NOT "current")
FROM data_key_rotation WHERE id = 1
"""
_FOLDERS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Progress:
    """How far sealing is: its pass, and `place` behind which the pass goes on.

    `seen`, `renewed` and `failed` count files of the pass, `sealed` those sealed anew since the
    beginning; `plain`: files that are not sealed are believed; `settled` are the seconds from
    the last new key to the pass; `replaced`: keys that were replaced are still needed.
    """

    place: str
    number: int
    seen: int
    renewed: int
    failed: int
    began: datetime | None
    ended: datetime | None
    plain: bool
    settled: float
    sealed: int
    stores: int
    replaced: bool

    @property
    def under_way(self) -> bool:
        """Return whether it was begun and has not ended."""
        return self.began is not None and self.ended is None

    @property
    def share(self) -> float:
        """Return through which share of the folders of all stores the pass is."""
        store, _, folder = self.place.partition(":")
        done = int(store or 0) * _FOLDERS + int(folder or -1) + 1
        return min(1.0, done / (self.stores * _FOLDERS))


async def progress(connection: Connection) -> Progress | None:
    """Return how far the last one is, None before there were keys."""
    row = await (await connection.execute(_READ)).fetchone()
    return None if row is None else Progress(*row)
