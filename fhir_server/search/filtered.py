"""A `_filter` as a condition.

https://hl7.org/fhir/R4/search_filter.html
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search import date, string
from fhir_server.search.ask import (
    Asked,
    Scene,
    alternatives,
    filled,
    ids,
    missing,
    references,
    resolved,
    sharing,
)
from fhir_server.search.clause import PREFIXES, Clause
from fhir_server.search.condition import Both, Condition, Linked, Not, Row, either
from fhir_server.search.filter import NAME, Compare, Filter, Junction, Negation, Step
from fhir_server.search.interval import Groups
from fhir_server.search.registry import COLUMNS

_PREFIXES = sorted(PREFIXES)
_TEXTS: Mapping[str, Callable[[str], Groups]] = {
    "eq": string.equal,
    "co": string.containing,
    "sw": string.starting,
    "ew": string.ending,
}
_CODES = {"in": "in", "ni": "in", "ss": "below", "sb": "above"}
"""What subsumes the concepts of a set lies above them, so they are below it."""

_OFFERED: Mapping[str, tuple[str, ...]] = {
    "composite": ("eq",),
    "date": (*_PREFIXES, "po", "pr"),
    "number": (*_PREFIXES, "pr"),
    "quantity": (*_PREFIXES, "pr"),
    "reference": ("eq", "ne", "re", "pr"),
    "string": ("eq", "ne", "co", "sw", "ew", "pr"),
    "token": ("eq", "ne", "ss", "sb", "in", "ni", "pr"),
    "uri": ("eq", "ne", "co", "sw", "ew", "pr"),
}
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\,$|"})


def condition(scene: Scene, types: tuple[str, ...], found: Filter) -> Condition:
    """Return the condition of a filter on resources of `types`.

    BadRequest or NotSupported name the character at fault and quote no value.
    """
    match found:
        case Negation(inner):
            return Not(condition(scene, types, inner))
        case Junction("and", parts):
            return Both(tuple(condition(scene, types, part) for part in parts))
        case Junction(_, parts):
            return either([condition(scene, types, part) for part in parts])
        case Compare(path):
            return _walked(scene, types, path, found)


def _walked(
    scene: Scene, types: tuple[str, ...], path: tuple[Step, ...], test: Compare
) -> Condition:
    """Return the condition of a path that ends in a comparison."""
    step, *rest = path
    if not rest:
        return _compared(scene, types, step, test)
    with _at(step.place):
        deeper = scene.deeper()
        parameters = references(scene, types, step.name)
    targets = _targets(scene, tuple(sorted({t for p in parameters for t in p.target})), step, rest)
    params, type_ids = ids(scene, parameters), scene.registry.context.type_ids
    found: list[Condition] = []
    for target in targets:
        inner = _walked(deeper, (target,), tuple(rest), test)
        if step.filter is not None:
            inner = Both((condition(deeper, (target,), step.filter), inner))
        found.append(Linked(params, type_ids[target], inner))
    return either(found)


def _targets(
    scene: Scene, targets: tuple[str, ...], step: Step, rest: list[Step]
) -> tuple[str, ...]:
    """Return the types that have every parameter that is looked at behind the reference."""
    looked_at = [*(_heads(step.filter) if step.filter else ()), rest[0]]
    for one in looked_at:
        with _at(one.place):
            targets = tuple(sharing(scene, targets, one.name))
    return targets


def _heads(found: Filter) -> Iterator[Step]:
    """Yield the first steps of the paths of a filter."""
    match found:
        case Compare(path):
            yield path[0]
        case Negation(inner):
            yield from _heads(inner)
        case Junction(_, parts):
            for part in parts:
                yield from _heads(part)


def _compared(scene: Scene, types: tuple[str, ...], step: Step, test: Compare) -> Condition:
    with _at(step.place):
        asked = resolved(scene, types, step.name)
    kind = asked.parameter.type
    offered = _OFFERED.get(kind, ())
    if asked.parameter.code in COLUMNS:
        offered = tuple(one for one in offered if one not in _CODES)
    if test.operator not in offered:
        text = f"This parameter ({kind}) takes {', '.join(offered) or 'no operator'}."
        with _at(test.place):
            raise NotSupported(text, expression=NAME)
    with _at(test.value_place):
        return _tested(scene, asked, kind, test)


def _tested(scene: Scene, asked: Asked, kind: str, test: Compare) -> Condition:
    operator, value = test.operator, test.value
    if operator == "pr":
        if value not in ("true", "false"):
            raise BadRequest("The operator pr takes true or false.", code="value")
        return missing(scene, asked, "false" if value == "true" else "true")
    if operator == "ne" and kind not in ("date", "number", "quantity"):
        equal = _tested(scene, asked, kind, replace(test, operator="eq"))
        return Both((missing(scene, asked, "false"), Not(equal)))
    found = either(
        [_on_index(scene, template, kind, operator, value) for template in asked.templates]
    )
    return Not(found) if operator == "ni" else found


def _on_index(scene: Scene, template: Clause, kind: str, operator: str, value: str) -> Condition:
    """Return the condition on one of the indexes in which the parameter lies."""
    if operator == "po":
        return date.overlapping(scene.registry.context, filled(scene, template, (value,)))
    if kind in ("date", "number", "quantity"):
        return alternatives(scene, template, (f"{operator}{value}",))
    if kind == "string" or operator in ("co", "sw", "ew"):
        return _text(template, kind, operator, value)
    if operator in _CODES:
        return alternatives(scene, replace(template, modifier=_CODES[operator]), (value,))
    # The value of a token, a composite or a canonical has a grammar of its own.
    written = value.translate(_ESCAPED) if kind == "uri" else value
    return alternatives(scene, template, (written,))


def _text(template: Clause, kind: str, operator: str, value: str) -> Condition:
    if kind == "string":
        value = string.normalise(value)
        if not value:
            raise BadRequest("The value has no letter or digit to search by.", code="value")
    return Row(string.TABLE, template.parameter.id, _TEXTS[operator](value))


@contextmanager
def _at(place: int) -> Iterator[None]:
    """Let refusals name the character; a filter is never passed over, also not leniently."""
    try:
        yield
    except (BadRequest, NotSupported) as error:
        kind = NotSupported if isinstance(error, NotSupported) else BadRequest
        text = f"{error.text} (character {place})"
        raise kind(text, code=error.issues[0].code, expression=NAME) from None
