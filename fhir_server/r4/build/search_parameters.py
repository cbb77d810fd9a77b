"""Search parameters and compartments, without the traps of the official package.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from collections.abc import Iterable

from fhir_server.r4.build.elements import Row
from fhir_server.r4.build.package import Json

# These shadow `_id` and `Condition.subject`.
_EXAMPLES = frozenset(("example", "example-reference", "example-extension"))
# Searched by hand, so that they need no expression.
_BY_HAND = frozenset(("_text", "_content", "_filter", "_query"))


def search_parameters(definitions: Iterable[Json]) -> list[Row]:
    """Return the rows of `SearchParameter`, by URL."""
    return sorted(
        [
            definition["url"],
            definition["code"],
            definition["type"],
            definition["base"],
            definition.get("expression"),
            definition.get("target", []),
            [[part["definition"], part["expression"]] for part in definition.get("component", ())],
        ]
        for definition in definitions
        if definition["id"] not in _EXAMPLES
        and definition.get("base")
        and ("expression" in definition or definition["code"] in _BY_HAND)
    )


def compartments(definitions: Iterable[Json]) -> dict[str, dict[str, list[str]]]:
    """Return the parameters that make a type's resource a member, by compartment and type."""
    return {
        definition["code"]: {
            member["code"]: member["param"]
            for member in definition["resource"]
            if member.get("param")
        }
        for definition in sorted(definitions, key=lambda one: str(one["code"]))
        if definition["id"] not in _EXAMPLES
    }
