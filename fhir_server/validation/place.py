"""Where in a resource something is wrong, in FHIRPath.

https://hl7.org/fhir/R4/fhirpath.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.r4.definitions import Element
from fhir_server.r4.walk import segment

Elements = Mapping[str, Mapping[str, Element]]

# What a member of R4 could be called; other names may be patient data.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A place: its FHIRPath, the type that stands there, the element that led to it.

    `type` is empty and `element` None where R4 knows of no such member.
    """

    path: str
    type: str
    element: Element | None


def located(elements: Elements, type_name: str, path: str, steps: Sequence[str | int]) -> Place:
    """Return the place reached from an object of `type_name` at `path` by JSON steps."""
    owner, element = type_name, None
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
            continue
        members = elements.get(owner, {})
        element = members.get(step)
        owner = element.type if element else ""
        if element is None and step.startswith("_") and step[1:] in members:
            element, owner = members[step[1:]], "Element"
        path += f".{segment(element)}" if element else member(step)
    return Place(path, owner, element)


def member(name: str) -> str:
    """Return the step to a member that R4 does not know, empty where its name may tell much."""
    return f".{name}" if _NAME.match(name) else ""
