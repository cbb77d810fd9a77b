"""Codings that are or were in use, by parameter: what a search by meaning chooses from.

They are noted before the resource is stored, in a transaction of their own: a coding that
is listed though no resource has it does no harm, and no write waits for another's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fhir_server.database import Connection, Database
from fhir_server.search.condition import Coded
from fhir_server.search.rows import Coding, IndexRows
from fhir_server.search.terminology import Meant
from terminology.recent import Recent

_KNOWN = 500_000
"""Codings of which a process remembers that they are listed."""

_NOTE = """
INSERT INTO coding (param, term, system, code)
SELECT DISTINCT * FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::text[])
    AS c(param, term, system, code)
ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""

_USED = """
SELECT term, system, code, NULL FROM coding WHERE param = %s AND since >= %s::text::xid8
UNION ALL
SELECT NULL, NULL, NULL, pg_snapshot_xmin(pg_current_snapshot())::text
"""


Basis: TypeAlias = Sequence[tuple[set[tuple[str, str]], int]]
"""Sets of codings, which only grow, each with its size."""

_MAX_KEPT = 1_000_000
"""Codings of all conditions that are kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The condition that was made of some sets of codings."""

    basis: Basis
    condition: Meant


@dataclass(slots=True)
class Used:
    """The codings of one parameter: terms by system and code, as this process met them."""

    terms: dict[str, dict[str, int]] = field(default_factory=dict)
    since: str = "0"


class Codings:
    """One tenant's; the process remembers what it noted and read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[tuple[int, int]] = set()
        self._used: dict[int, Used] = {}
        self.meant: Recent[Coded, Kept] = Recent(_MAX_KEPT)

    async def note(self, indexed: Iterable[IndexRows | None]) -> None:
        """List the codings of resources that are about to be stored."""
        new: set[Coding] = set()
        for rows in indexed:
            if rows is not None:
                new.update(one for one in rows.codings if one[:2] not in self._known)
        if not new:
            return
        # PostgreSQL has no U+0000, and no value set a code with one.
        kept = [one for one in new if "\0" not in one.system + one.code]
        columns = [list(column) for column in zip(*kept, strict=True)]
        if columns:
            async with self._database.aside() as connection:
                await connection.execute(_NOTE, columns)
        if len(self._known) > _KNOWN:
            self._known.clear()
        self._known.update(one[:2] for one in new)

    def keep(self, asked: Coded, kept: Kept) -> Meant:
        """Keep the condition of what was asked; return it."""
        self.meant.put(asked, kept, 1 + sum(number for _, number in kept.basis))
        return kept.condition

    async def used(self, connection: Connection, param: int) -> Used:
        """Return the codings of a parameter, of all resources that are visible from now on.

        What commits later than the oldest transaction under way is read again.
        """
        used = self._used.setdefault(param, Used())
        cursor = await connection.execute(_USED, (param, used.since))
        for term, system, code, since in await cursor.fetchall():
            if since is not None:
                used.since = since
            else:
                used.terms.setdefault(system, {}).setdefault(code, term)
        return used
