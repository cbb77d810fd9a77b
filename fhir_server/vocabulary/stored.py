"""The terminology that lies in the store: its present CodeSystems, ValueSets and ConceptMaps.

A resource counts from the moment it is written, in every process. Of versions with the same
number the active one counts, then the one written last; who names no version gets no draft
and none retired where there is an active one, or one that was loaded or comes with the server.

https://hl7.org/fhir/R4/references.html#canonical
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from fhir_server.vocabulary.index import Index, Moment, Place
from fhir_server.vocabulary.reading import (
    Readings,
    read_code_system,
    read_concept_map,
    read_value_set,
)
from terminology.code_system import CodeSystem, Head
from terminology.concept_map import ConceptMap
from terminology.concepts import Json
from terminology.issues import Refusal
from terminology.library import WITHOUT_CONTENT, Library, whole_system
from terminology.value_set import ValueSet

_Kind = TypeVar("_Kind")
_SYSTEMS = ("source-system", "target-system")


@dataclass(frozen=True, slots=True)
class Stored:
    """One tenant's; `readings` are its own, as keys of two databases may be equal.

    `rest` is what is known beside the store.
    """

    index: Index
    readings: Readings
    rest: Library

    async def present(self) -> "Present":
        """Return the library of the present state, for a call that asks many questions."""
        return Present(self.index, self.readings, self.rest, await self.index.now())


@dataclass(frozen=True, slots=True)
class Present:
    """The stored terminology as it was when the state was looked up, or later."""

    index: Index
    readings: Readings
    rest: Library
    now: Moment

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url."""
        places = await self.index.find(self.now, "CodeSystem", ("url",), url)
        found = [(place, await self._read(place, read_code_system)) for place in places]
        heads = {place: one.head for place, one in found if one.head.url == url}
        chosen = _by_version((place, one.version, one.status) for place, one in heads.items())
        better = _some_active(chosen) or bool(
            chosen and any(_serves(one.head) for one in await self.rest.code_systems(url))
        )
        return [await self._read(p, read_code_system, better and not a) for p, a in chosen]

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url; where there is none, those that a stored code system implies."""
        places = await self.index.find(self.now, "ValueSet", ("url",), url)
        if not places:
            return await self._implied(url)
        found = [(place, await self._read(place, read_value_set)) for place in places]
        chosen = _by_version((p, one.version, one.status) for p, one in found if one.url == url)
        better = _some_active(chosen) or bool(chosen and await self.rest.value_sets(url))
        return [await self._read(p, read_value_set, better and not a) for p, a in chosen]

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        codes, asked = (("url",), url) if url else (_SYSTEMS, system or "")
        newest: dict[object, ConceptMap] = {}
        for place in await self.index.find(self.now, "ConceptMap", codes, asked):
            # Of many maps one that cannot be read is none; one that was named is refused.
            with suppress(*() if url else (Refusal,)):
                one = await self._read(place, read_concept_map)
                same = (one.url, one.version) if one.url else place
                before = newest.setdefault(same, one)
                if one.status == "active" != before.status:
                    newest[same] = one
        return list(newest.values())

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        found: dict[str, list[str]] = {}
        for head in await self.index.heads(self.now):
            if head.url and head.content not in WITHOUT_CONTENT:
                found.setdefault(head.url, []).extend([head.label] if head.label else [])
        return found

    async def _implied(self, url: str) -> list[ValueSet]:
        heads = await self.index.heads(self.now)
        named = {one.url for one in heads if one.value_set == url and one.url}
        systems = [one for name in sorted(named) for one in await self.code_systems(name)]
        return [
            replace(whole_system(one), superseded=one.head.superseded)
            for one in systems
            if one.head.value_set == url and one.head.content != "supplement"
        ]

    async def _read(
        self,
        place: Place,
        read: Callable[[Json, bool], _Kind],
        superseded: bool = False,  # noqa: FBT001, FBT002 (handed on)
    ) -> _Kind:
        return await self.readings.ask(place, partial(self.index.text, place), read, superseded)


def _by_version(
    places: Iterable[tuple[Place, str | None, str | None]],
) -> list[tuple[Place, bool]]:
    """Return one place for each version, and whether what lies there is active.

    The places come newest first.
    """
    chosen: dict[str | None, tuple[Place, bool]] = {}
    for place, version, status in places:
        if version not in chosen or (status == "active" and not chosen[version][1]):
            chosen[version] = place, status == "active"
    return list(chosen.values())


def _some_active(chosen: Iterable[tuple[Place, bool]]) -> bool:
    return any(active for _, active in chosen)


def _serves(head: Head) -> bool:
    return head.content not in WITHOUT_CONTENT
