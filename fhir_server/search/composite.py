"""Composite parameters: several values inside one element.

The first component, a token or a reference, becomes terms; the others are
indexed under each of these terms, so that one term or one range row proves that
both stand in the same element.

https://hl7.org/fhir/R4/search.html#composite
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

from fhir_server.errors import TooLarge
from fhir_server.search import number
from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import (
    NEVER,
    Condition,
    Named,
    Row,
    Terms,
    Test,
    either,
)
from fhir_server.search.context import Context
from fhir_server.search.parameter import Component, Parameter
from fhir_server.search.rows import Part, PartRows, Rows
from fhir_server.search.searchtype import SEARCH_TYPES
from fhir_server.search.terms import part, term

MODIFIERS: frozenset[str] = frozenset()

MOST = 5000
"""Index rows that one element may have under one composite parameter."""

_NUMBERS = "idx_quantity"


def write(rows: Rows, parameter: Parameter, parts: Sequence[list[tuple[str, Any]]]) -> None:
    """Index one element; `parts` are (element type, value) of each component's values.

    Each component has some.
    """
    written = [
        _part(rows, component, values)
        for component, values in zip(parameter.component, parts, strict=True)
    ]
    (first, _), *others = written
    if prod(max(len(terms), sum(map(len, ranges.values()))) for terms, ranges in written) > MOST:
        raise TooLarge("A composite search parameter would have too many index rows")
    secret = rows.context.secret
    if len(others) == 1:
        terms, ranges = others[0]
        for one, other in product(first, terms):
            rows.terms.add(_pair(secret, parameter, one, other))
        for table, found in ranges.items():
            for one, row in product(first, found):
                rows.ranges[table].add((_under(secret, parameter, one), *row[1:]))
        return
    for one in first:
        rows.ranges[_NUMBERS].update(_numbers(_under(secret, parameter, one), others))


def _part(rows: Rows, component: Component, values: list[tuple[str, Any]]) -> Part:
    """Return what a component's values would be indexed by on their own.

    Several composites have the same component, which is written once: the rows
    do not depend on the component's name.
    """
    name = (component.type, *(id(value) for _, value in values))
    known = rows.parts.get(name)
    if known is None:
        # The values stay with their rows, so that no other value can get their identity.
        known = rows.parts[name] = (values, _written(rows.context, component, values))
    return known[1]


def _written(context: Context, component: Component, values: list[tuple[str, Any]]) -> Part:
    rows = PartRows(context)
    parameter = component_parameter(component)
    writers = SEARCH_TYPES[component.type].WRITERS
    for element_type, value in values:
        writer = writers.get(element_type)
        if writer is not None:
            writer(rows, parameter, value)
    return rows.terms, rows.ranges


@lru_cache(maxsize=1_000)
def component_parameter(component: Component) -> Parameter:
    """Return a parameter that stands for the component; its id is used inside composites only."""
    return Parameter(
        id=0,
        base="",
        code=component.code,
        type=component.type,
        url="",
        expression="",
        target=component.target,
    )


def _pair(secret: bytes, parameter: Parameter, one: int, other: int) -> int:
    return term(secret, parameter.id, "pair", str(one), str(other))


def _under(secret: bytes, parameter: Parameter, one: int) -> int:
    return part(secret, parameter.id, str(one))


def _numbers(scope: int, others: Sequence[Part]) -> set[tuple[Any, ...]]:
    """Return rows that hold two numbers, which is what a window of coordinates is."""
    first, second = (ranges.get(number.TABLE, set()) for _, ranges in others)
    return {
        (scope, low, high, 0, 0, 0, *two) for (_, low, high), (_, *two) in product(first, second)
    }


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    return either([_searched(context, clause, value) for value in clause.values])


def _searched(context: Context, clause: Clause, value: str) -> Condition:
    components = clause.parameter.component
    values = split(value, "$")
    if len(values) != len(components) or not all(values):
        raise clause.refuse(f"The value has {len(components)} parts, joined by '$'.")
    found = [_component(context, clause, place, text) for place, text in enumerate(values)]
    first = _terms(found[0])
    if len(found) > 2:  # noqa: PLR2004  (a code and two numbers)
        return either([_two_numbers(context, clause, one, found[1:]) for one in first])
    return either([_paired(context, clause, one, found[1]) for one in first] or [NEVER])


def _component(context: Context, clause: Clause, place: int, text: str) -> Condition:
    component = clause.parameter.component[place]
    if component.type == "token" and text.endswith("|"):
        raise clause.refuse("Inside a composite a token is written code, system|code or |code.")
    inner = replace(
        clause,
        parameter=component_parameter(component),
        values=(text,),
        types=clause.parts[place],
        modifier="",
    )
    return SEARCH_TYPES[component.type].condition(context, inner)


def _terms(found: Condition) -> tuple[int, ...]:
    match found:
        case Terms(alternatives):
            return alternatives
        case Named(candidates=candidates):
            return tuple(candidate for _, candidate in candidates)
        case _:
            raise AssertionError("a composite starts with a token or a reference")


def _paired(context: Context, clause: Clause, one: int, other: Condition) -> Condition:
    secret, parameter = context.secret, clause.parameter
    match other:
        case Row(table, _, groups):
            return Row(table, _under(secret, parameter, one), groups)
        case _:
            return Terms(tuple(_pair(secret, parameter, one, t) for t in _terms(other)))


def _two_numbers(
    context: Context, clause: Clause, one: int, numbers: Sequence[Condition]
) -> Condition:
    first, second = numbers
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    moved = tuple(
        tuple(Test(f"canonical_{t.column}", t.comparison, t.value) for t in group)
        for group in second.groups
    )
    scope = _under(context.secret, clause.parameter, one)
    return Row(_NUMBERS, scope, first.groups + moved)
