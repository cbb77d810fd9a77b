"""What a query leaves open until the database is asked.

Three questions: who are the members of a List, of which type is the resource whose
bare id was given, and are the resources with one of many terms so few that they can be
named by their keys.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fhir_server.errors import BadRequest
from fhir_server.search import listing
from fhir_server.search.condition import (
    Both,
    Condition,
    Either,
    Keys,
    Linked,
    Named,
    Not,
    Referred,
    Terms,
    either,
)
from fhir_server.search.context import Context
from fhir_server.search.listing import NAME
from fhir_server.search.query import Query

MANY = 16
"""Alternatives from which on it is asked how many resources have one.

Whether a resource has one of a thousand terms is a long comparison; to walk all
resources for a page of those that have takes the longer the fewer there are.
"""

FEW = 5000
"""So many keys are looked up rather than walked to."""


def named(query: Query) -> list[Named]:
    """Return the references whose type was not said."""
    return [one for condition in query.conditions for one in _named(condition)]


def is_named(condition: Condition) -> bool:
    """Return whether a reference in the condition has a bare id of several types."""
    return any(True for _ in _named(condition))


def _named(condition: Condition) -> Iterator[Named]:
    match condition:
        case Named():
            yield condition
        case Not(inner) | Linked(condition=inner) | Referred(condition=inner):
            yield from _named(inner)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from _named(part)


def with_types(query: Query, homes: Mapping[str, list[int]]) -> Query:
    """Return the query with each bare id given its type; `homes`: types in which an id exists.

    An id that exists nowhere stays open. BadRequest when it exists in several of
    the types that its parameter allows.
    """
    conditions = tuple(_with_types(condition, homes) for condition in query.conditions)
    return replace(query, conditions=conditions)


def _with_types(condition: Condition, homes: Mapping[str, list[int]]) -> Condition:
    match condition:
        case Named():
            return _with_type(condition, homes.get(condition.id, []))
        case Not(inner) | Linked(condition=inner) | Referred(condition=inner):
            return replace(condition, condition=_with_types(inner, homes))
        case Either(parts):
            return either([_with_types(part, homes) for part in parts])
        case Both(parts):
            return Both(tuple(_with_types(part, homes) for part in parts))
        case _:
            return condition


def _with_type(condition: Named, home: list[int]) -> Terms:
    terms = dict(condition.candidates)
    found = [terms[type_id] for type_id in home if type_id in terms]
    if len(found) > 1:
        text = "The id exists in several types; write Type/id."
        raise BadRequest(text, code="value", expression=condition.name)
    return Terms(tuple(found or terms.values()), few=True)


def with_members(
    context: Context, query: Query, ids: Sequence[str], lists: Sequence[bytes]
) -> Query:
    """Return the query restricted to the members of `lists`, the texts of the Lists named `ids`.

    BadRequest when one of them does not exist: it is not an empty one.
    """
    if len(lists) < len(set(ids)):
        raise BadRequest("There is no such List.", code="not-found", expression=NAME)
    members = listing.members(context, lists, query.type_ids)
    return replace(query, conditions=(*query.conditions, members))


def many(query: Query) -> list[Terms]:
    """Return the conditions with many terms."""
    return [
        condition
        for condition in query.conditions
        if isinstance(condition, Terms) and len(condition.alternatives) > MANY
    ]


def with_keys(query: Query, condition: Terms, keys: list[int]) -> Query:
    """Return the query with the condition replaced by the keys of those that meet it."""
    conditions = tuple(
        Keys(tuple(sorted(set(keys)))) if one is condition else one for one in query.conditions
    )
    return replace(query, conditions=conditions)
