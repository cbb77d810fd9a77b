"""StructureDefinitions that lie in the store, by canonical.

https://hl7.org/fhir/R4/references.html#canonical
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from fhir_server.database import Database
from fhir_server.profiles.core import Core
from fhir_server.profiles.seams import Json
from fhir_server.r4 import json
from fhir_server.search.registry import Registry
from terminology.recent import Recent

TYPE: Final = "StructureDefinition"
_MAX_KEPT: Final = 2_000
_MAX_BYTES: Final = 32 << 20
_SAME_URL: Final = 100

_BY_URL = """
SELECT r.key, r.version, convert_to(b.json, 'UTF8')
FROM resource r JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.key IN (SELECT t.key FROM terms t
                WHERE t.terms && %s::bigint[] AND t.type_id = %s AND t.key > 0)
  AND NOT r.deleted
ORDER BY r.last_updated DESC, r.key DESC
LIMIT %s
"""

_PRESENT = """
SELECT DISTINCT found FROM terms t, unnest(t.terms) found
WHERE found = ANY (%s::bigint[])
  AND t.terms && %s::bigint[] AND t.type_id = %s AND t.key > 0
"""
_FEW: Final = 20
_AT_ONCE: Final = 2_000


class StoredDefinitions:
    """What is stored under canonicals, as of the last time that somebody looked (`find`).

    `generation` gives another number when a StructureDefinition was written since.
    A definition stays the same object as long as its resource has the same version.
    """

    __slots__ = ("_database", "_generation", "_known", "_parsed", "_registry", "_seen")

    def __init__(
        self, database: Database, registry: Registry, generation: Callable[[], Awaitable[int]]
    ) -> None:
        self._database = database
        self._registry = registry.official
        self._generation = generation
        self._seen = -1
        self._known: dict[str, Json | None] = {}
        self._parsed: Recent[tuple[int, int], dict[str, Any]] = Recent(_MAX_BYTES)

    def known(self, canonical: str) -> tuple[bool, Json | None]:
        """Return whether it is known what is stored under this canonical, and that."""
        known = self._known
        return canonical in known, known.get(canonical)

    async def refresh(self) -> None:
        """Forget what was looked up before the last write of a StructureDefinition."""
        generation = await self._generation()
        if generation != self._seen or len(self._known) > _MAX_KEPT:
            self._known, self._seen = {}, generation

    async def find(self, canonicals: Iterable[str]) -> None:
        """Look up all that are not known."""
        # What is read while another forgets is of the state before, and goes with it.
        known = self._known
        missing = [one for one in dict.fromkeys(canonicals) if one not in known]
        stored = await self._stored({one.partition("|")[0] for one in missing})
        for canonical in missing:
            url, _, version = canonical.partition("|")
            found = await self._by_url(url) if url in stored else []
            known[canonical] = _best(found, url, version)

    async def _stored(self, urls: set[str]) -> set[str]:
        """Return those of the URLs under which something is stored; few are not asked for."""
        if len(urls) <= _FEW:
            return urls
        type_id = self._registry.context.type_ids[TYPE]
        terms = {url: self._registry.uri_terms(TYPE, ["url"], url) for url in urls}
        asked = [term for found in terms.values() for term in found]
        there: set[int] = set()
        async with self._database.connection() as connection:
            for start in range(0, len(asked), _AT_ONCE):
                some = asked[start : start + _AT_ONCE]
                cursor = await connection.execute(_PRESENT, (some, some, type_id), binary=True)
                there.update(term for (term,) in await cursor.fetchall())
        return {url for url, found in terms.items() if not there.isdisjoint(found)}

    async def _by_url(self, url: str) -> list[dict[str, Any]]:
        """Return the definitions of this URL, written last first."""
        type_id = self._registry.context.type_ids[TYPE]
        asked = self._registry.uri_terms(TYPE, ["url"], url)
        async with self._database.connection() as connection:
            cursor = await connection.execute(_BY_URL, (asked, type_id, _SAME_URL), binary=True)
            rows = await cursor.fetchall()
        return [self._read((key, version), bytes(text)) for key, version, text in rows]

    def _read(self, place: tuple[int, int], text: bytes) -> dict[str, Any]:
        found = self._parsed.get(place)
        if found is None:
            found = json.decode(text)
            self._parsed.put(place, found, len(text))
        return found


def _best(found: list[dict[str, Any]], url: str, version: str) -> Json | None:
    """Return the definition meant; without a version an active one, then the one written last."""
    same = [
        one
        for one in found
        if one.get("url") == url and (not version or _has_version(one, version))
    ]
    return next((one for one in same if one.get("status") == "active"), same[0] if same else None)


def _has_version(definition: Json, version: str) -> bool:
    """A version of fewer parts stands for all that begin with them."""
    own = str(definition.get("version", ""))
    return own == version or own.startswith(f"{version}.")


class Noted:
    """Stored definitions that are known now; those that are not are noted in `asked`."""

    __slots__ = ("_core", "_stored", "asked")

    def __init__(self, stored: StoredDefinitions) -> None:
        self._stored = stored
        self._core = Core()
        self.asked: dict[str, None] = {}

    def definition(self, canonical: str) -> Json | None:
        """Return what is stored; R4's own definitions are not looked for in the store."""
        known, found = self._stored.known(canonical)
        if not known and self._core.definition(canonical) is None:
            self.asked[canonical] = None
        return found
