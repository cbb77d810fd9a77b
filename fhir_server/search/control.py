"""Control parameters: what a search returns, and criteria that no search parameter defines.

https://hl7.org/fhir/R4/search.html#table
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fhir_server.errors import BadRequest, Issue, NotSupported
from fhir_server.search import filter as filters
from fhir_server.search import filtered, listing
from fhir_server.search.ask import Scene
from fhir_server.search.condition import Condition
from fhir_server.search.include import include
from fhir_server.search.order import sort_keys
from fhir_server.search.query import CREATION, Include, Pair, Rules, SortKey, Summary, Total
from fhir_server.search.registry import Registry

_TOTALS: Mapping[str, Total] = {"none": "none", "estimate": "estimate", "accurate": "accurate"}
_SUMMARIES: Mapping[str, Summary] = {
    "true": "true",
    "text": "text",
    "data": "data",
    "count": "count",
    "false": "false",
}


@dataclass(slots=True)
class Draft:
    """A query while its parameters are read."""

    types: tuple[str, ...]
    count: int
    conditions: list[Condition] = field(default_factory=list)
    sort: tuple[SortKey, ...] = (CREATION,)
    total: Total = "default"
    includes: list[Include] = field(default_factory=list)
    summary: Summary = "false"
    elements: tuple[str, ...] = ()
    lists: list[tuple[str, ...]] = field(default_factory=list)
    needs_patient: bool = False
    explain: bool = False
    filter_nodes: int = 0
    applied: list[Pair] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)


def _count(_: Registry, draft: Draft, name: str, value: str, rules: Rules) -> str:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise BadRequest("_count is a whole number.", code="value", expression=name)
    draft.count = min(int(value), rules.search.max_count)
    return str(draft.count)


def _sort(registry: Registry, draft: Draft, _name: str, value: str, _: Rules) -> str:
    draft.sort = sort_keys(registry, draft.types, value)
    return value


def _total(_: Registry, draft: Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in _TOTALS:
        raise BadRequest("_total is none, estimate or accurate.", code="value", expression=name)
    draft.total = _TOTALS[value]
    return value


def _summary(_: Registry, draft: Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in _SUMMARIES:
        known = ", ".join(sorted(_SUMMARIES))
        raise BadRequest(f"_summary is one of {known}.", code="value", expression=name)
    if value == "count":
        draft.count = 0
    draft.summary = _SUMMARIES[value]
    return value


def _elements(_: Registry, draft: Draft, _name: str, value: str, _rules: Rules) -> str:
    draft.elements = tuple(value.split(","))
    return value


def _include(registry: Registry, draft: Draft, name: str, value: str, rules: Rules) -> str:
    if len(draft.includes) >= rules.limits.include_rules:
        text = "The search has too many includes."
        raise BadRequest(text, code="too-costly", expression=name)
    draft.includes.append(include(registry, name, value))
    return value


def _type(_: Registry, draft: Draft, name: str, value: str, _rules: Rules) -> str:
    if sorted(set(value.split(","))) != list(draft.types):
        raise BadRequest("The URL names the type.", expression=name)
    return value


def _filter(registry: Registry, draft: Draft, name: str, value: str, rules: Rules) -> str:
    left = rules.limits.filter_nodes - draft.filter_nodes
    tree, nodes = filters.parse(value, left, rules.limits.filter_depth)
    draft.filter_nodes += nodes
    scene = Scene(registry, rules, name)
    draft.conditions.append(filtered.condition(scene, draft.types, tree))
    return value


def _list(registry: Registry, draft: Draft, name: str, value: str, rules: Rules) -> str:
    if value.startswith("$"):
        scene = Scene(registry, rules, name)
        draft.conditions.append(listing.current(scene, draft.types, value))
        draft.needs_patient = True
    else:
        draft.lists.append(listing.ids(registry.context, value))
    return value


def _query(_: Registry, _draft: Draft, name: str, _value: str, _rules: Rules) -> str:
    raise NotSupported("No query of this name is defined.", expression=name)


def _contained(_: Registry, _draft: Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in ("true", "both", "false"):
        raise BadRequest("_contained is true, both or false.", code="value", expression=name)
    if value != "false":
        raise NotSupported("Contained resources are not searched.", expression=name)
    return value


def _contained_type(_: Registry, _draft: Draft, name: str, _value: str, _rules: Rules) -> str:
    raise NotSupported("Contained resources are not searched.", expression=name)


def _explain(_: Registry, draft: Draft, name: str, value: str, _rules: Rules) -> str:
    if value not in ("true", "false"):
        raise BadRequest("_explain is true or false.", code="value", expression=name)
    draft.explain = value == "true"
    return value


CONTROLS: Mapping[str, Callable[[Registry, Draft, str, str, Rules], str]] = {
    "_count": _count,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_include": _include,
    "_revinclude": _include,
    "_type": _type,
    "_filter": _filter,
    "_list": _list,
    "_query": _query,
    "_contained": _contained,
    "_containedType": _contained_type,
    "_explain": _explain,
}
"""Each reads its value into the draft and returns what is in force."""
