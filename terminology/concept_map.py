"""Concept maps read from resources.

https://hl7.org/fhir/R4/conceptmap.html
"""

from dataclasses import dataclass

from terminology.concepts import Json
from terminology.shapes import require
from terminology.versions import join, split


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another element's value that a mapping depends on, or produces."""

    property: str
    value: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an element maps to; `code` None says that it has no target."""

    code: str | None
    equivalence: str
    display: str | None = None
    depends_on: tuple[Dependency, ...] = ()
    product: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What to do with codes that a group does not name."""

    mode: str
    code: str | None = None
    display: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Mappings from one system to another."""

    source: str | None
    source_version: str | None
    target: str | None
    target_version: str | None
    elements: dict[str, tuple[Target, ...]]
    unmapped: Unmapped | None = None


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """A concept map; `source` and `target` are the value sets it is between."""

    url: str | None
    version: str | None
    source: str | None
    target: str | None
    groups: tuple[Group, ...]
    status: str | None = None

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return join(self.url or "", self.version)


def read_concept_map(resource: Json) -> ConceptMap:
    """The concept map of an R4 ConceptMap."""
    require("ConceptMap", resource)
    return ConceptMap(
        url=resource.get("url"),
        version=resource.get("version"),
        source=resource.get("sourceUri") or resource.get("sourceCanonical"),
        target=resource.get("targetUri") or resource.get("targetCanonical"),
        groups=tuple(_group(one) for one in resource.get("group", ())),
        status=resource.get("status"),
    )


def _group(source: Json) -> Group:
    elements: dict[str, tuple[Target, ...]] = {}
    for one in source.get("element", ()):
        targets = tuple(_target(target) for target in one.get("target", ()))
        code = one.get("code", "")
        elements[code] = elements.get(code, ()) + (targets or (Target(None, "unmatched"),))
    unmapped = source.get("unmapped")
    from_url, from_version = split(source.get("source", ""))
    to_url, to_version = split(source.get("target", ""))
    return Group(
        source=from_url or None,
        source_version=source.get("sourceVersion") or from_version,
        target=to_url or None,
        target_version=source.get("targetVersion") or to_version,
        elements=elements,
        unmapped=Unmapped(
            unmapped.get("mode", ""),
            unmapped.get("code"),
            unmapped.get("display"),
            unmapped.get("url"),
        )
        if unmapped
        else None,
    )


def _target(source: Json) -> Target:
    return Target(
        code=source.get("code"),
        equivalence=source.get("equivalence", "equivalent"),
        display=source.get("display"),
        depends_on=tuple(_dependency(one) for one in source.get("dependsOn", ())),
        product=tuple(_dependency(one) for one in source.get("product", ())),
    )


def _dependency(source: Json) -> Dependency:
    return Dependency(source.get("property", ""), source.get("value", ""), source.get("system"))
