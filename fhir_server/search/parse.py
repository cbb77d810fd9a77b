"""A query string read as a query, or refused by name.

https://hl7.org/fhir/R4/search.html#Introduction
"""

import re
from collections.abc import Sequence
from contextlib import suppress

from fhir_server.errors import BadRequest, Issue, NotSupported
from fhir_server.search.ask import Ignorable, Scene, condition
from fhir_server.search.compartment import Compartment, members, membership
from fhir_server.search.control import CONTROLS, Draft
from fhir_server.search.fulltext import ranking
from fhir_server.search.gather import Values, gathered
from fhir_server.search.order import scored
from fhir_server.search.query import Pair, Query, Rules
from fhir_server.search.registry import Registry

_ONCE = frozenset(
    ("_count", "_sort", "_total", "_summary", "_elements", "_type", "_contained", "_explain")
)
_FOLLOWING = frozenset({"_include", "_revinclude"})
# Lenient handling passes none of these over, also when they are empty.
_NEVER_IGNORED = frozenset({"_filter", "_query"})
_PATIENTS = frozenset({"patient", "subject"})
_SCORED = frozenset({"_text", "_content", "_filter"})


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
    _refuse_contradictions(draft, compartment)
    return Query(
        type_ids=_type_ids(registry, draft.types),
        conditions=gathered(registry.context, draft.conditions, _values(registry, draft.types)),
        sort=scored(draft.sort, ranking(draft.conditions)),
        count=draft.count,
        total=draft.total,
        includes=tuple(draft.includes),
        summary=draft.summary,
        elements=draft.elements,
        applied=tuple(draft.applied),
        warnings=tuple(draft.warnings),
        lists=tuple(draft.lists),
        explain=draft.explain,
    )


def _values(registry: Registry, types: tuple[str, ...]) -> Values:
    """Return what the definitions say of the values of a type's parameters."""
    if len(types) > 1:
        return Values()
    plan = registry.plan(types[0])
    return Values(plan.single, plan.brief)


def _draft(
    registry: Registry,
    type_name: str | None,
    pairs: Sequence[Pair],
    rules: Rules,
    compartment: Compartment | None,
) -> Draft:
    """Return the query before its parameters: its types, and what the compartment demands."""
    types = _types(registry, type_name, pairs)
    if compartment is None:
        return Draft(types, rules.search.default_count)
    inside = members(registry, compartment, type_name)
    types = tuple(one for one in types if one in inside)
    belongs = membership(registry, compartment, types)
    return Draft(types, rules.search.default_count, conditions=[belongs])


def _take(registry: Registry, draft: Draft, name: str, value: str, rules: Rules) -> None:
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


def _refuse_contradictions(draft: Draft, compartment: Compartment | None) -> None:
    if draft.includes and draft.summary == "text":
        text = "With _summary=text nothing is included."
        raise BadRequest(text, expression="_summary")
    if draft.elements and draft.summary != "false":
        raise BadRequest("_summary and _elements exclude one another.", expression="_elements")
    asked = dict(draft.applied)
    if "_score" in re.split("[,-]", asked.get("_sort", "")) and not _SCORED & set(asked):
        text = f"Resources have a score in a search with {', '.join(sorted(_SCORED))}."
        raise BadRequest(text, expression="_sort")
    inside = compartment is not None and compartment.type == "Patient"
    if draft.needs_patient and not inside and not any(map(_names, asked)):
        text = "A current list is one patient's: the search needs a patient."
        raise BadRequest(text, code="required", expression="_list")


def _names(name: str) -> bool:
    """Return whether a parameter names a patient."""
    return re.split("[.:]", name)[0] in _PATIENTS and not name.endswith((":missing", ":not"))


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


def _read(registry: Registry, draft: Draft, name: str, value: str, rules: Rules) -> str:
    """Take one parameter into the draft; return the value that is in force."""
    code = name.partition(":")[0]
    control = CONTROLS.get(name if code not in _FOLLOWING else code)
    if control is None and code in CONTROLS:
        raise NotSupported("The parameter takes no modifier.", expression=name)
    scene = Scene(registry, rules, name)
    if not value:
        raise _empty(scene, draft, code)
    if control is not None:
        return control(registry, draft, name, value, rules)
    draft.conditions.append(condition(scene, draft.types, name, value))
    return value


def _empty(scene: Scene, draft: Draft, code: str) -> BadRequest:
    """Return the refusal of an empty value, unless it is the name that is refused."""
    text = "The parameter has no value."
    if code in _NEVER_IGNORED:
        return BadRequest(text, expression=scene.name)
    if code not in CONTROLS:
        # A modifier that is not supported is refused, whatever the handling.
        with suppress(BadRequest):
            condition(scene, draft.types, scene.name, "")
    return Ignorable(text, expression=scene.name)
