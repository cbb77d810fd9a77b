"""The search parameters of each resource type.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from fhir_server.errors import NotSupported
from fhir_server.r4.definitions import Definitions, SearchParameter
from fhir_server.search.context import Context
from fhir_server.search.expression import ABSTRACT, Compiler, Facts, Written, paths
from fhir_server.search.general import alone
from fhir_server.search.parameter import Component, Parameter, parameter_id
from fhir_server.search.path import Resolves, Root, parse
from fhir_server.search.reference import parent
from fhir_server.search.rows import Rows
from fhir_server.search.terms import term
from terminology.ucum import unit as ucum

_ABSTRACT_ROOTS = tuple(Root(name) for name in ABSTRACT)

# The R4 package gives the reference the path `code`, and the code the path `target`.
_SWAPPED = frozenset({"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"})

# A date is at most a year; a Period or a Timing may last for ever.
_BRIEF = frozenset({"date", "dateTime", "instant"})

COLUMNS = frozenset({"_id", "_lastUpdated"})
"""Parameters answered from columns of the store; they have no index rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compiled for a resource type, on first use.

    `write` adds a resource's rows. `indexed` gives the parameters under whose
    ids the rows of a parameter lie: itself, or the parameters whose union it is;
    `single` are the ids of those of which a resource has at most one value, `brief`
    of those whose dates last a year at most.
    """

    write: Written
    facts: Mapping[str, Facts]
    indexed: Mapping[str, tuple[Parameter, ...]]
    single: frozenset[int]
    brief: frozenset[int]


@dataclass(frozen=True, slots=True)
class Custom:
    """A parameter defined at run time, in one of its versions.

    Its rows are written with each resource. It is searched when all resources have
    them (`searchable`); until then it is `awaited`; one that is neither is on its way out.
    """

    parameter: Parameter
    searchable: bool
    awaited: bool


Name: TypeAlias = tuple[tuple[str, ...], str]
"""Types searched, and the name of a parameter with its modifier."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Parameters by type and code; plans are compiled when a type is first used.

    `shared` are the codes of the parameters that are defined on Resource; `names`
    keeps the names of query strings that `ask.py` has resolved. `custom` are those
    defined at run time, of which `by_type` has the searchable ones; `version` counts
    their changes.
    """

    definitions: Definitions
    context: Context
    by_type: Mapping[str, Mapping[str, Parameter]]
    shared: frozenset[str]
    names: dict[Name, object] = field(default_factory=dict, repr=False, compare=False)
    version: int = 0
    custom: Mapping[str, tuple[Custom, ...]] = field(default_factory=dict)
    _official: "Registry | None" = field(default=None, repr=False, compare=False)
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def build(cls, definitions: Definitions, context: Context | None = None) -> "Registry":
        """Return the registry of the R4 definitions.

        `context` holds the server's key, zone and base URLs; type ids and
        code systems are taken from the definitions. ValueError when two ids collide.
        """
        table, plans = _official(definitions)
        return cls(
            definitions,
            replace(
                context or Context(),
                type_ids=definitions.type_ids,
                case_sensitive=definitions.case_sensitive | {ucum.SYSTEM},
            ),
            table,
            frozenset(d.code for d in definitions.search_parameters if "Resource" in d.base),
            _plans=plans,
        )

    @property
    def official(self) -> "Registry":
        """Return the registry of the R4 definitions alone."""
        return self._official or self

    def having(self, customs: Sequence[Custom], version: int) -> "Registry":
        """Return the official parameters with these of a site, as their `version`-th state."""
        official = self.official
        custom: dict[str, list[Custom]] = {}
        for one in customs:
            custom.setdefault(one.parameter.base, []).append(one)
        table = dict(official.by_type)
        for name, found in custom.items():
            row = {**table[name], **{c.parameter.code: c.parameter for c in found if c.searchable}}
            table[name] = MappingProxyType(dict(sorted(row.items())))
        return replace(
            official,
            by_type=table,
            names={},
            version=version,
            custom={name: tuple(found) for name, found in custom.items()},
            _official=official,
            _plans={},
        )

    def parameters(self, type_name: str) -> Mapping[str, Parameter]:
        """Return the parameters of a type that can be searched, by code in alphabetical order."""
        return self.by_type[type_name]

    def awaited(self, type_name: str) -> frozenset[str]:
        """Return the codes of the parameters of a type that are not yet searchable."""
        found = self.custom.get(type_name, ())
        codes = frozenset(one.parameter.code for one in found if one.awaited)
        return codes.difference(self.by_type[type_name])

    def refuse_awaited(self, types: Sequence[str], code: str, name: str) -> None:
        """Refuse a parameter that some of the types are to have; `name` as the client wrote it."""
        if self.custom and any(code in self.awaited(one) for one in types):
            text = "The parameter is not yet searchable: not all resources are indexed for it."
            raise NotSupported(text, expression=name)

    def parent(self, type_name: str) -> Parameter | None:
        """Return the parameter by which resources of a type lie in others of it, or None."""
        return parent(self.official.by_type[type_name])

    def common(self, types: Sequence[str]) -> list[str]:
        """Return the codes of the parameters that all these types have."""
        first, *others = (self.by_type[name] for name in types)
        return [code for code in first if all(code in other for other in others)]

    def plan(self, type_name: str) -> Plan:
        """Return what is compiled for a type."""
        if self._official is not None and type_name not in self.custom:
            return self._official.plan(type_name)
        found = self._plans.get(type_name)
        if found is None:
            found = self._plans[type_name] = self._compile(type_name)
        return found

    def uri_terms(self, type_name: str, codes: Iterable[str], value: str) -> list[int]:
        """Return the terms of a URI under parameters; none of those that the type has not."""
        indexed = self.plan(type_name).indexed
        found = (one for code in codes for one in indexed.get(code, ()))
        return [term(self.context.secret, one.id, "uri", value) for one in found]

    def _compile(self, type_name: str) -> Plan:
        if self._official is not None:
            return _extended(
                self._official.plan(type_name), self.definitions, self.custom[type_name]
            )
        parameters = self.by_type[type_name]
        compiler = Compiler(self.definitions, type_name)
        indexed = {p.code: indexed_as(p, parameters) for p in parameters.values()}
        for parameter in parameters.values():
            own = indexed[parameter.code] == (parameter,) and parameter.code not in COLUMNS
            compiler.add(parameter, index=own)
        return _plan(compiler.functions(), compiler.facts, indexed)


@lru_cache(maxsize=4)
def _official(
    definitions: Definitions,
) -> tuple[Mapping[str, Mapping[str, Parameter]], dict[str, Plan]]:
    """Return R4's parameters by type and code, and where the plans compiled of them are kept.

    Neither depends on a server's context, so that the servers of a process share them.
    """
    by_url = {p.url: p for p in definitions.search_parameters}
    table: dict[str, dict[str, Parameter]] = {t: {} for t in definitions.resource_types}
    for definition in definitions.search_parameters:
        if not definition.expression:
            continue
        for base in definition.base:
            for type_name in definitions.resource_types if base in ABSTRACT else (base,):
                if not _applies(definitions, base, type_name):
                    continue
                table[type_name][definition.code] = _parameter(definition, type_name, by_url)
    _check(table)
    ordered = {name: MappingProxyType(dict(sorted(row.items()))) for name, row in table.items()}
    return ordered, {}


def _extended(official: Plan, definitions: Definitions, customs: Sequence[Custom]) -> Plan:
    """Return the plan that writes the rows of these too; each has rows of its own."""
    writes = [official.write.rest]
    facts, indexed = dict(official.facts), dict(official.indexed)
    for one in customs:
        write, found = alone(definitions, one.parameter)
        writes.append(write)
        if one.searchable:
            facts[one.parameter.code] = found
            indexed[one.parameter.code] = (one.parameter,)

    def write_rest(resource: dict[str, Any], rows: Rows) -> None:
        for write in writes:
            write(resource, rows)

    return _plan(Written(official.write.members, write_rest), facts, indexed)


def _plan(
    write: Written, facts: Mapping[str, Facts], indexed: Mapping[str, tuple[Parameter, ...]]
) -> Plan:
    found = {one for parts in indexed.values() for one in parts if one.code in facts}
    single = frozenset(one.id for one in found if facts[one.code].single)
    brief = frozenset(one.id for one in found if facts[one.code].types <= _BRIEF)
    return Plan(write, facts, indexed, single, brief)


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
    definition: SearchParameter, type_name: str, by_url: Mapping[str, SearchParameter]
) -> Parameter:
    return Parameter(
        id=parameter_id(type_name, definition.code),
        base=type_name,
        code=definition.code,
        type=definition.type,
        url=definition.url,
        expression=definition.expression or "",
        target=_targets(definition, type_name),
        component=_components(definition, by_url),
    )


def _components(
    definition: SearchParameter, by_url: Mapping[str, SearchParameter]
) -> tuple[Component, ...]:
    parts = [by_url[url] for url, _ in definition.component]
    found = [path for _, path in definition.component]
    if definition.url in _SWAPPED:
        found.reverse()
    return tuple(
        Component(part.code, part.type, path, part.target)
        for part, path in zip(parts, found, strict=True)
    )


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
