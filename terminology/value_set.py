"""Value sets read from resources.

https://hl7.org/fhir/R4/valueset.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from terminology.code_system_resource import designation
from terminology.concepts import (
    STRUCTURE_DEFINITION,
    Designation,
    Json,
    extension_value,
    standards_status,
)
from terminology.filters import Filter
from terminology.shapes import require
from terminology.versions import join

FILTER_OP = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.compose.include.filter.op"
)
SUPPLEMENT = STRUCTURE_DEFINITION + "valueset-supplement"
EXPANSION_PARAMETER = STRUCTURE_DEFINITION + "valueset-expansion-parameter"
DEPRECATED = STRUCTURE_DEFINITION + "valueset-deprecated"
UNCLOSED = STRUCTURE_DEFINITION + "valueset-unclosed"


@dataclass(frozen=True, slots=True)
class ConceptReference:
    """A code that an include lists, with the texts that it brings along."""

    code: str
    display: str | None = None
    designations: tuple[Designation, ...] = ()
    extensions: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Include:
    """An include or exclude: everything named holds at once."""

    system: str | None = None
    version: str | None = None
    concepts: tuple[ConceptReference, ...] = ()
    filters: tuple[Filter, ...] = ()
    value_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A value set; `inactive` False keeps inactive codes out, whatever the request says."""

    url: str | None
    version: str | None
    resource: Json
    includes: tuple[Include, ...] = ()
    excludes: tuple[Include, ...] = ()
    inactive: bool = True
    language: str | None = None
    supplements: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    status: str | None = None
    standards_status: str | None = None
    experimental: bool = False
    superseded: bool = False
    """True when another version is better, though this one's number may be higher."""
    editions: Mapping[str, str] = field(default_factory=dict)
    """The version of a system that was published with it: used where nothing else decides."""
    partial: bool = False
    """True when it is known by an expansion alone, and that has not all of its codes."""

    @property
    def canonical(self) -> str:
        """`url|version`; `(unidentified)` where it has no url."""
        return join(self.url, self.version) if self.url else "(unidentified)"


def read_value_set(resource: Json) -> ValueSet:
    """The value set of an R4 ValueSet; one with an expansion alone lists its codes."""
    require("ValueSet", resource)
    compose = resource.get("compose") or _compose_of(resource.get("expansion", {}))
    extensions = resource.get("extension", [])
    return ValueSet(
        url=resource.get("url"),
        version=resource.get("version"),
        resource=resource,
        includes=_includes(compose, "include"),
        excludes=_includes(compose, "exclude"),
        inactive=compose.get("inactive", True),
        language=resource.get("language"),
        supplements=tuple(
            str(extension_value([one], SUPPLEMENT))
            for one in extensions
            if one.get("url") == SUPPLEMENT
        ),
        parameters=tuple(_parameters(compose)),
        status=resource.get("status"),
        standards_status=standards_status(extensions),
        experimental=resource.get("experimental", False),
        partial=not resource.get("compose") and _is_partial(resource.get("expansion", {})),
    )


def _is_partial(expansion: Json) -> bool:
    """Whether an expansion is a page of more codes, or says that there are others."""
    unclosed = extension_value(expansion.get("extension", []), UNCLOSED)
    listed = sum("code" in one for one in _contained(expansion))
    return unclosed is True or expansion.get("total", 0) > listed


def _includes(compose: Json, name: str) -> tuple[Include, ...]:
    return tuple(
        _include(one, f"ValueSet.compose.{name}[{index}]")
        for index, one in enumerate(compose.get(name, ()))
    )


def _include(source: Json, path: str) -> Include:
    return Include(
        system=source.get("system"),
        version=source.get("version"),
        concepts=tuple(
            ConceptReference(
                one["code"],
                one.get("display"),
                tuple(designation(each) for each in one.get("designation", ())),
                tuple(one.get("extension", ())),
            )
            for one in source.get("concept", ())
        ),
        filters=tuple(
            _filter(one, f"{path}.filter[{index}]")
            for index, one in enumerate(source.get("filter", ()))
        ),
        value_sets=tuple(source.get("valueSet", ())),
    )


def _filter(source: Json, path: str) -> Filter:
    newer = extension_value(source.get("_op", {}).get("extension", []), FILTER_OP)
    return Filter(
        source.get("property", ""), newer or source.get("op", ""), source.get("value"), path
    )


def _parameters(compose: Json) -> Iterator[tuple[str, str]]:
    for one in compose.get("extension", ()):
        if one.get("url") == EXPANSION_PARAMETER:
            parts = {
                part.get("url"): extension_value([part], part["url"]) for part in one["extension"]
            }
            if "name" in parts and "value" in parts:
                yield str(parts["name"]), str(parts["value"])


def _compose_of(expansion: Json) -> Json:
    includes: dict[tuple[str | None, str | None], Json] = {}
    for one in _contained(expansion):
        if "code" in one and not (one.get("abstract") and "contains" in one):
            key = one.get("system"), one.get("version")
            group = includes.setdefault(key, _group(*key))
            group["concept"].append(one)
    return {"include": list(includes.values())}


def _contained(expansion: Json) -> Iterator[Json]:
    todo = list(reversed(expansion.get("contains", [])))
    while todo:
        one = todo.pop()
        todo.extend(reversed(one.get("contains", [])))
        yield one


def _group(system: str | None, version: str | None) -> Json:
    pinned = {"version": version} if version else {}
    return {"system": system, **pinned, "concept": []}
