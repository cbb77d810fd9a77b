"""The releases of code systems that serve.

https://hl7.org/fhir/R4/codesystem.html
"""

from dataclasses import dataclass, field, replace

from terminology.code_system import Head
from terminology.code_system_resource import read_head
from terminology.concepts import Json
from terminology.postgres.rows import Connections, Row, rows

CURRENT = """
SELECT id, resource, uses, concepts, hierarchical, grammar, url, version, content, case_sensitive,
       hierarchy_meaning, status, language
FROM tx.code_system WHERE state = 'current' AND tenant = '' ORDER BY id
"""

# Which concepts are reference sets: one step of an index for each.
REFSETS = """
WITH RECURSIVE known (refset) AS (
    SELECT min(refset) FROM tx.refset_member_{id}
    UNION ALL
    SELECT (SELECT min(refset) FROM tx.refset_member_{id} m WHERE m.refset > known.refset)
    FROM known WHERE known.refset IS NOT NULL
)
SELECT ARRAY(SELECT refset FROM known WHERE refset IS NOT NULL)
"""

# Code systems whose files have no order: the order of codes does, and costs no sort.
UNORDERED = frozenset({"http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"})


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a code system as it lies in the partitions of its id; it never changes."""

    id: int
    head: Head
    uses: tuple[Json, ...] = ()
    concepts: int = 0
    refsets: frozenset[int] = field(default_factory=frozenset)
    """Concepts that are reference sets."""

    @property
    def order(self) -> str:
        """The column of `concept` by which pages are ordered."""
        return "cid" if self.head.url in UNORDERED else "seq"


async def current_releases(
    connections: Connections, known: dict[int, Release]
) -> dict[int, Release]:
    """Every release that serves, by id; those `known` are not read again."""
    found = await rows(connections, CURRENT)
    return {row[0]: known.get(row[0]) or await _with_refsets(connections, row) for row in found}


async def _with_refsets(connections: Connections, row: Row) -> Release:
    release = read_release(row)
    ((refsets,),) = await rows(connections, REFSETS.format(id=release.id), prepare=False)
    return replace(release, refsets=frozenset(refsets))


def read_release(row: Row) -> Release:
    """The release of a row of CURRENT: what columns say goes before the resource."""
    number, resource, uses, concepts, hierarchical, grammar, *columns = row
    names = ("url", "version", "content", "caseSensitive", "hierarchyMeaning", "status", "language")
    own = {name: value for name, value in zip(names, columns, strict=True) if value is not None}
    head = read_head({**resource, **own}, nested=hierarchical)
    head = replace(head, grammar=grammar or head.grammar)
    return Release(number, head, tuple(uses), concepts)
