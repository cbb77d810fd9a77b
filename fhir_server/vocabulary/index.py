"""Where stored terminology lies, found by the search index; looked up once for each state.

https://hl7.org/fhir/R4/search.html#uri
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fhir_server.database import Database
from fhir_server.search.registry import Registry
from fhir_server.vocabulary.freshness import Freshness
from fhir_server.vocabulary.kept import Kept

Place = tuple[int, int]
"""Key and version of a stored resource."""

Moment = Mapping[int, int]
"""For each type a number that changes when a resource of it is written."""

KINDS = ("CodeSystem", "ValueSet", "ConceptMap")
URLS = 20_000
"""Urls of which it is remembered where they lie."""
SAME_URL = 1_000
SCANNED = 200

_PLACES = """
SELECT r.key, r.version
FROM resource r
WHERE r.key IN (SELECT t.key FROM terms t
                WHERE t.terms && %s::bigint[] AND t.type_id = %s AND t.key > 0)
  AND NOT r.deleted
ORDER BY r.last_updated DESC, r.key DESC
LIMIT %s
"""

_TEXT = "SELECT convert_to(json, 'UTF8') FROM body WHERE key = %s AND version = %s"

_KEYS = "SELECT key, version FROM resource WHERE type_id = %s AND key > 0 AND NOT deleted"

_HEADS = r"""
SELECT b.key, b.version, j ->> 'url', j ->> 'version', j ->> 'content', j ->> 'valueSet'
FROM unnest(%s::bigint[], %s::int[]) AS q(key, version)
     JOIN body b USING (key, version)
     CROSS JOIN LATERAL (SELECT b.json::json AS j) AS parsed
WHERE strpos(b.json, '\u0000') = 0
"""


@dataclass(frozen=True, slots=True)
class Head:
    """What is remembered of each stored CodeSystem."""

    version: int
    url: str | None = None
    label: str | None = None
    content: str | None = None
    value_set: str | None = None


class Index:
    """The terminology of one tenant's store: the connections of `database` decide whose."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry.official
        self._types = registry.context.type_ids
        self._freshness = Freshness(database, [self._types[kind] for kind in KINDS])
        self._places: Kept[tuple[str, int, str, str], tuple[Place, ...]] = Kept(URLS)
        self._scans: Kept[int, Mapping[int, Head]] = Kept(1)
        self._heads: Mapping[int, Head] = {}

    async def now(self) -> Moment:
        """Return the present state: what is written from here on is of another one."""
        return await self._freshness.now()

    async def find(
        self, now: Moment, kind: str, codes: Collection[str], value: str
    ) -> tuple[Place, ...]:
        """Return the resources of which one of the parameters has the value, the newest first."""
        type_id = self._types[kind]

        async def look() -> tuple[tuple[Place, ...], int]:
            asked = self._registry.uri_terms(kind, codes, value)
            async with self._database.connection() as connection:
                given = (asked, type_id, SAME_URL)
                cursor = await connection.execute(_PLACES, given, prepare=False)
                return tuple((row[0], row[1]) for row in await cursor.fetchall()), 1

        return await self._places.ask((kind, now[type_id], min(codes), value), look)

    async def text(self, place: Place) -> bytes:
        """Return the JSON of a resource."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_TEXT, place, binary=True)
            row = await cursor.fetchone()
        assert row is not None
        return bytes(row[0])

    async def heads(self, now: Moment) -> Collection[Head]:
        """Return the heads of all stored CodeSystems.

        No search parameter has the value set that a code system implies.
        """

        async def scan() -> tuple[Mapping[int, Head], int]:
            self._heads = await self._scan(self._heads)
            return self._heads, 1

        return (await self._scans.ask(now[self._types["CodeSystem"]], scan)).values()

    async def _scan(self, known: Mapping[int, Head]) -> Mapping[int, Head]:
        """Return the heads by key: those known that are present still, and the new ones."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_KEYS, (self._types["CodeSystem"],), binary=True)
            present = dict(await cursor.fetchall())
            heads = {k: h for k, h in known.items() if present.get(k) == h.version}
            new = [(key, version) for key, version in present.items() if key not in heads]
            for start in range(0, len(new), SCANNED):
                keys, versions = zip(*new[start : start + SCANNED], strict=True)
                heads |= {key: Head(version) for key, version in zip(keys, versions, strict=True)}
                cursor = await connection.execute(_HEADS, (list(keys), list(versions)))
                heads |= {row[0]: Head(*row[1:]) for row in await cursor.fetchall()}
        return heads
