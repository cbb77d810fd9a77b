"""The official R4 definitions as the server uses them.

https://hl7.org/fhir/R4/structuredefinition.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from fhir_server.r4.artefact import section


@dataclass(frozen=True, slots=True)
class Binding:
    """Strength (`required`, `extensible`, ...) and value set URL without its version."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class Element:
    """One member of a type as it is named in JSON; a choice has one for each of its types.

    `type` is a key of `Definitions.elements`, or a primitive such as `dateTime`,
    or `xhtml`. `max` is None where there is no limit; a list in JSON stands for
    each `max` other than 1. `path` is that of the ElementDefinition
    (`Observation.value[x]`). `targets` are the types that a Reference or
    canonical may point to (`Resource`: any). `choice` is the name without `[x]`.
    """

    name: str
    type: str
    min: int
    max: int | None
    is_summary: bool
    is_modifier: bool
    binding: Binding | None
    path: str
    targets: tuple[str, ...]
    choice: str | None


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A SearchParameter resource; `component` pairs a definition's URL with an expression.

    `expression` is None only for `_text`, `_content`, `_filter` and `_query`.
    """

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str | None
    target: tuple[str, ...]
    component: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Definitions:
    """All of R4 that is looked up while serving.

    `resource_types`: the 146 concrete types by name. `type_ids` numbers them from
    1 in that order. `elements`: type or backbone path (`Patient.contact`) to
    member name to Element, in the order of the definition. `compartments`:
    compartment to member type to parameter codes. `code_systems`: value set of a
    required binding to system to codes. `case_sensitive`: systems whose codes
    differ by case.
    """

    resource_types: tuple[str, ...]
    type_ids: Mapping[str, int]
    type_names: Mapping[int, str]
    elements: Mapping[str, Mapping[str, Element]]
    search_parameters: tuple[SearchParameter, ...]
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    code_systems: Mapping[str, Mapping[str, frozenset[str]]]
    case_sensitive: frozenset[str]


@cache
def load() -> Definitions:
    """Return the definitions that come with this package."""
    names, table = section("elements").values()
    search, codes = section("search"), section("codes")
    return Definitions(
        resource_types=tuple(names),
        type_ids=MappingProxyType({name: number for number, name in enumerate(names, 1)}),
        type_names=MappingProxyType(dict(enumerate(names, 1))),
        elements=_elements(table),
        search_parameters=tuple(
            SearchParameter(
                url,
                code,
                type_,
                tuple(base),
                expression,
                tuple(target),
                tuple((definition, path) for definition, path in component),
            )
            for url, code, type_, base, expression, target, component in search["parameters"]
        ),
        compartments={
            code: {name: tuple(parameters) for name, parameters in members.items()}
            for code, members in search["compartments"].items()
        },
        code_systems={
            value_set: {system: frozenset(known) for system, known in systems.items()}
            for value_set, systems in codes["required"].items()
        },
        case_sensitive=frozenset(codes["case_sensitive"]),
    )


@cache
def search_descriptions() -> Mapping[str, Mapping[str, str]]:
    """Return what search parameters mean, by URL and resource type.

    A text under the empty type holds for all. It is read only by who describes the server.
    """
    descriptions: dict[str, dict[str, str]] = section("descriptions")
    return descriptions


def _elements(table: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, Element]]:
    return {
        owner: {name: _element(row) for name, row in rows.items()} for owner, rows in table.items()
    }


def _element(row: list[Any]) -> Element:
    name, type_, least, most, summary, modifier, binding, path, targets, choice = row
    return Element(
        name,
        type_,
        least,
        most,
        summary,
        modifier,
        binding and Binding(*binding),
        path,
        tuple(targets),
        choice,
    )
