"""Search parameters that a site defines.

https://hl7.org/fhir/R4/searchparameter.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.r4.definitions import Definitions
from fhir_server.search.expression import ABSTRACT, Facts
from fhir_server.search.general import alone
from fhir_server.search.parameter import Component, Parameter
from fhir_server.search.path import ExpressionError
from fhir_server.search.registry import Registry

COMPOSITES = frozenset(
    {
        ("reference", "token"),
        ("token", "token"),
        ("token", "string"),
        ("token", "quantity"),
        ("token", "date"),
        ("token", "number", "number"),
    }
)
"""The types of the components of composites, in their order: those that R4 itself has."""

TYPES = frozenset(
    ("composite", "date", "number", "quantity", "reference", "string", "token", "uri")
)

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")


def parameters(registry: Registry, data: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Return the parameters, their ids 0, that a valid SearchParameter asks for.

    One for each resource type; none while its status is not active, nor where it says
    what R4 says. `registry` knows the parameters of others. Unprocessable names the
    element that cannot be honoured.
    """
    if data.get("status") != "active":
        return ()
    kind, code = data["type"], data["code"]
    if kind not in TYPES:
        raise _refused("type", "Parameters of this type are not defined at run time")
    if not data.get("expression"):
        raise _refused("expression", "An active search parameter needs an expression")
    found = Parameter(
        id=0,
        base="",
        code=code,
        type=kind,
        url=data["url"],
        expression=data["expression"],
        target=tuple(sorted(data.get("target", ()))),
        component=_components(registry, data) if kind == "composite" else (),
    )
    types = _types(registry.definitions, data["base"])
    asked = [replace(found, base=base) for base in types]
    return tuple(_checked(registry, one) for one in asked if not _is_official(registry, one))


def _is_official(registry: Registry, asked: Parameter) -> bool:
    own = registry.official.parameters(asked.base).get(asked.code)
    return own is not None and (own.url, own.expression) == (asked.url, asked.expression)


def _checked(registry: Registry, asked: Parameter) -> Parameter:
    """Return the parameter of a type; refused where its code is taken or it means nothing."""
    if not _CODE.fullmatch(asked.code):
        text = "A code is up to 64 letters, digits, '-' and '_', and begins with a letter"
        raise _refused("code", text)
    if asked.code in registry.parameters(asked.base) or asked.code in registry.awaited(asked.base):
        raise _refused("code", f"{asked.base} has a search parameter of this code", "duplicate")
    try:
        _, facts = alone(registry.definitions, asked)
    except ExpressionError as error:
        text = f"Outside of what can be indexed, on {asked.base}: {error}"
        raise _refused("expression", text) from error
    if asked.type == "reference" and not asked.target:
        return replace(asked, target=_targets(registry.definitions, facts))
    return asked


def _types(definitions: Definitions, bases: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for base in bases:
        if base not in definitions.type_ids and base not in ABSTRACT:
            raise _refused("base", "This is no resource type")
        for name in definitions.resource_types:
            narrated = base == "DomainResource" and "text" in definitions.elements[name]
            if base in ("Resource", name) or narrated:
                found.add(name)
    return sorted(found)


def _targets(definitions: Definitions, facts: Facts) -> tuple[str, ...]:
    """Return the types to which the indexed elements may lead."""
    if "Resource" in facts.targets:
        return definitions.resource_types
    return tuple(sorted(facts.targets & definitions.type_ids.keys()))


def _components(registry: Registry, data: Mapping[str, Any]) -> tuple[Component, ...]:
    found = tuple(_component(registry, n, one) for n, one in enumerate(data.get("component", ())))
    if tuple(one.type for one in found) not in COMPOSITES:
        raise _refused("component", "Composites of components of these types are not offered")
    return found


def _component(registry: Registry, number: int, given: Mapping[str, Any]) -> Component:
    url = given["definition"].partition("|")[0]
    known: Iterator[Parameter] = (p for row in registry.by_type.values() for p in row.values())
    for parameter in known:
        if parameter.url == url:
            path = given["expression"]
            return Component(parameter.code, parameter.type, path, parameter.target)
    text = "There is no search parameter of this URL"
    raise _refused(f"component[{number}].definition", text)


def _refused(element: str, text: str, code: str = "business-rule") -> Unprocessable:
    return Unprocessable(text, code=code, expression=f"SearchParameter.{element}")
