"""The search parameters of each resource type.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from fhir_server.r4.definitions import Definitions, SearchParameter
from fhir_server.search import ucum
from fhir_server.search.context import Context
from fhir_server.search.expression import ABSTRACT, Compiler, Facts, Write, paths
from fhir_server.search.parameter import Component, Parameter, parameter_id
from fhir_server.search.path import Resolves, Root, parse

_ABSTRACT_ROOTS = tuple(Root(name) for name in ABSTRACT)

# The R4 package gives the reference the path `code`, and the code the path `target`.
_SWAPPED = frozenset({"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"})

COLUMNS = frozenset({"_id", "_lastUpdated"})
"""Parameters answered from columns of the store; they have no index rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compiled for a resource type, on first use.

    `write` adds a resource's rows. `indexed` gives the parameters under whose
    ids the rows of a parameter lie: itself, or the parameters whose union it is.
    """

    write: Write
    facts: Mapping[str, Facts]
    indexed: Mapping[str, tuple[Parameter, ...]]


Name: TypeAlias = tuple[tuple[str, ...], str]
"""Types searched, and the name of a parameter with its modifier."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Parameters by type and code; plans are compiled when a type is first used.

    `shared` are the codes of the parameters that are defined on Resource; `names`
    keeps the names of query strings that `ask.py` has resolved.
    """

    definitions: Definitions
    context: Context
    by_type: Mapping[str, Mapping[str, Parameter]]
    shared: frozenset[str]
    names: dict[Name, object] = field(default_factory=dict, repr=False, compare=False)
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def build(cls, definitions: Definitions, context: Context | None = None) -> "Registry":
        """Return the registry of the R4 definitions.

        `context` holds the server's key, zone and base URLs; type ids and
        code systems are taken from the definitions. ValueError when two ids collide.
        """
        codes = {p.url: (p.code, p.type) for p in definitions.search_parameters}
        table: dict[str, dict[str, Parameter]] = {t: {} for t in definitions.resource_types}
        for definition in definitions.search_parameters:
            if not definition.expression or definition.type == "special":
                continue
            for base in definition.base:
                for type_name in definitions.resource_types if base in ABSTRACT else (base,):
                    if not _applies(definitions, base, type_name):
                        continue
                    table[type_name][definition.code] = _parameter(definition, type_name, codes)
        _check(table)
        return cls(
            definitions,
            replace(
                context or Context(),
                type_ids=definitions.type_ids,
                case_sensitive=definitions.case_sensitive | {ucum.SYSTEM},
            ),
            {name: MappingProxyType(dict(sorted(row.items()))) for name, row in table.items()},
            frozenset(d.code for d in definitions.search_parameters if "Resource" in d.base),
        )

    def parameters(self, type_name: str) -> Mapping[str, Parameter]:
        """Return the parameters of a type by code, in alphabetical order."""
        return self.by_type[type_name]

    def common(self, types: Sequence[str]) -> list[str]:
        """Return the codes of the parameters that all these types have."""
        first, *others = (self.by_type[name] for name in types)
        return [code for code in first if all(code in other for other in others)]

    def plan(self, type_name: str) -> Plan:
        """Return what is compiled for a type."""
        found = self._plans.get(type_name)
        if found is None:
            found = self._plans[type_name] = self._compile(type_name)
        return found

    def _compile(self, type_name: str) -> Plan:
        parameters = self.by_type[type_name]
        compiler = Compiler(self.definitions.elements, type_name)
        indexed = {p.code: indexed_as(p, parameters) for p in parameters.values()}
        for parameter in parameters.values():
            own = indexed[parameter.code] == (parameter,) and parameter.code not in COLUMNS
            compiler.add(parameter, index=own)
        return Plan(compiler.function(), compiler.facts, indexed)


def indexed_as(parameter: Parameter, parameters: Mapping[str, Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters whose rows answer for this one.

    Where its paths are the union of other parameters' paths (combo-code is code
    and component-code), theirs; where another has the same paths, the first.
    """
    own = _keys(parameter)
    alike = [p for p in parameters.values() if p.type == parameter.type and _keys(p) <= own]
    same = [p for p in alike if _keys(p) == own]
    if same[0] is not parameter:
        return indexed_as(same[0], parameters)
    smaller = [p for p in alike if _keys(p) < own]
    parts = [p for p in smaller if not any(_keys(p) < _keys(q) for q in smaller)]
    covered = frozenset().union(*(_keys(p) for p in parts))
    if covered != own:
        return (parameter,)
    found = [q for p in parts for q in indexed_as(p, parameters)]
    return tuple(dict.fromkeys(found))


def _keys(parameter: Parameter) -> frozenset[object]:
    parts = tuple((c.type, c.expression) for c in parameter.component)
    return frozenset((path, parts) for path in paths(parameter))


def _applies(definitions: Definitions, base: str, type_name: str) -> bool:
    """Return whether parameters of `base` are parameters of `type_name` too."""
    return base != "DomainResource" or "text" in definitions.elements[type_name]


def _parameter(
    definition: SearchParameter, type_name: str, codes: Mapping[str, tuple[str, str]]
) -> Parameter:
    return Parameter(
        id=parameter_id(type_name, definition.code),
        base=type_name,
        code=definition.code,
        type=definition.type,
        url=definition.url,
        expression=definition.expression or "",
        target=_targets(definition, type_name),
        component=_components(definition, codes),
    )


def _components(
    definition: SearchParameter, codes: Mapping[str, tuple[str, str]]
) -> tuple[Component, ...]:
    urls = [url for url, _ in definition.component]
    found = [path for _, path in definition.component]
    if definition.url in _SWAPPED:
        found.reverse()
    return tuple(Component(*codes[url], path) for url, path in zip(urls, found, strict=True))


def _targets(definition: SearchParameter, type_name: str) -> tuple[str, ...]:
    """Return the types referred to: those that each path resolves to, else as declared."""
    expression = definition.expression or ""
    if "resolve()" not in expression:
        return definition.target
    found = [path for path in parse(expression) if path[0] in (Root(type_name), *_ABSTRACT_ROOTS)]
    resolved = [{step.type for step in path if isinstance(step, Resolves)} for path in found]
    if not all(resolved):
        return definition.target
    return tuple(sorted(set().union(*resolved)))


def _check(table: Mapping[str, Mapping[str, Parameter]]) -> None:
    seen: dict[int, Parameter] = {}
    for row in table.values():
        for parameter in row.values():
            other = seen.setdefault(parameter.id, parameter)
            if other != parameter:
                raise ValueError(f"{parameter.base}.{parameter.code}: the id is taken")
