"""What a code system offers to the operations, whatever keeps its concepts.

A system may have 350,000 concepts: nothing here lists them all but `select` without a limit, and
every question about codes takes many codes at once, so that one answer is one round trip.

https://hl7.org/fhir/R4/codesystem.html
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from terminology.concepts import CONCEPT_PROPERTIES, Concept
from terminology.filters import Filter
from terminology.versions import join

# https://hl7.org/fhir/R4/codesystem-concept-properties.html
STANDARD_PROPERTIES = frozenset(
    {
        "status",
        "inactive",
        "notSelectable",
        "parent",
        "child",
        "partOf",
        "synonym",
        "comment",
        "effectiveDate",
        "deprecationDate",
        "retirementDate",
        "itemWeight",
        "alternateCode",
        "definition",
        "label",
        "order",
    }
)


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """A property that a code system declares; the `uri` says what it means."""

    code: str
    kind: str = "string"
    uri: str | None = None
    description: str | None = None

    @property
    def role(self) -> str:
        """The standard property meant: by uri, then by code."""
        name = (self.uri or "").removeprefix(CONCEPT_PROPERTIES)
        return name if name in STANDARD_PROPERTIES else self.code


@dataclass(frozen=True, slots=True)
class Head:
    """Everything of a code system but its concepts."""

    url: str
    version: str | None = None
    name: str | None = None
    title: str | None = None
    content: str = "complete"
    """`complete`, `fragment`, `example`, `not-present` or `supplement`."""
    case_sensitive: bool = True
    hierarchy_meaning: str | None = None
    language: str | None = None
    version_algorithm: str | None = None
    version_needed: bool = False
    supplements: str | None = None
    value_set: str | None = None
    properties: tuple[PropertyDefinition, ...] = ()
    status: str | None = None
    standards_status: str | None = None
    experimental: bool = False
    hierarchical: bool = False
    """True when some concept has a parent."""
    grammar: bool = False
    """True when expressions are codes too, so that the codes cannot all be listed."""
    superseded: bool = False
    """True when another version is better, though this one's number may be higher."""

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return join(self.url, self.version)

    def defined(self, code: str) -> PropertyDefinition | None:
        """The declared property that has the code, or means the standard one of that name."""
        for one in self.properties:
            if one.code == code:
                return one
        return next((one for one in self.properties if one.role == code), None)


@dataclass(frozen=True, slots=True)
class Query:
    """Concepts wanted: all filters hold, no conjunction in `excluded` does.

    `text`: every word begins a word of the display or of a designation in one of the
    `languages` (any language where there are none), best match first; else definition order.
    `limit` None = all.
    """

    filters: tuple[Filter, ...] = ()
    excluded: tuple[tuple[Filter, ...], ...] = ()
    active_only: bool = False
    selectable_only: bool = False
    text: str | None = None
    languages: tuple[str, ...] = ()
    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The concepts of one page of a query, with the number of all."""

    concepts: tuple[Concept, ...]
    total: int


class CodeSystem(Protocol):
    """One version of a code system."""

    @property
    def head(self) -> Head:
        """Its metadata."""
        ...

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Concepts by the code asked for; unknown codes are absent.

        Where the system is not case-sensitive the concept's own code may differ by case.
        """
        ...

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """Those of the codes for which every filter holds; UnsupportedFilter."""
        ...

    async def select(self, query: Query) -> Selection:
        """One page of the concepts that a query wants; UnsupportedFilter."""
        ...

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct parents of each code; codes without one are absent."""
        ...

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct children of each code, in order; codes without one are absent."""
        ...

    async def subsumes(self, ancestor: str, descendant: str) -> bool:
        """True when the first is an ancestor of the second (not the same concept)."""
        ...
