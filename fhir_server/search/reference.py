"""Reference parameters.

https://hl7.org/fhir/R4/search.html#reference
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Named, Terms, Within, either
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Edge, Rows, Writer
from fhir_server.search.terms import term

MODIFIERS: frozenset[str] = frozenset({"identifier", "above", "below"})
"""`identifier` is for references, `below` also for canonicals; `ask.py` reads `:[type]`."""

_LITERAL = re.compile(
    r"(?P<base>https?://.+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)
_LITERALS = frozenset({"Reference", "Resource"})
CANONICAL = 0
"""The target type of an edge whose target is a canonical, not an id."""

LONGEST_CANONICAL = 500
"""Characters of a canonical that is followed; an entry of a B-tree is at most 2,704 bytes."""

_UPWARD = ("partOf", "parent", "parentDevice")
"""Elements that make a hierarchy with resources of their own type."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Literal(NamedTuple):
    """A reference to `type/id` under a base URL; `base` is None for a relative one."""

    base: str | None
    type: str
    id: str
    version: str | None


def literal(text: str, context: Context) -> Literal | None:
    """Return the RESTful reference that `text` is, made relative if it is local; else None."""
    match = _LITERAL.fullmatch(text)
    if match is None or match["type"] not in context.type_ids:
        return None
    base = match["base"]
    if base is not None and base[:-1] in context.bases:
        base = None
    return Literal(base, match["type"], match["id"], match["version"])


def target_type(value: dict[str, Any], resource: dict[str, Any]) -> str | None:
    """Return the type that a Reference points to, as far as the resource alone can tell.

    From the URL, `Reference.type`, or the contained resource; this is how
    `resolve() is Patient` is answered without reading.
    """
    text = value.get("reference")
    if text is not None:
        match = _LITERAL.fullmatch(text)
        if match is not None:
            return match["type"]
        if text.startswith("#"):
            return _contained_type(text[1:], resource)
    declared: str | None = value.get("type")
    return declared


def _contained_type(name: str, resource: dict[str, Any]) -> str | None:
    for contained in resource.get("contained", ()):
        if contained.get("id") == name:
            found: str = contained["resourceType"]
            return found
    return None


def _write_reference(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    text = value.get("reference")
    if text is not None and not text.startswith("#"):
        rows.repeat(_write_outward, parameter, text)
    elif text is not None:
        _write_url(rows, parameter, text)
        rows.add(parameter, "present")
    identifier = value.get("identifier")
    if identifier is not None:
        _write_identifier(rows, parameter, identifier)
    if identifier is not None or "display" in value:
        rows.add(parameter, "present")


def _write_outward(rows: Rows, parameter: Parameter, text: str) -> None:
    """Index a reference to what is not contained."""
    _write_url(rows, parameter, text)
    rows.add(parameter, "present")


def _write_url(rows: Rows, parameter: Parameter, text: str) -> None:
    if text.startswith("#"):
        rows.refer_inside(parameter, text[1:])
        return
    found = literal(text, rows.context)
    if found is None:
        rows.add(parameter, "uri", text)
        rows.sort_by(parameter, text)
        return
    base, type_name, id_, version = found
    place = f"{base or ''}{type_name}/{id_}"
    rows.add(parameter, "reference", place)
    rows.sort_by(parameter, place)
    if version is not None:
        rows.add(parameter, "version", place, version)
    if base is None:
        number = int(version) if version and version.isdecimal() and len(version) < 10 else None  # noqa: PLR2004  (fits int4)
        rows.edges.add(Edge(parameter.id, rows.context.type_ids[type_name], id_, number))


def _write_identifier(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    system, number = value.get("system"), value.get("value")
    if system:
        rows.add(parameter, "id:system", system)
    if number is None:
        return
    folded = number.casefold()
    rows.add(parameter, "id:code", folded)
    if system:
        rows.add(parameter, "id:token", system, folded)
    else:
        rows.add(parameter, "id:plain", folded)


def _write_canonical(rows: Rows, parameter: Parameter, value: str) -> None:
    """Index a canonical under `url` and, where it has one, `url|version` and its parts."""
    rows.add(parameter, "present")
    if value.startswith("#"):
        return
    url, bar, version = value.partition("|")
    rows.add(parameter, "uri", url)
    rows.sort_by(parameter, value)
    if len(value) <= LONGEST_CANONICAL:
        rows.edges.add(Edge(parameter.id, CANONICAL, value, None))
    if bar:
        rows.add(parameter, "uri", value)
        pieces = version.split(".")
        for count in range(1, len(pieces) + 1):
            rows.add(parameter, "below", url, ".".join(pieces[:count]))


def _write_inline(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    """Index the resource that stands inline (Bundle.entry[0].resource)."""
    if value.get("id"):
        _write_url(rows, parameter, f"{value['resourceType']}/{value['id']}")
    rows.add(parameter, "present")


WRITERS: Mapping[str, Writer] = {
    "Reference": _write_reference,
    "canonical": _write_canonical,
    "uri": _write_canonical,
    "url": _write_canonical,
    "Resource": _write_inline,
}


def present(context: Context, parameter: Parameter) -> Condition:
    """Return the condition that the parameter has a value."""
    return Terms((term(context.secret, parameter.id, "present"),))


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    if clause.modifier == "identifier":
        return Terms(tuple(_identifier(context, clause, value) for value in clause.values))
    if clause.modifier in ("above", "below"):
        return _around(context, clause)
    values = [clause.unescape(value) for value in clause.values]
    return either([_searched(context, clause, value) for value in values])


def _searched(context: Context, clause: Clause, value: str) -> Condition:
    if value.startswith("#"):
        raise clause.refuse("A contained resource cannot be searched for by '#'.")
    if clause.modifier:
        if not _ID.fullmatch(value):
            raise clause.refuse("With a type as modifier the value is an id.")
        value = f"{clause.modifier}/{value}"
    others = clause.types - _LITERALS
    uri = (term(context.secret, clause.parameter.id, "uri", value),) if others else ()
    if not clause.types & _LITERALS:
        return Terms(uri, few=True)
    found = literal(value, context)
    if found is not None:
        return Terms((_literal_term(context, clause, found), *uri), few=True)
    if _ID.fullmatch(value):
        return _named(context, clause, value)
    return Terms((term(context.secret, clause.parameter.id, "uri", value),))


def _literal_term(context: Context, clause: Clause, found: Literal) -> int:
    place = f"{found.base or ''}{found.type}/{found.id}"
    if found.version is None:
        return term(context.secret, clause.parameter.id, "reference", place)
    return term(context.secret, clause.parameter.id, "version", place, found.version)


def _named(context: Context, clause: Clause, id_: str) -> Condition:
    """Return the condition of a bare id, which may be of any target type."""
    types = clause.parameter.target or tuple(context.type_ids)
    candidates = tuple(
        (
            context.type_ids[name],
            term(context.secret, clause.parameter.id, "reference", f"{name}/{id_}"),
        )
        for name in types
        if name in context.type_ids
    )
    if len(candidates) == 1:
        return Terms((candidates[0][1],), few=True)
    return Named(clause.name, id_, candidates)


def _identifier(context: Context, clause: Clause, value: str) -> int:
    parts = [clause.unescape(part) for part in split(value, "|")]
    if len(parts) > 2 or not any(parts):  # noqa: PLR2004  (system and value)
        raise clause.refuse("An identifier is written value, system|value, |value or system|.")
    secret, scope = context.secret, clause.parameter.id
    if len(parts) == 1:
        return term(secret, scope, "id:code", parts[0].casefold())
    system, number = parts
    if not number:
        return term(secret, scope, "id:system", system)
    if not system:
        return term(secret, scope, "id:plain", number.casefold())
    return term(secret, scope, "id:token", system, number.casefold())


def _around(context: Context, clause: Clause) -> Condition:
    """Return the condition of lying above or below: of a canonical, or in a hierarchy."""
    if not clause.types & _LITERALS:
        return Terms(tuple(_below(context, clause, value) for value in clause.values))
    by_type: dict[str, list[str]] = {}
    for value in clause.values:
        type_name, id_ = _place(context, clause, clause.unescape(value))
        by_type.setdefault(type_name, []).append(id_)
    above = clause.modifier == "above"
    return either(
        [
            Within(
                clause.parameter.id, context.type_ids[name], clause.parents[name], tuple(ids), above
            )
            for name, ids in by_type.items()
        ]
    )


def parent(parameters: Mapping[str, Parameter]) -> Parameter | None:
    """Return the parameter by which resources of a type lie in others of it, None without one."""
    for parameter in parameters.values():
        if (
            parameter.type == "reference"
            and parameter.base in parameter.target
            and parameter.expression in [f"{parameter.base}.{one}" for one in _UPWARD]
        ):
            return parameter
    return None


def _place(context: Context, clause: Clause, value: str) -> tuple[str, str]:
    """Return type and id of a resource in a hierarchy; an id alone where only one type has one."""
    found = literal(value, context)
    if found is None and _ID.fullmatch(value) and len(clause.parents) == 1:
        return next(iter(clause.parents)), value
    if found is None or found.base is not None or found.version is not None:
        raise clause.refuse("Above or below stands Type/id, of a resource of this server.")
    if found.type not in clause.parents:
        known = ", ".join(clause.parents)
        raise clause.refuse(f"Of the types referred to, these lie in one another: {known}.")
    return found.type, found.id


def _below(context: Context, clause: Clause, value: str) -> int:
    url, bar, version = clause.unescape(value).replace("\\|", "|").partition("|")
    secret, scope = context.secret, clause.parameter.id
    return term(secret, scope, "below", url, version) if bar else term(secret, scope, "uri", url)
