"""What may be searched by, for who describes the server.

https://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.rest.resource.searchParam
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import SangamError
from fhir_server.r4.definitions import SearchParameter, search_descriptions
from fhir_server.search.ask import modifiers
from fhir_server.search.expression import ABSTRACT
from fhir_server.search.parse import parse
from fhir_server.search.query import Rules
from fhir_server.search.registry import Registry

# Searches that no expression describes are offered where the parser takes them.
_BY_HAND: Mapping[str, str] = {
    "_content": "a",
    "_filter": "_id eq a",
    "_list": "a",
    "_query": "a",
    "_text": "a",
    "near": "1|1|1|km",
}
_RULES = Rules(SearchSettings(), Limits())
_LIST = "Resources that the List with this id names"


@dataclass(frozen=True, slots=True)
class Offer:
    """A search parameter of a type.

    `url` is that of its SearchParameter, empty without one. `meaning` is the
    definition's text, perhaps empty. `target` are the types that a reference may
    lead to; each is a modifier too, beside `modifiers`.
    """

    code: str
    type: str
    url: str
    meaning: str
    modifiers: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    component: tuple[str, ...] = ()


def offers(registry: Registry, type_name: str) -> tuple[Offer, ...]:
    """Return the parameters that a search of this type takes, by code."""
    found = [*_indexed(registry, type_name), *_by_hand(registry, type_name)]
    return tuple(sorted(found, key=lambda one: one.code))


def shared_offers(registry: Registry, types: Sequence[str]) -> tuple[Offer, ...]:
    """Return the parameters that a search of all these types takes."""
    common = frozenset.intersection(*(frozenset(registry.parameters(name)) for name in types))
    codes = common.union(_BY_HAND)
    return tuple(one for one in offers(registry, types[0]) if one.code in codes)


def includes(registry: Registry, type_name: str) -> tuple[str, ...]:
    """Return the values that `_include` takes in a search of this type."""
    found = registry.parameters(type_name).values()
    own = sorted(f"{type_name}:{p.code}" for p in found if p.type == "reference")
    return ("*", f"{type_name}:*", *own) if own else ()


def reverse_includes(registry: Registry) -> Mapping[str, tuple[str, ...]]:
    """Return the values of `_revinclude` that may bring something, by the type searched."""
    found: dict[str, list[str]] = {name: ["*"] for name in registry.definitions.resource_types}
    for source in found:
        for parameter in registry.parameters(source).values():
            if parameter.type == "reference":
                for target in parameter.target:
                    found[target].append(f"{source}:{parameter.code}")
    return {name: tuple(values) for name, values in found.items()}


def _indexed(registry: Registry, type_name: str) -> Iterator[Offer]:
    for parameter in registry.parameters(type_name).values():
        yield Offer(
            parameter.code,
            parameter.type,
            parameter.url,
            _meaning(parameter.url, type_name),
            tuple(modifiers(registry, [parameter])),
            parameter.target,
            tuple(part.type for part in parameter.component),
        )


def _by_hand(registry: Registry, type_name: str) -> Iterator[Offer]:
    known = registry.parameters(type_name)
    defined = {one.code: one for one in registry.definitions.search_parameters}
    for code, sample in _BY_HAND.items():
        one = defined.get(code)
        if code in known or (one and not _has(one, type_name)):
            continue
        if not _taken(registry, type_name, code, sample):
            continue
        meaning = _meaning(one.url, type_name) if one else _LIST
        yield Offer(code, one.type if one else "special", one.url if one else "", meaning)


def _has(definition: SearchParameter, type_name: str) -> bool:
    return any(base == type_name or base in ABSTRACT for base in definition.base)


def _taken(registry: Registry, type_name: str, code: str, sample: str) -> bool:
    try:
        parse(registry, type_name, [(code, sample)], _RULES)
    except SangamError:
        return False
    return True


def _meaning(url: str, type_name: str) -> str:
    found = search_descriptions().get(url, {})
    return found.get(type_name) or found.get("", "")
