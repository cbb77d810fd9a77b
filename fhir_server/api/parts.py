"""Which part of a resource a read wants: `_summary` and `_elements`.

https://hl7.org/fhir/R4/http.html#summary
"""

from dataclasses import dataclass

from fhir_server.api.request import Request
from fhir_server.errors import BadRequest
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.summary import Mode, summarised, with_elements

GENERAL = frozenset(("_format", "_pretty"))
_MODES: dict[str, Mode | None] = {"true": "true", "text": "text", "data": "data", "false": None}


@dataclass(frozen=True, slots=True)
class Part:
    """The whole resource where neither is given."""

    mode: Mode | None = None
    elements: tuple[str, ...] = ()


def part(request: Request) -> Part:
    """Return what the parameters ask for; BadRequest for any other parameter."""
    mode: Mode | None = None
    elements: tuple[str, ...] = ()
    for name, value in request.pairs:
        if name == "_summary":
            if value not in _MODES:
                known = ", ".join(_MODES)
                raise BadRequest(f"_summary is one of {known}", code="value", expression=name)
            mode = _MODES[value]
        elif name == "_elements":
            elements = tuple(value.split(","))
        elif name not in GENERAL:
            raise BadRequest("This interaction has no such parameter", expression=name)
    if mode and elements:
        raise BadRequest("_summary and _elements exclude one another", expression="_elements")
    return Part(mode, elements)


def cut(definitions: Definitions, body: bytes, wanted: Part) -> bytes:
    """Return the part of a resource's text."""
    if wanted.mode:
        return summarised(definitions, body, wanted.mode)
    return with_elements(definitions, body, wanted.elements) if wanted.elements else body
