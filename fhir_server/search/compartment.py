"""Compartments: the resources that belong to a patient, encounter, practitioner or device.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from collections.abc import Sequence
from typing import NamedTuple

from fhir_server.errors import NotFound
from fhir_server.search.condition import Condition, Ids, Terms, either
from fhir_server.search.registry import Registry
from fhir_server.search.terms import term

_ROOT = "{def}"


class Compartment(NamedTuple):
    """The compartment of one resource: its type and id."""

    type: str
    id: str


def members(registry: Registry, compartment: Compartment, type_name: str | None) -> tuple[str, ...]:
    """Return the types to search: `type_name`, or all of the compartment.

    NotFound (not-supported) for a type that the compartment does not have: it has
    no resources there, and the answer is not "everything".
    """
    known = registry.definitions.compartments.get(compartment.type)
    if known is None:
        text = f"There is no {compartment.type} compartment."
        raise NotFound(text, code="not-supported")
    types = {name for name, codes in known.items() if codes} | {compartment.type}
    if type_name is None:
        return tuple(sorted(types))
    if type_name not in types:
        text = f"The {compartment.type} compartment has no {type_name}."
        raise NotFound(text, code="not-supported")
    return (type_name,)


def membership(registry: Registry, compartment: Compartment, types: Sequence[str]) -> Condition:
    """Return the condition of belonging: a listed parameter refers to the root, or is the root."""
    known = registry.definitions.compartments[compartment.type]
    place = f"{compartment.type}/{compartment.id}"
    terms = [
        term(registry.context.secret, indexed.id, "reference", place)
        for type_name in types
        for code in known.get(type_name, ())
        if code != _ROOT
        for indexed in registry.plan(type_name).indexed[code]
    ]
    found: list[Condition] = [Terms(tuple(terms))] if terms else []
    if compartment.type in types:
        # The definitions list only links, or nothing, for the root; it always belongs.
        found.append(Ids((compartment.id,), (registry.context.type_ids[compartment.type],)))
    return either(found)
