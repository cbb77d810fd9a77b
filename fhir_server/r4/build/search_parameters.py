"""Search parameters and compartments, without the traps of the official package.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

import re
from collections.abc import Iterable

from fhir_server.r4.build.elements import Row
from fhir_server.r4.build.package import Json

# These shadow `_id` and `Condition.subject`.
_EXAMPLES = frozenset(("example", "example-reference", "example-extension"))
# Searched by hand, so that they need no expression.
_BY_HAND = frozenset(("_text", "_content", "_filter", "_query"))
# A parameter of several types has a list of what it means in each:
# `* [Patient](patient.html): The value`.
_OF_TYPE = re.compile(r"^\* \[(\w+)\]\([^)]*\): (.*)$", re.MULTILINE)


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


def descriptions(definitions: Iterable[Json]) -> dict[str, dict[str, str]]:
    """Return what each parameter means, by URL and type; one text for all types under ``""``."""
    return {
        definition["url"]: _by_type(definition["description"].replace("\r\n", "\n"))
        for definition in sorted(definitions, key=lambda one: str(one["url"]))
        if definition["id"] not in _EXAMPLES
    }


def _by_type(text: str) -> dict[str, str]:
    found = {name: " ".join(meaning.split()) for name, meaning in _OF_TYPE.findall(text)}
    return found or {"": " ".join(text.split())}


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
