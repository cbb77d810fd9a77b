"""A query string read as a query, or refused by name.

https://hl7.org/fhir/R4/search.html#Introduction
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import BadRequest, Issue, NotSupported, SangamError
from fhir_server.search import composite
from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Not, either
from fhir_server.search.include import include
from fhir_server.search.order import sort_keys
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import CREATION, Include, Query, SortKey, Total
from fhir_server.search.registry import Registry
from fhir_server.search.searchtype import SEARCH_TYPES

_NOT_OFFERED = frozenset(
    {"_contained", "_containedType", "_query", "_filter", "_text", "_content", "_list", "_has"}
)
_TOTALS: Mapping[str, Total] = {"none": "none", "estimate": "estimate", "accurate": "accurate"}
_SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
_ONCE = frozenset({"_count", "_sort", "_total", "_summary", "_elements"})

Pair = tuple[str, str]


@dataclass(slots=True)
class _Draft:
    """A query while its parameters are read."""

    type_name: str
    count: int
    conditions: list[Condition] = field(default_factory=list)
    sort: tuple[SortKey, ...] = (CREATION,)
    total: Total = "default"
    includes: list[Include] = field(default_factory=list)
    summary: str = "false"
    elements: tuple[str, ...] = ()
    applied: list[Pair] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What bounds a search: the settings, and whether unknown parameters are ignored."""

    search: SearchSettings
    limits: Limits
    lenient: bool = False


class _Ignored(Exception):
    """The parameter is unknown or empty: an error, or under lenient handling a warning."""

    def __init__(self, error: SangamError) -> None:
        super().__init__()
        self.error = error


def parse(registry: Registry, type_name: str, pairs: Sequence[Pair], rules: Rules) -> Query:
    """Return the query that the decoded pairs of a search on `type_name` ask for.

    BadRequest or NotSupported name the parameter at fault. With `lenient`,
    unknown and empty parameters become warnings; modifiers, prefixes and values
    are never passed over.
    """
    if len(pairs) > rules.limits.search_parameters:
        raise BadRequest("The search has too many parameters.", code="too-costly")
    draft = _Draft(type_name, rules.search.default_count)
    seen: set[str] = set()
    for name, value in pairs:
        if name in _ONCE and name in seen:
            raise BadRequest("The parameter may be given once.", expression=name)
        seen.add(name)
        try:
            applied = _read(registry, draft, name, value, rules)
        except _Ignored as ignored:
            if not rules.lenient:
                raise ignored.error from None
            (issue,) = ignored.error.issues
            draft.warnings.append(Issue("warning", issue.code, issue.text, issue.expression))
        else:
            draft.applied.append((name, applied))
    return Query(
        type_ids=(registry.context.type_ids[type_name],),
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


def _read(registry: Registry, draft: _Draft, name: str, value: str, rules: Rules) -> str:
    """Take one parameter into the draft; return the value that is in force."""
    if not value:
        raise _Ignored(BadRequest("The parameter has no value.", expression=name))
    control = _CONTROLS.get(name)
    if control is None and name.startswith(("_include:", "_revinclude:")):
        control = _include
    if control is not None:
        return control(registry, draft, name, value, rules)
    draft.conditions.append(_condition(registry, draft.type_name, name, value, rules))
    return value


@dataclass(frozen=True, slots=True)
class Asked:
    """A name resolved: the parameter, its modifier, and one clause template per index."""

    parameter: Parameter
    modifier: str
    templates: tuple[Clause, ...]


def _condition(
    registry: Registry, type_name: str, name: str, value: str, rules: Rules
) -> Condition:
    asked = _asked(registry, type_name, name)
    if asked.modifier == "missing":
        return _missing(registry, asked, value)
    values = tuple(split(value, ","))
    if len(values) > rules.limits.or_values:
        raise BadRequest("The parameter has too many values.", code="too-costly", expression=name)
    if not all(values):
        raise asked.templates[0].refuse("A value between commas is empty.")
    condition = (
        composite.condition
        if asked.parameter.type == "composite"
        else SEARCH_TYPES[asked.parameter.type].condition
    )
    now = time.time_ns() // 1000
    clauses = [_with(template, values, now) for template in asked.templates]
    found = either([condition(registry.context, clause) for clause in clauses])
    return Not(found) if asked.modifier == "not" else found


def _with(template: Clause, values: tuple[str, ...], now: int) -> Clause:
    return Clause(
        template.name,
        template.parameter,
        template.modifier,
        values,
        template.types,
        template.parts,
        template.systems,
        now,
    )


def _missing(registry: Registry, asked: Asked, value: str) -> Condition:
    if value not in ("true", "false"):
        raise asked.templates[0].refuse("The modifier missing takes true or false.")
    module = SEARCH_TYPES[asked.parameter.type]
    found = either([module.present(registry.context, c.parameter) for c in asked.templates])
    return Not(found) if value == "true" else found


def _asked(registry: Registry, type_name: str, name: str) -> Asked:
    """Return the parameter of a name; kept, as valid names are few."""
    found = registry.names.get((type_name, name))
    if found is None:
        found = registry.names[type_name, name] = _resolve(registry, type_name, name)
    assert isinstance(found, Asked)
    return found


def _resolve(registry: Registry, type_name: str, name: str) -> Asked:
    code, _, modifier = name.partition(":")
    parameters = registry.parameters(type_name)
    parameter = parameters.get(code)
    if parameter is None:
        raise _unknown(registry, type_name, code, name)
    if modifier and not _offered(parameter, modifier):
        offered = ", ".join(_modifiers(parameter)) or "none"
        raise NotSupported(f"Modifiers of this parameter: {offered}.", expression=name)
    plan = registry.plan(type_name)
    inner = "" if modifier == "not" else modifier
    return Asked(
        parameter,
        modifier,
        tuple(_template(registry, name, one, inner) for one in plan.indexed[code]),
    )


def _template(registry: Registry, name: str, parameter: Parameter, modifier: str) -> Clause:
    facts = registry.plan(parameter.base).facts[parameter.code]
    systems: dict[str, frozenset[str]] = {}
    for binding in sorted(facts.bindings):
        for system, codes in registry.definitions.code_systems.get(binding, {}).items():
            systems[system] = systems.get(system, frozenset()) | codes
    return Clause(
        name,
        parameter,
        modifier,
        (),
        frozenset(facts.types),
        tuple(frozenset(part) for part in facts.parts),
        systems,
    )


def _offered(parameter: Parameter, modifier: str) -> bool:
    if modifier in _modifiers(parameter):
        return True
    types = parameter.target
    return parameter.type == "reference" and modifier in types


def _modifiers(parameter: Parameter) -> list[str]:
    if parameter.type == "composite":
        return []
    found = {"missing", *SEARCH_TYPES[parameter.type].MODIFIERS}
    if parameter.type == "token":
        found.add("not")
    return sorted(found)


def _unknown(registry: Registry, type_name: str, code: str, name: str) -> Exception:
    if code in _NOT_OFFERED or "." in name:
        return NotSupported("This kind of search is not offered yet.", expression=name)
    if code.startswith("_") and code in _CONTROLS:
        return NotSupported("The parameter takes no modifier.", expression=name)
    known = ", ".join(registry.parameters(type_name))
    text = f"{type_name} has no such search parameter. It has {known}."
    return _Ignored(BadRequest(text, expression=name))


# Control parameters: each reads its value into the draft and returns what is in force.


def _count(_: Registry, draft: _Draft, name: str, value: str, rules: Rules) -> str:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise BadRequest("_count is a whole number.", code="value", expression=name)
    draft.count = min(int(value), rules.search.max_count)
    return str(draft.count)


def _sort(registry: Registry, draft: _Draft, _name: str, value: str, _: Rules) -> str:
    draft.sort = sort_keys(registry, draft.type_name, value)
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
    draft.summary = value
    return value


def _elements(_: Registry, draft: _Draft, _name: str, value: str, _rules: Rules) -> str:
    draft.elements = tuple(value.split(","))
    return value


def _include(registry: Registry, draft: _Draft, name: str, value: str, _rules: Rules) -> str:
    draft.includes.append(include(registry, name, value))
    return value


_CONTROLS: Mapping[str, Callable[[Registry, _Draft, str, str, Rules], str]] = {
    "_count": _count,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_include": _include,
    "_revinclude": _include,
}
