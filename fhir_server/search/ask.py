"""One search parameter of a query string as a condition.

https://hl7.org/fhir/R4/search.html#parameters
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.errors import BadRequest, NotSupported, SangamError
from fhir_server.search import composite, fulltext, terminology
from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import NEVER, Both, Condition, Linked, Not, Referred, either
from fhir_server.search.expression import Facts
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Rules
from fhir_server.search.registry import COLUMNS, Registry
from fhir_server.search.searchtype import SEARCH_TYPES
from fhir_server.search.token import MIME_CODE

_NOT_OFFERED = frozenset({"_contained", "_containedType", "_query", "_filter", "_list"})


_KEPT = 20_000


class Ignorable(BadRequest):
    """Unknown or empty: refused, or under lenient handling passed over with a warning."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A name resolved: the parameter, its modifier, and a clause for each index it lies in."""

    parameter: Parameter
    modifier: str
    templates: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """In which search a parameter stands: `name` is as the client wrote it."""

    registry: Registry
    rules: Rules
    name: str
    depth: int = 0

    def deeper(self) -> "Scene":
        """Return the scene behind one more reference."""
        most = self.rules.limits.chain_depth
        if self.depth >= most:
            text = f"At most {most} references are followed."
            raise BadRequest(text, code="too-costly", expression=self.name)
        return Scene(self.registry, self.rules, self.name, self.depth + 1)

    def unknown(self, types: Sequence[str]) -> SangamError:
        """Return the refusal of a parameter that these types do not have."""
        if len(types) == 1:
            known = ", ".join(self.registry.parameters(types[0]))
            text = f"{types[0]} has no such search parameter. It has {known}."
        else:
            known = ", ".join(self.registry.common(types))
            text = f"The types share no such search parameter. They share {known}."
        return Ignorable(text, expression=self.name)


def condition(scene: Scene, types: tuple[str, ...], name: str, value: str) -> Condition:
    """Return the condition of `name=value` on resources of `types`.

    SangamError names the parameter at fault and quotes no value.
    """
    if name.startswith("_has:"):
        return _referred(scene.deeper(), types, name, value)
    if "." in name:
        return _linked(scene.deeper(), types, name, value)
    if name.partition(":")[0] in fulltext.PARAMETERS:
        return _worded(scene, types, name, value)
    asked = resolved(scene, types, name)
    if asked.modifier == "missing":
        return missing(scene, asked, value)
    values = tuple(split(value, ","))
    if len(values) > scene.rules.limits.or_values:
        text = "The parameter has too many values."
        raise BadRequest(text, code="too-costly", expression=scene.name)
    if not all(values):
        text = "A value between commas is empty."
        raise BadRequest(text, code="value", expression=scene.name)
    found = either([alternatives(scene, template, values) for template in asked.templates])
    return Not(found) if asked.modifier in _NEGATED else found


def _worded(scene: Scene, types: tuple[str, ...], name: str, value: str) -> Condition:
    """Return the condition of words in the narrative or the whole of resources of `types`."""
    code, colon, _ = name.partition(":")
    if colon:
        raise NotSupported("The parameter takes no modifier.", expression=scene.name)
    if code == "_text" and not any("text" in scene.registry.definitions.elements[t] for t in types):
        raise scene.unknown(types)
    context, limits = scene.registry.context, scene.rules.limits
    nodes, depth = limits.filter_nodes, limits.filter_depth
    return fulltext.condition(context, code, scene.name, value, nodes=nodes, depth=depth)


def alternatives(scene: Scene, template: Clause, values: tuple[str, ...]) -> Condition:
    """Return the condition that the parameter of `template` has one of the values, escaped."""
    clause = filled(scene, template, values)
    context = scene.registry.context
    if template.parameter.type == "composite":
        return composite.condition(context, clause)
    return SEARCH_TYPES[template.parameter.type].condition(context, clause)


def filled(scene: Scene, template: Clause, values: tuple[str, ...]) -> Clause:
    """Return the clause with its values, for a search at this moment."""
    return Clause(
        scene.name,
        template.parameter,
        template.modifier,
        values,
        template.types,
        template.parts,
        template.systems,
        time.time_ns() // 1000,
        template.parents,
    )


def missing(scene: Scene, asked: Asked, value: str) -> Condition:
    """Return the condition that the parameter has no value (`true`) or some (`false`)."""
    if value not in ("true", "false"):
        text = "The modifier missing takes true or false."
        raise BadRequest(text, code="value", expression=scene.name)
    if asked.parameter.code in COLUMNS:
        return Both(()) if value == "false" else NEVER
    module, context = SEARCH_TYPES[asked.parameter.type], scene.registry.context
    found = either([module.present(context, one.parameter) for one in asked.templates])
    return Not(found) if value == "true" else found


def resolved(scene: Scene, types: tuple[str, ...], name: str) -> Asked:
    """Return the parameter of a name; kept, as valid names of one type are few."""
    names = scene.registry.names
    found = names.get((types, name))
    if found is None:
        found = _resolve(scene, types, name)
        if len(names) < _KEPT:
            names[types, name] = found
    assert isinstance(found, Asked)
    return found


def _resolve(scene: Scene, types: tuple[str, ...], name: str) -> Asked:
    registry = scene.registry
    code, colon, modifier = name.partition(":")
    if colon and not modifier:
        raise NotSupported("The modifier is empty.", expression=scene.name)
    parameters = _parameters(scene, types, code)
    first, *others = parameters
    if any(other.type != first.type for other in others):
        raise scene.unknown(types)
    offered = modifiers(registry, parameters)
    if modifier and modifier not in offered and not _is_target(parameters, modifier):
        text = f"Modifiers of this parameter: {', '.join(offered) or 'none'}."
        raise NotSupported(text, expression=scene.name)
    inner = "" if modifier == "missing" else _NEGATED.get(modifier, modifier)
    return Asked(first, modifier, tuple(_templates(registry, parameters, code, inner)))


_NEGATED = {"not": "", "not-in": "in"}
"""Modifiers that are the contrary of another, or of none."""


def _templates(
    registry: Registry, parameters: Sequence[Parameter], code: str, modifier: str
) -> Iterator[Clause]:
    """Yield a clause for each index; the facts of shared parameters are alike in all types."""
    if code == "_lastUpdated":
        parameters = parameters[:1]
    if code in registry.shared:
        facts = registry.plan(parameters[0].base).facts[code]
        for parameter in parameters:
            yield _template(registry, parameter, facts, modifier)
        return
    for parameter in parameters:
        plan = registry.plan(parameter.base)
        for one in plan.indexed[code]:
            yield _template(registry, one, plan.facts[one.code], modifier)


def _parameters(scene: Scene, types: Sequence[str], code: str) -> list[Parameter]:
    """Return the parameter of this code in each type; refused where one has none."""
    _refuse_unoffered(scene, code)
    found = [scene.registry.parameters(type_name).get(code) for type_name in types]
    parameters = [parameter for parameter in found if parameter is not None]
    if len(parameters) < len(types):
        scene.registry.refuse_awaited(types, code, scene.name)
        raise scene.unknown(types)
    return parameters


def _template(registry: Registry, parameter: Parameter, facts: Facts, modifier: str) -> Clause:
    systems: dict[str, frozenset[str]] = {}
    for binding in sorted(facts.bindings):
        for system, codes in registry.definitions.code_systems.get(binding, {}).items():
            systems[system] = systems.get(system, frozenset()) | codes
    types, parts = frozenset(facts.types), tuple(frozenset(part) for part in facts.parts)
    parents = _parents(registry, parameter) if modifier in ("above", "below") else {}
    return Clause("", parameter, modifier, (), types, parts, systems, parents=parents)


def _parents(registry: Registry, parameter: Parameter) -> Mapping[str, int]:
    """Return the types that a reference leads to whose resources lie in one another."""
    if parameter.type != "reference":
        return {}
    found = {name: registry.parent(name) for name in parameter.target}
    return {name: one.id for name, one in found.items() if one is not None}


def modifiers(registry: Registry, parameters: Sequence[Parameter]) -> list[str]:
    """Return the modifiers that parameters of this kind and these element types take.

    A reference also takes each type that it may refer to.
    """
    kind = parameters[0].type
    if kind == "composite":
        return []
    if parameters[0].code in registry.shared:
        parameters = parameters[:1]
    types = {t for p in parameters for t in registry.plan(p.base).facts[p.code].types}
    found = {"missing", *(["not"] if kind == "token" else [])}
    for modifier in SEARCH_TYPES[kind].MODIFIERS:
        needed = _NEEDS.get((kind, modifier))
        if needed is None or not needed.isdisjoint(types):
            found.add(modifier)
    if kind == "reference" and all(_parents(registry, p) for p in parameters):
        found |= {"above", "below"}
    elif kind == "reference" and "Reference" in types:
        found.discard("below")  # an extension may be a canonical too, and is read as a reference
    return sorted(found)


_TEXTED = frozenset({"CodeableConcept", "Coding", "Identifier"})
_NOWHERE: frozenset[str] = frozenset()
_CODED = terminology.TYPES
_NEEDS: Mapping[tuple[str, str], frozenset[str]] = {
    **{("token", modifier): _CODED for modifier in terminology.MODIFIERS},
    ("token", "of-type"): frozenset({"Identifier"}),
    ("token", "text"): _TEXTED,
    ("token", "below"): _CODED | {MIME_CODE},
    ("reference", "identifier"): frozenset({"Reference"}),
    ("reference", "above"): _NOWHERE,
    ("reference", "below"): frozenset({"canonical"}),
}
"""The element types of which a parameter must have one for a modifier to mean something."""


def _is_target(parameters: Sequence[Parameter], modifier: str) -> bool:
    return all(p.type == "reference" and modifier in p.target for p in parameters)


def _linked(scene: Scene, types: tuple[str, ...], name: str, value: str) -> Condition:
    """Return the condition of a chain, `reference[:Type].rest`."""
    head, _, rest = name.partition(".")
    code, _, named = head.partition(":")
    parameters = references(scene, types, code)
    targets = tuple(sorted({t for p in parameters for t in p.target}))
    if named and named not in targets:
        text = f"The reference leads to {', '.join(targets)}."
        raise NotSupported(text, expression=scene.name)
    candidates = _defining(scene, (named,) if named else targets, rest)
    params = ids(scene, parameters)
    type_ids = scene.registry.context.type_ids
    return either(
        [Linked(params, type_ids[t], condition(scene, (t,), rest, value)) for t in candidates]
    )


def _referred(scene: Scene, types: tuple[str, ...], name: str, value: str) -> Condition:
    """Return the condition of `_has:Type:reference:rest`."""
    _, source, code, rest = (*name.split(":", 3), "", "", "")[:4]
    type_ids = scene.registry.context.type_ids
    if source not in type_ids or not rest:
        text = "Write _has:Type:reference:parameter."
        raise BadRequest(text, code="value", expression=scene.name)
    parameters = references(scene, (source,), code)
    if not set(types) & {t for p in parameters for t in p.target}:
        raise BadRequest("The reference does not lead here.", expression=scene.name)
    inner = condition(scene, (source,), rest, value)
    return Referred(ids(scene, parameters), type_ids[source], inner)


def references(scene: Scene, types: Sequence[str], code: str) -> list[Parameter]:
    """Return the reference parameters through which a chain goes, one for each type."""
    parameters = _parameters(scene, types, code)
    if any(parameter.type != "reference" for parameter in parameters):
        text = "A chain goes through a reference parameter."
        raise BadRequest(text, expression=scene.name)
    return parameters


def ids(scene: Scene, parameters: Sequence[Parameter]) -> tuple[int, ...]:
    """Return the ids under which the references of these parameters are indexed."""
    registry = scene.registry
    return tuple(one.id for p in parameters for one in registry.plan(p.base).indexed[p.code])


def _defining(scene: Scene, targets: tuple[str, ...], rest: str) -> list[str]:
    """Return the target types that have the next parameter of a chain."""
    if rest.startswith("_has:") or rest in fulltext.PARAMETERS:
        return list(targets)
    return sharing(scene, targets, rest.partition(".")[0].partition(":")[0])


def _refuse_unoffered(scene: Scene, code: str) -> None:
    if code in _NOT_OFFERED:
        text = "This kind of search is not offered, or not behind a reference."
        raise NotSupported(text, expression=scene.name)


def sharing(scene: Scene, targets: tuple[str, ...], code: str) -> list[str]:
    """Return the target types that have this parameter; all must have it of one kind."""
    _refuse_unoffered(scene, code)
    scene.registry.refuse_awaited(targets, code, scene.name)
    kinds = {
        t: scene.registry.parameters(t)[code].type
        for t in targets
        if code in scene.registry.parameters(t)
    }
    if not kinds:
        raise scene.unknown(targets)
    if len(set(kinds.values())) > 1:
        text = f"The parameter differs among {', '.join(kinds)}; name the type."
        raise BadRequest(text, expression=scene.name)
    return list(kinds)
