"""Modifiers of tokens that ask what codes mean: `in`, `not-in`, `above`, `below`.

A search names value sets, or codes of a hierarchy; which codings of those in use are meant
is found out before the query is compiled.

https://hl7.org/fhir/R4/search.html#token
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import (
    Among,
    Both,
    Coded,
    Condition,
    Each,
    Either,
    Linked,
    Not,
    Referred,
    Sharing,
    Terms,
    either,
)
from fhir_server.search.query import Query
from fhir_server.search.shape import array

Meant: TypeAlias = Terms | Among

MODIFIERS = frozenset({"in", "not-in", "above", "below"})
"""Modifiers of token parameters that need a terminology service."""

TYPES = frozenset({"CodeableConcept", "Coding", "code"})
"""Element types whose values have a code system."""


def condition(clause: Clause) -> Coded:
    """Return the condition that a coding is in a value set, or above or below a code.

    The caller negates `in` for `not-in`. NotSupported where the values are no codes.
    """
    if clause.types.isdisjoint(TYPES):
        raise clause.unsupported("The values of this parameter are no codes of a system.")
    values = tuple(clause.unescape(value) for value in clause.values)
    if clause.modifier != "in":
        for value in clause.values:
            parts = split(value, "|")
            if len(parts) != 2 or not all(parts):  # noqa: PLR2004  (system and code)
                raise clause.refuse("With this modifier a token is written system|code.")
    fixed = clause.systems if "code" in clause.types else {}
    implied = tuple((system, tuple(sorted(codes))) for system, codes in sorted(fixed.items()))
    return Coded(clause.parameter.id, clause.name, clause.modifier, values, implied)


MANY = 1_000
"""Terms from which on so many resources have one that none is looked up by an index."""


def meant(terms: Collection[int]) -> Meant:
    """Return the condition that a resource has one of the terms."""
    found = sorted(terms)
    return Terms(tuple(found)) if len(found) <= MANY else Among(array(found))


def coded(query: Query) -> list[Coded]:
    """Return the conditions that are still to be answered, each once."""
    found = (inner for one in query.conditions for inner in codings(one))
    return list(dict.fromkeys(found))


def codings(condition: Condition) -> Iterator[Coded]:
    """Yield what in a condition is still to be answered."""
    match condition:
        case Coded():
            yield condition
        case Not(inner) | Each(inner) | Sharing(condition=inner):
            yield from codings(inner)
        case Linked(condition=inner) | Referred(condition=inner):
            yield from codings(inner)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from codings(part)


def answered(query: Query, terms: Mapping[Coded, Meant]) -> Query:
    """Return the query with the terms that stand for each such condition."""
    conditions = tuple(replaced(one, terms) for one in query.conditions)
    return replace(query, conditions=conditions)


def replaced(condition: Condition, terms: Mapping[Coded, Meant]) -> Condition:
    """Return the condition with the terms that stand for each in it."""
    match condition:
        case Coded():
            return terms[condition]
        case Not(inner) | Each(inner) | Sharing(condition=inner):
            return replace(condition, condition=replaced(inner, terms))
        case Linked(condition=inner) | Referred(condition=inner):
            return replace(condition, condition=replaced(inner, terms))
        case Either(parts):
            return either([replaced(part, terms) for part in parts])
        case Both(parts):
            return Both(tuple(replaced(part, terms) for part in parts))
        case _:
            return condition
