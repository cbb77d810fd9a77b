"""A query string read as a query, or refused by name.

https://hl7.org/fhir/R4/search.html#Introduction
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_server.errors import BadRequest, Issue, NotSupported
from fhir_server.search.ask import Ignorable, Scene, condition
from fhir_server.search.compartment import Compartment, members, membership
from fhir_server.search.condition import Condition
from fhir_server.search.include import include
from fhir_server.search.order import sort_keys
from fhir_server.search.query import CREATION, Include, Query, Rules, SortKey, Summary, Total
from fhir_server.search.registry import Registry

_TOTALS: Mapping[str, Total] = {"none": "none", "estimate": "estimate", "accurate": "accurate"}
_SUMMARIES: Mapping[str, Summary] = {
    "true": "true",
    "text": "text",
    "data": "data",
    "count": "count",
    "false": "false",
}
_ONCE = frozenset({"_count", "_sort", "_total", "_summary", "_elements", "_type"})
_FOLLOWING = frozenset({"_include", "_revinclude"})

Pair = tuple[str, str]


@dataclass(slots=True)
class _Draft:
    """A query while its parameters are read."""

    types: tuple[str, ...]
    count: int
    conditions: list[Condition] = field(default_factory=list)
    sort: tuple[SortKey, ...] = (CREATION,)
    total: Total = "default"
    includes: list[Include] = field(default_factory=list)
    summary: Summary = "false"
    elements: tuple[str, ...] = ()
    applied: list[Pair] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)


def parse(
    registry: Registry,
    type_name: str | None,
    pairs: Sequence[Pair],
    rules: Rules,
    compartment: Compartment | None = None,
) -> Query:
    """Return the query that the decoded pairs of a search on `type_name` ask for.

    None is a search of all types, or of those that `_type` names; within a
    `compartment`, of its types. BadRequest or NotSupported name the parameter at
    fault; NotFound says that the compartment does not have the type. With
    `lenient`, unknown and empty parameters become warnings; modifiers, prefixes
    and values are never passed over.
    """
    if len(pairs) > rules.limits.search_parameters:
        raise BadRequest("The search has too many parameters.", code="too-costly")
    draft = _draft(registry, type_name, pairs, rules, compartment)
    seen: set[str] = set()
    for name, value in pairs:
        if "\0" in value:
            raise BadRequest("A value has a null character.", code="value", expression=name)
        if name in _ONCE and name in seen:
            raise BadRequest("The parameter may be given once.", expression=name)
        seen.add(name)
        _take(registry, draft, name, value, rules)
    _refuse_contradictions(draft)
    return Query(
        type_ids=_type_ids(registry, draft.types),
        conditions=tuple(draft.conditions),
        sort=draft.sort,
        count=draft.count,
        total=draft.total,
        includes=tuple(draft.includes),
        summary=draft.summary,
        elements=draft.elements,
        applied=tuple(draft.applied),
        warnings=tuple(draft.warnings),
    )


def _draft(
    registry: Registry,
    type_name: str | None,
    pairs: Sequence[Pair],
    rules: Rules,
    compartment: Compartment | None,
) -> _Draft:
    """Return the query before its parameters: its types, and what the compartment demands."""
    types = _types(registry, type_name, pairs)
    if compartment is None:
        return _Draft(types, rules.search.default_count)
    inside = members(registry, compartment, type_name)
    types = tuple(one for one in types if one in inside)
    belongs = membership(registry, compartment, types)
    return _Draft(types, rules.search.default_count, conditions=[belongs])


def _take(registry: Registry, draft: _Draft, name: str, value: str, rules: Rules) -> None:
    """Take one parameter into the draft, or under lenient handling a warning instead."""
    try:
        applied = _read(registry, draft, name, value, rules)
    except Ignorable as ignored:
        if not rules.lenient:
            raise
        (issue,) = ignored.issues
        draft.warnings.append(Issue("warning", issue.code, issue.text, issue.expression))
    else:
        draft.applied.append((name, applied))


def _refuse_contradictions(draft: _Draft) -> None:
    if draft.includes and draft.summary == "text":
        text = "With _summary=text nothing is included."
        raise BadRequest(text, expression="_summary")
    if draft.elements and draft.summary != "false":
        raise BadRequest("_summary and _elements exclude one another.", expression="_elements")


def _types(registry: Registry, type_name: str | None, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the types searched: that of the URL, those of `_type`, or all."""
    if type_name is not None:
        return (type_name,)
    named = [value.split(",") for name, value in pairs if name == "_type"]
    if not named:
        return registry.definitions.resource_types
    found = tuple(sorted({one for values in named for one in values}))
    if any(one not in registry.context.type_ids for one in found):
        raise BadRequest("_type lists resource types.", code="value", expression="_type")
    return found


def _type_ids(registry: Registry, types: tuple[str, ...]) -> tuple[int, ...]:
    everything = len(types) == len(registry.definitions.resource_types)
    return () if everything else tuple(registry.context.type_ids[one] for one in types)


def _read(registry: Registry, draft: _Draft, name: str, value: str, rules: Rules) -> str:
    """Take one parameter into the draft; return the value that is in force."""
    if not value:
        raise Ignorable("The parameter has no value.", expression=name)
    code = name.partition(":")[0]
    control = _CONTROLS.get(name if code not in _FOLLOWING else code)
    if control is not None:
        return control(registry, draft, name, value, rules)
    if code in _CONTROLS:
        raise NotSupported("The parameter takes no modifier.", expression=name)
    found = condition(Scene(registry, rules, name), draft.types, name, value)
    draft.conditions.append(found)
    return value


# Control parameters: each reads its value into the draft and returns what is in force.


def _count(_: Registry, draft: _Draft, name: str, value: str, rules: Rules) -> str:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise BadRequest("_count is a whole number.", code="value", expression=name)
    draft.count = min(int(value), rules.search.max_count)
    return str(draft.count)


def _sort(registry: Registry, draft: _Draft, _name: str, value: str, _: Rules) -> str:
    draft.sort = sort_keys(registry, draft.types, value)
    return value


def _total(_: Registry, draft: _Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in _TOTALS:
        raise BadRequest("_total is none, estimate or accurate.", code="value", expression=name)
    draft.total = _TOTALS[value]
    return value


def _summary(_: Registry, draft: _Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in _SUMMARIES:
        known = ", ".join(sorted(_SUMMARIES))
        raise BadRequest(f"_summary is one of {known}.", code="value", expression=name)
    if value == "count":
        draft.count = 0
    draft.summary = _SUMMARIES[value]
    return value


def _elements(_: Registry, draft: _Draft, _name: str, value: str, _rules: Rules) -> str:
    draft.elements = tuple(value.split(","))
    return value


def _include(registry: Registry, draft: _Draft, name: str, value: str, _rules: Rules) -> str:
    draft.includes.append(include(registry, name, value))
    return value


def _type(_: Registry, draft: _Draft, name: str, value: str, _rules: Rules) -> str:
    if sorted(set(value.split(","))) != list(draft.types):
        raise BadRequest("The URL names the type.", expression=name)
    return value


_CONTROLS: Mapping[str, Callable[[Registry, _Draft, str, str, Rules], str]] = {
    "_count": _count,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_include": _include,
    "_revinclude": _include,
    "_type": _type,
}
