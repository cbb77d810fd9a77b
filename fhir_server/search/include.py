"""Included resources.

https://hl7.org/fhir/R4/search.html#include
"""

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.query import Include
from fhir_server.search.registry import Registry

_FORM = "Write Source:parameter, Source:parameter:Target, Source:* or *."


def include(registry: Registry, name: str, value: str) -> Include:
    """Return what `_include` or `_revinclude` asks for; refused when it names no reference."""
    code, _, modifier = name.partition(":")
    if modifier not in ("", "iterate", "recurse"):
        raise NotSupported("The modifier is iterate.", expression=name)
    reverse, iterate = code == "_revinclude", bool(modifier)
    if value == "*":
        return Include(None, None, reverse, iterate)
    source, *rest = value.split(":")
    type_ids = registry.context.type_ids
    if source not in type_ids or len(rest) not in (1, 2):
        raise BadRequest(_FORM, code="value", expression=name)
    target = rest[1] if len(rest) > 1 else ""
    if target and target not in type_ids:
        raise BadRequest(_FORM, code="value", expression=name)
    return Include(
        params=_params(registry, name, source, rest[0]),
        target=type_ids.get(target),
        reverse=reverse,
        iterate=iterate,
    )


def _params(registry: Registry, name: str, source: str, code: str) -> tuple[int, ...]:
    if code == "*":
        found = [p for p in registry.parameters(source).values() if p.type == "reference"]
        return tuple(p.id for p in found)
    parameter = registry.parameters(source).get(code)
    if parameter is None or parameter.type != "reference":
        known = [p.code for p in registry.parameters(source).values() if p.type == "reference"]
        text = f"{source} has the reference parameters {', '.join(known) or '(none)'}."
        raise BadRequest(text, code="value", expression=name)
    return tuple(p.id for p in registry.plan(source).indexed[code])
