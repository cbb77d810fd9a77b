"""The terminology that comes with the server: R4's own, and HL7's.

Where both packages have a url, the versions stand side by side, and who names none gets
HL7's: its editions go on from R4's, though they are numbered anew ("2018-08-12" became
"3.0.0"). R4's own value sets mean R4's edition of a system, as they were published.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fhir_server.vocabulary.artefact import Artefact
from fhir_server.vocabulary.reading import (
    Readings,
    read_code_system,
    read_concept_map,
    read_value_set,
)
from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.concepts import Json
from terminology.library import WITHOUT_CONTENT, whole_system
from terminology.value_set import ValueSet

_Kind = TypeVar("_Kind")
BUILT_IN = "built-in"


class Builtin:
    """A library over the artefact; a resource is read when it is first asked for."""

    def __init__(self, artefact: Artefact, readings: Readings) -> None:
        self._artefact = artefact
        self._readings = readings
        self._by_url: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._implied: dict[str, list[int]] = defaultdict(list)
        self._maps: dict[str, list[int]] = defaultdict(list)
        self._entries = artefact.index.entries
        for number, entry in enumerate(self._entries):
            self._by_url[entry.type, entry.url].append(number)
            if entry.value_set and entry.content != "supplement":
                self._implied[entry.value_set].append(number)
            for system in entry.systems:
                self._maps[system].append(number)

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url."""
        return [await self._code_system(n) for n in self._by_url.get(("CodeSystem", url), ())]

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url; where there is none, those that a code system implies."""
        numbers = self._by_url.get(("ValueSet", url), ())
        if numbers:
            return [await self._value_set(number) for number in numbers]
        systems = [await self._code_system(number) for number in self._implied.get(url, ())]
        return [replace(whole_system(one), superseded=one.head.superseded) for one in systems]

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        if url is None:
            numbers = self._maps.get(system or "", [])
        else:
            numbers = self._by_url.get(("ConceptMap", url), [])
        return [await self._read(number, read_concept_map) for number in numbers]

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        found: dict[str, list[str]] = {}
        for entry in self._entries:
            if entry.type == "CodeSystem" and entry.content not in WITHOUT_CONTENT:
                versions = found.setdefault(entry.url, [])
                versions += [entry.version] if entry.version else []
        return found

    async def _code_system(self, number: int) -> CodeSystem:
        return await self._read(number, read_code_system)

    async def _value_set(self, number: int) -> ValueSet:
        package = self._entries[number].package

        def read(resource: Json, superseded: bool) -> ValueSet:  # noqa: FBT001 (Readings.ask)
            found = read_value_set(resource, superseded)
            editions = {
                include.system: version
                for include in (*found.includes, *found.excludes)
                if include.system and (version := self._edition(include.system, package))
            }
            return replace(found, editions=editions)

        return await self._read(number, read)

    def _edition(self, url: str, package: int) -> str | None:
        """The version of a code system in a package, where a later package has another."""
        numbers = self._by_url.get(("CodeSystem", url), ())
        own = [n for n in numbers if self._entries[n].package == package and self._superseded(n)]
        return self._entries[own[0]].version if own else None

    async def _read(self, number: int, read: Callable[[Json, bool], _Kind]) -> _Kind:
        entry = self._entries[number]

        async def text() -> bytes:
            return self._artefact.text(entry)

        return await self._readings.ask((BUILT_IN, number), text, read, self._superseded(number))

    def _superseded(self, number: int) -> bool:
        """Whether a later package has the same url."""
        entry = self._entries[number]
        same = self._by_url[entry.type, entry.url]
        return any(self._entries[other].package > entry.package for other in same)
