"""Where code systems, value sets and concept maps are found by url.

https://hl7.org/fhir/R4/terminology-module.html
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.concepts import Json
from terminology.readings import Readings, read
from terminology.value_set import ValueSet, read_value_set

WITHOUT_CONTENT = frozenset({"not-present", "example", "supplement"})


class Library(Protocol):
    """All versions of what is known by a url; nothing known is an empty answer."""

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url, supplements too."""
        ...

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url, implicit ones too."""
        ...

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or that have a group from or to the system."""
        ...

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content: their versions by url, none where they have none."""
        ...


class Shelf:
    """A library of resources in memory."""

    def __init__(self, resources: Iterable[Json] = (), readings: Readings | None = None) -> None:
        """Refusal 400 for a resource that is none of the three kinds."""
        self._read = readings.read if readings else read
        self._systems: dict[str, list[CodeSystem]] = defaultdict(list)
        self._value_sets: dict[str, list[ValueSet]] = defaultdict(list)
        self._maps: list[ConceptMap] = []
        for resource in resources:
            self.put(resource)

    def put(self, resource: Json) -> None:
        """Keep a CodeSystem, ValueSet or ConceptMap."""
        match self._read(resource):
            case ValueSet() as value_set:
                self._value_sets[value_set.url or ""].append(value_set)
            case ConceptMap() as concept_map:
                self._maps.append(concept_map)
            case system:
                self._systems[system.head.url].append(system)
                if system.head.value_set:
                    self._value_sets[system.head.value_set].append(whole_system(system))

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url."""
        return self._systems.get(url, ())

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url: real ones before those that a code system implies."""
        return self._value_sets.get(url, ())

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        if url is not None:
            return [one for one in self._maps if one.url == url]
        return [
            one for one in self._maps if any(system in (g.source, g.target) for g in one.groups)
        ]

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        return {
            url: tuple(one.head.version for one in systems if one.head.version)
            for url, systems in self._systems.items()
            if any(one.head.content not in WITHOUT_CONTENT for one in systems)
        }


class Layers:
    """Two libraries as one: the same url and version in the first hides that in the second."""

    def __init__(self, first: Library, second: Library) -> None:
        self._first, self._second = first, second

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url in both."""
        near = await self._first.code_systems(url)
        hidden = {one.head.version for one in near}
        far = await self._second.code_systems(url)
        return [*near, *(one for one in far if one.head.version not in hidden)]

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url in both."""
        near = await self._first.value_sets(url)
        hidden = {one.version for one in near}
        far = await self._second.value_sets(url)
        return [*near, *(one for one in far if one.version not in hidden)]

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps in both."""
        near = await self._first.concept_maps(url, system)
        hidden = {one.canonical for one in near if one.url}
        far = await self._second.concept_maps(url, system)
        return [*near, *(one for one in far if one.canonical not in hidden)]

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content in both."""
        near, far = await self._first.systems(), await self._second.systems()
        return {
            url: tuple(dict.fromkeys((*near.get(url, ()), *far.get(url, ()))))
            for url in sorted(near.keys() | far.keys())
        }


class Instead(Layers):
    """Two libraries as one: a code system of the first stands for every version of it."""

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url in the first, or in the second."""
        return await self._first.code_systems(url) or await self._second.code_systems(url)


def whole_system(system: CodeSystem) -> ValueSet:
    """The implicit value set of all codes of a system (CodeSystem.valueSet)."""
    head = system.head
    include = {"system": head.url, **({"version": head.version} if head.version else {})}
    resource: Json = {
        "resourceType": "ValueSet",
        "url": head.value_set,
        **({"version": head.version} if head.version else {}),
        "status": head.status or "active",
        "compose": {"include": [include]},
    }
    return read_value_set(resource)
