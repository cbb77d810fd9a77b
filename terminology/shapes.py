"""The JSON shapes of what is read, so that nothing malformed is met later.

Only members that are read are named; others may hold anything.

https://hl7.org/fhir/R4/json.html
"""

from typing import Any, NotRequired, TypedDict

import msgspec

from terminology.concepts import Json
from terminology.issues import bad_request


class Extension(TypedDict):
    """An extension."""

    url: str
    extension: NotRequired[list["Extension"]]


class Elements(TypedDict, total=False):
    """The extensions of a primitive."""

    extension: list[Extension]


class Coding(TypedDict, total=False):
    """A Coding."""

    system: str
    version: str
    code: str
    display: str


class CodeableConcept(TypedDict, total=False):
    """A CodeableConcept."""

    coding: list[Coding]
    text: str


class Designation(TypedDict, total=False):
    """A designation of a concept."""

    extension: list[Extension]
    language: str
    use: Coding
    value: str


class ConceptProperty(TypedDict, total=False):
    """A property of a concept; its value may be of any type."""

    code: str


class Concept(TypedDict):
    """A concept with those below it."""

    code: str
    extension: NotRequired[list[Extension]]
    display: NotRequired[str]
    definition: NotRequired[str]
    designation: NotRequired[list[Designation]]
    property: NotRequired[list[ConceptProperty]]
    concept: NotRequired[list["Concept"]]


class PropertyDefinition(TypedDict):
    """A property that a code system declares."""

    code: str
    type: NotRequired[str]
    uri: NotRequired[str]
    description: NotRequired[str]


class CodeSystem(TypedDict):
    """A CodeSystem."""

    url: str
    version: NotRequired[str]
    extension: NotRequired[list[Extension]]
    name: NotRequired[str]
    title: NotRequired[str]
    status: NotRequired[str]
    experimental: NotRequired[bool]
    language: NotRequired[str]
    content: NotRequired[str]
    caseSensitive: NotRequired[bool]
    compositional: NotRequired[bool]
    versionNeeded: NotRequired[bool]
    hierarchyMeaning: NotRequired[str]
    supplements: NotRequired[str]
    valueSet: NotRequired[str]
    property: NotRequired[list[PropertyDefinition]]
    concept: NotRequired[list[Concept]]


class ConceptReference(TypedDict):
    """A code that an include lists."""

    code: str
    extension: NotRequired[list[Extension]]
    display: NotRequired[str]
    designation: NotRequired[list[Designation]]


class Filter(TypedDict, total=False):
    """A filter; what it lacks is told by the operations."""

    property: str
    op: str
    _op: Elements
    value: str


class Include(TypedDict, total=False):
    """An include or exclude."""

    system: str
    version: str
    concept: list[ConceptReference]
    filter: list[Filter]
    valueSet: list[str]


class Compose(TypedDict, total=False):
    """What a value set is composed of."""

    extension: list[Extension]
    inactive: bool
    include: list[Include]
    exclude: list[Include]


class Contains(TypedDict, total=False):
    """A code of an expansion."""

    system: str
    version: str
    code: str
    display: str
    abstract: bool
    designation: list[Designation]
    extension: list[Extension]
    contains: list["Contains"]


class Expansion(TypedDict, total=False):
    """The codes of a value set as somebody expanded it."""

    extension: list[Extension]
    total: int
    contains: list[Contains]


class Contained(TypedDict, total=False):
    """A contained resource."""

    resourceType: str
    id: str


class ValueSet(TypedDict, total=False):
    """A ValueSet."""

    url: str
    version: str
    extension: list[Extension]
    contained: list[Contained]
    status: str
    experimental: bool
    language: str
    compose: Compose
    expansion: Expansion


class Dependency(TypedDict, total=False):
    """A dependency or product of a mapping."""

    property: str
    system: str
    value: str


class Target(TypedDict, total=False):
    """A target of a mapping."""

    code: str
    display: str
    equivalence: str
    dependsOn: list[Dependency]
    product: list[Dependency]


class Element(TypedDict, total=False):
    """A code that is mapped."""

    code: str
    target: list[Target]


class Unmapped(TypedDict, total=False):
    """What to do with other codes."""

    mode: str
    code: str
    display: str
    url: str


class Group(TypedDict, total=False):
    """The mappings between two systems."""

    source: str
    sourceVersion: str
    target: str
    targetVersion: str
    element: list[Element]
    unmapped: Unmapped


class ConceptMap(TypedDict, total=False):
    """A ConceptMap."""

    url: str
    version: str
    sourceUri: str
    sourceCanonical: str
    targetUri: str
    targetCanonical: str
    group: list[Group]


class Parameter(TypedDict):
    """A parameter; its value may be of any type."""

    name: str
    resource: NotRequired[dict[str, Any]]
    part: NotRequired[list["Parameter"]]


class Parameters(TypedDict, total=False):
    """A Parameters resource."""

    parameter: list[Parameter]


SHAPES: dict[str, Any] = {
    "CodeSystem": CodeSystem,
    "ValueSet": ValueSet,
    "ConceptMap": ConceptMap,
    "Parameters": Parameters,
    "Coding": Coding,
    "CodeableConcept": CodeableConcept,
}


def require(name: str, value: Json) -> None:
    """Refusal 400 `structure` where the value has not the shape of that name."""
    try:
        msgspec.convert(value, SHAPES[name])
    except (msgspec.ValidationError, RecursionError) as error:
        raise bad_request(f"this is no {name}: {error}", "structure") from error
