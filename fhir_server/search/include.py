"""Included resources.

https://hl7.org/fhir/R4/search.html#include
"""

from collections.abc import Sequence

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Canonical, Include
from fhir_server.search.registry import Registry

_FORM = "Write Source:parameter, Source:parameter:Target, Source:* or *."
_NOT_CANONICAL = frozenset({"Reference", "Resource"})


def include(registry: Registry, name: str, value: str) -> Include:
    """Return what `_include` or `_revinclude` asks for; refused when it names no reference.

    `recurse` is what `iterate` was called before R4.
    """
    code, _, modifier = name.partition(":")
    if modifier not in ("", "iterate", "recurse"):
        raise NotSupported("The modifier is iterate.", expression=name)
    reverse, iterate = code == "_revinclude", bool(modifier)
    if value == "*":
        return Include(None, None, reverse, iterate, _canonicals(registry, ""))
    source, *rest = value.split(":")
    type_ids = registry.context.type_ids
    if source not in type_ids or len(rest) not in (1, 2):
        raise BadRequest(_FORM, code="value", expression=name)
    target = rest[1] if len(rest) > 1 else ""
    if rest[1:] and target not in type_ids:
        raise BadRequest(_FORM, code="value", expression=name)
    found = _parameters(registry, name, source, rest[0])
    _refuse_target(found, name, target)
    return Include(
        params=_ids(registry, source, found),
        target=type_ids.get(target),
        reverse=reverse,
        iterate=iterate,
        canonicals=_canonicals(registry, target) if _leads_by_url(registry, found) else (),
        types=(type_ids[source],) if reverse else _brought(registry, found, target),
    )


def _brought(registry: Registry, found: Sequence[Parameter], target: str) -> tuple[int, ...]:
    """Return the types that may be included; none where a parameter leads to any."""
    if target:
        return (registry.context.type_ids[target],)
    if not all(one.target for one in found):
        return ()
    names = sorted({name for one in found for name in one.target})
    return tuple(registry.context.type_ids[name] for name in names)


def _parameters(registry: Registry, name: str, source: str, code: str) -> list[Parameter]:
    found = [p for p in registry.parameters(source).values() if p.type == "reference"]
    if code == "*":
        return found
    named = [p for p in found if p.code == code]
    if not named:
        registry.refuse_awaited([source], code, name)
        known = ", ".join(p.code for p in found)
        text = f"{source} has the reference parameters {known or '(none)'}."
        raise BadRequest(text, code="value", expression=name)
    return named


def _refuse_target(found: Sequence[Parameter], name: str, target: str) -> None:
    known = sorted({one for p in found for one in p.target})
    if target and known and target not in known:
        text = f"The reference leads to {', '.join(known)}."
        raise BadRequest(text, code="value", expression=name)


def _ids(registry: Registry, source: str, found: Sequence[Parameter]) -> tuple[int, ...]:
    indexed = registry.plan(source).indexed
    return tuple(dict.fromkeys(one.id for p in found for one in indexed[p.code]))


def _leads_by_url(registry: Registry, found: Sequence[Parameter]) -> bool:
    facts = (registry.plan(p.base).facts[p.code].types for p in found)
    return any(types - _NOT_CANONICAL for types in facts)


def _canonicals(registry: Registry, target: str) -> tuple[Canonical, ...]:
    """Return the types that have a canonical URL with a version, or the one of them asked for."""
    return tuple(
        Canonical(_indexed(registry, name, "url"), _indexed(registry, name, "version"))
        for name in ([target] if target else registry.definitions.resource_types)
        if {"url", "version"} <= registry.parameters(name).keys()
    )


def _indexed(registry: Registry, type_name: str, code: str) -> int:
    return registry.plan(type_name).indexed[code][0].id
