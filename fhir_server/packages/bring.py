"""A package on its way into the store.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Conflict
from fhir_server.interactions.put_many import Put, put_many
from fhir_server.packages import judge, record
from fhir_server.packages.judge import Fault
from fhir_server.packages.package import Item, Package
from fhir_server.packages.placing import Content, Placed, Present, There, placed, refuse_doubles
from fhir_server.packages.record import Installed
from fhir_server.packages.remove import take_away
from fhir_server.r4 import json
from fhir_server.r4.walk import references
from fhir_server.server import Server
from fhir_server.store import read as store

# Resources of one statement, and their bytes.
BATCH = 200
BATCH_BYTES = 4 << 20

Tell = Callable[[str, int, int], None]
"""Is told what is being done, how far it is, and of how much."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a package is to be installed.

    `folder` has the packages that it may depend on; it goes `without` those named.
    `replacing`: other content under the same name or canonical is replaced. `lenient`:
    resources that are not valid are left out. `any_fhir`: whatever FHIR it is made for.
    """

    examples: bool = False
    replacing: bool = False
    lenient: bool = False
    any_fhir: bool = False
    folder: Path | None = None
    without: Collection[str] = ()


@dataclass(slots=True)
class Done:
    """What came of a package: `stored` counts by type, `kept` what was there already.

    `already` says that all of it was; `faults` are files that were left out.
    """

    label: str
    already: bool = False
    stored: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    removed: int = 0
    faults: Sequence[Fault] = ()


def _roomy(server: Server) -> Server:
    """Return the server as it takes packages.

    They are large, and their guides refer to examples that may not be there.
    """
    settings = server.settings
    rows = settings.packages.index_rows
    most = {"index_rows": rows, "terminology_index_rows": rows}
    limits = settings.limits.model_copy(update=most)
    write = settings.write.model_copy(update={"referential_integrity": False})
    return replace(server, settings=settings.model_copy(update={"limits": limits, "write": write}))


class _Head(msgspec.Struct):
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Bringing:
    """One package on its way into the store, inside the open transaction."""

    server: Server
    connection: Connection
    caller: Caller
    package: Package
    wish: Wish
    faults: Sequence[Fault]
    met: Mapping[str, str | None]

    async def carry_out(self, before: Installed | None, tell: Tell) -> Done:
        """Store what is not there, and record it."""
        package, wish = self.package, self.wish
        same = before is not None and before.content == package.content
        done = Done(package.label, faults=self.faults)
        if before is not None and same and (before.examples or not wish.examples):
            done.already = True
            done.kept = before.resources
            return done
        if before is not None and not same and not wish.replacing:
            raise Conflict(f"{package.label} is installed with another content")
        rows = await record.resources(self.connection, before.id) if before else []
        earlier = {row.path: row for row in rows}
        left_out = {fault.path for fault in self.faults}
        items = [
            one
            for one in judge.wanted(package, examples=wish.examples)
            if one.path not in left_out and not (same and one.path in earlier)
        ]
        there = {
            row.path: There(row.key, row.id, row.current, frozenset())
            for row in rows
            if row.current is not None
        }
        await self._store(items, there, done, tell)
        if before is not None and not same:
            gone = [row for row in rows if row.path not in {one.path for one in items}]
            away = await take_away(self.server, self.connection, self.caller, before.id, gone)
            await record.forget(self.connection, before.id, [row.path for row in gone])
            done.removed = away.deleted.total()
        return done

    async def _store(
        self,
        items: Sequence[Item],
        there: Mapping[str, There],
        done: Done,
        tell: Tell,
    ) -> None:
        contents = [Content(one.path, one.type, one.id, one.canonical, one.digest) for one in items]
        refuse_doubles(contents)
        present = await self._present(contents, there)
        places = placed(contents, present, self.server.new_id, replacing=self.wish.replacing)
        keys = await self._written(items, places, done, tell)
        package = await record.add(
            self.connection, self.package, self.met, self.caller.name, examples=self.wish.examples
        )
        await record.put(
            self.connection,
            package,
            [
                (one.path, *keys[place.type, place.id], one.digest, place.there is None)
                for one, place in zip(contents, places, strict=True)
            ],
        )

    async def _present(self, contents: Sequence[Content], there: Mapping[str, There]) -> Present:
        """Return what the store has of these."""
        type_ids, names = self.server.definitions.type_ids, self.server.definitions.type_names
        terms = {found: one for one in contents for found in self._terms(one)}
        by_term = await record.by_term(self.connection, list(terms))
        canonicals: dict[tuple[str, str], There] = {}
        for found, one in terms.items():
            for match in by_term.get(found, ()):
                if "|" in (one.canonical or "") or await self._is_unversioned(one, match):
                    canonicals.setdefault((one.type, one.canonical or ""), match)
        ids = await record.by_id(
            self.connection, [(type_ids[one.type], one.id) for one in contents if one.id]
        )
        return Present(
            canonicals,
            {(names[type_id], id_): match for (type_id, id_), match in ids.items()},
            there,
        )

    def _terms(self, one: Content) -> list[int]:
        """Return the index terms of a canonical, none for what has none."""
        if not one.canonical:
            return []
        return self.server.registry.official.uri_terms(one.type, ["url"], one.canonical)

    async def _is_unversioned(self, one: Content, match: There) -> bool:
        place = (self.server.definitions.type_ids[one.type], match.id)
        found = await store.currents(self.connection, [place])
        return msgspec.json.decode(found[place].body, type=_Head).version is None

    async def _written(
        self, items: Sequence[Item], places: Sequence[Placed], done: Done, tell: Tell
    ) -> dict[tuple[str, str], tuple[int, int]]:
        """Write what is not there; return key and version of all, by type and id."""
        keys = {
            (one.type, one.id): (one.there.key, one.there.version)
            for one in places
            if one.there is not None
        }
        renamed = {
            f"{one.type}/{one.id}": f"{place.type}/{place.id}"
            for one, place in zip(items, places, strict=True)
            if one.id and one.id != place.id
        }
        new = [pair for pair in zip(items, places, strict=True) if not pair[1].kept]
        done.kept = len(items) - len(new)
        roomy = _roomy(self.server)
        for batch in _batches(new):
            puts = [self._put(one, place, renamed) for one, place in batch]
            kept = await put_many(roomy, self.connection, self.caller, puts)
            for put, where in zip(puts, kept, strict=True):
                keys[put.type, put.id] = where.key, where.version
                done.stored[put.type] += 1
            tell("Storing", done.stored.total(), len(new))
        return keys

    def _put(self, one: Item, place: Placed, renamed: Mapping[str, str]) -> Put:
        raw = one.raw()
        data = json.decode(raw)
        if renamed and self._refer(one.type, data, renamed):
            data = json.decode_keeping(raw)
            self._refer(one.type, data, renamed)
            raw = json.encode(data)
        data["id"] = place.id
        return Put(place.type, place.id, data, raw, fresh=place.there is None)

    def _refer(self, type_name: str, data: dict[str, object], renamed: Mapping[str, str]) -> bool:
        """Let references inside the package lead to where its resources lie; whether any does."""
        found = False
        for _, holder in references(self.server.definitions, type_name, data):
            new = renamed.get(holder["reference"])
            if new is not None:
                holder["reference"] = new
                found = True
        return found


def _batches(
    pairs: Sequence[tuple[Item, Placed]],
) -> Iterator[list[tuple[Item, Placed]]]:
    batch: list[tuple[Item, Placed]] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        # Texts that lie compressed; JSON packs to a tenth.
        size += 10 * len(pair[0].packed)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
