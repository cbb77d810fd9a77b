"""Resources shown in part, to who has a grant on them `without` some elements.

What is left out is neither shown nor searched by. Free text hides in extensions too, so these
go with it; a modifier extension stays, as what it changes must not be overlooked, but says no
more than that its value is masked.

https://hl7.org/fhir/R4/security-labels.html#break-the-glass
"""

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.errors import Forbidden
from fhir_server.rights import ANY, Grant, Rights
from fhir_server.search.expression import paths
from fhir_server.search.fulltext import PARAMETERS as WORDS
from fhir_server.search.parameter import Component, Parameter
from fhir_server.search.path import (
    ExpressionError,
    Extension,
    Member,
    Path,
    Root,
    WithExtension,
    parse,
)
from fhir_server.search.query import Query
from fhir_server.server import Server

Json = dict[str, Any]

_NARRATIVE: Final = "text"
_SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
_MASKED: Final = {
    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "valueCode": "masked",
}
_FREE: Final = frozenset(
    ("valueAnnotation", "valueAttachment", "valueBase64Binary", "valueMarkdown", "valueString")
)
_FIRST: Final = ("resourceType", "id", "meta")
_NAMES = re.compile(r"[.:]")
_WORDS = re.compile(r"[\w-]+")
_NAMING: Final = frozenset(("_filter", "_include", "_revinclude", "_sort"))
_MOST: Final = 2048


@dataclass(frozen=True, slots=True)
class Parts:
    """What of whom is left out: `left_out` by type, and the rights to whole resources alone.

    `types` are those of which anything may be read, None for all.
    """

    left_out: Mapping[str, frozenset[str]]
    whole: Rights
    types: frozenset[str] | None = None

    def of(self, type_name: str) -> frozenset[str]:
        """Return what is left out of resources of the type; nothing of most."""
        nothing: frozenset[str] = frozenset()
        return self.left_out.get(type_name, nothing) | self.left_out.get(ANY, nothing)


_kept: OrderedDict[int, tuple[Rights, Parts | None]] = OrderedDict()


def parts(rights: Rights) -> Parts | None:
    """Return what the rights show in part; None where all that they show is shown whole."""
    if not rights.walls:
        return None
    kept = _kept.get(id(rights))
    if kept is None:
        kept = _kept[id(rights)] = (rights, _parts(rights))
        if len(_kept) > _MOST:
            _kept.popitem(last=False)
    return kept[1]


def _parts(rights: Rights) -> Parts | None:
    found: dict[str, frozenset[str]] = {}
    for grant in _in_part(rights):
        found[grant.type] = found.get(grant.type, frozenset()) | frozenset(grant.without)
    if not found:
        return None
    walls = tuple(tuple(one for one in wall if not one.without) for wall in rights.walls)
    return Parts(found, Rights(walls, rights.operator), _types(rights))


def _types(rights: Rights) -> frozenset[str] | None:
    named = [{grant.type for grant in wall if "r" in grant.letters} for wall in rights.walls]
    bound = [one for one in named if ANY not in one]
    return frozenset(set.intersection(*bound)) if bound else None


def _in_part(rights: Rights) -> Iterator[Grant]:
    return (grant for wall in rights.walls for grant in wall if grant.without)


def resources(value: object, parts: Parts) -> Iterator[Json]:
    """Yield the resources in an answer of which something is left out.

    What a resource contains is a part of it, and goes by its type.
    """
    if isinstance(value, list):
        for one in value:
            yield from resources(one, parts)
    elif isinstance(value, dict):
        if parts.of(str(value.get("resourceType"))):
            yield value
            return
        for name, one in value.items():
            if name != "contained" and isinstance(one, dict | list):
                yield from resources(one, parts)


def masked(resource: Json, names: Collection[str], types: Collection[str] | None = None) -> Json:
    """Return the resource without elements of these names and extensions of these URLs.

    At any depth, but of `text` only the narrative. Contained resources go to which nothing that
    is left refers, and so do extensions with free text; of those of other `types` is left what
    they are, as references lead to them. It is tagged SUBSETTED.
    """
    cut = _object(resource, frozenset(names))
    if "contained" in cut:
        cut["contained"] = [_seen(one, types) for one in _reached(cut)]
        if not cut["contained"]:
            del cut["contained"]
    meta = dict(cut.get("meta") or {})
    tags = list(meta.get("tag", ()))
    meta["tag"] = tags if _SUBSETTED in tags else [*tags, dict(_SUBSETTED)]
    cut["meta"] = meta
    first: Json = {name: cut[name] for name in _FIRST if name in cut}
    return {**first, **cut}


def _seen(contained: Json, types: Collection[str] | None) -> Json:
    if types is None or contained.get("resourceType") in types:
        return contained
    return {name: contained[name] for name in ("resourceType", "id") if name in contained}


def _object(given: Json, names: frozenset[str]) -> Json:
    of_resource = "resourceType" in given
    found: Json = {}
    for name, value in given.items():
        element = name.removeprefix("_")
        if element in names and (element != _NARRATIVE or of_resource):
            continue
        left = _value(name, value, names)
        if left not in ({}, []):
            found[name] = left
    return found


def _value(name: str, value: object, names: frozenset[str]) -> object:
    if name == "extension" and isinstance(value, list):
        return [_object(one, names) for one in value if not _is_hidden(one, names)]
    if name == "modifierExtension" and isinstance(value, list):
        return [_modifier(one, names) for one in value]
    if isinstance(value, dict):
        return _object(value, names)
    if not isinstance(value, list):
        return value
    items = [_object(one, names) if isinstance(one, dict) else one for one in value]
    if name.startswith("_"):
        # They stand beside the values of a primitive, one for each.
        items = [one or None for one in items]
        return items if any(items) else []
    return [one for one in items if one != {}]


def _modifier(extension: Json, names: frozenset[str]) -> Json:
    if _is_hidden(extension, names):
        return {"url": extension.get("url"), "extension": [dict(_MASKED)]}
    return _object(extension, names)


def _is_hidden(extension: object, names: frozenset[str]) -> bool:
    """Return whether an extension is named, or has free text in it or in one of its own."""
    if not isinstance(extension, dict):
        return True
    inner = extension.get("extension", ())
    return (
        extension.get("url") in names
        or not _FREE.isdisjoint(extension)
        or any(_is_hidden(one, names) for one in inner)
    )


def _reached(resource: Json) -> list[Json]:
    """Return the contained resources to which the resource leads, perhaps by one another."""
    inside = {one.get("id"): one for one in resource["contained"] if isinstance(one, dict)}
    around = {name: value for name, value in resource.items() if name != "contained"}
    ahead, reached = list(_locals(around)), set()
    while ahead:
        name = ahead.pop()
        if name in inside and name not in reached:
            reached.add(name)
            ahead += _locals(inside[name])
    return [one for id_, one in inside.items() if id_ in reached]


def _locals(value: object) -> Iterator[str]:
    """Yield the ids of contained resources that references and canonicals name."""
    if isinstance(value, str) and value.startswith("#"):
        yield value[1:]
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _locals(one)


def refuse_hidden(server: Server, rights: Rights, query: Query) -> None:
    """Refuse to search by what is left out; Forbidden names the parameter.

    In chains and filters the parameter counts whatever type it is asked of, as it may be one of
    which something is left out.
    """
    found = parts(rights)
    if found is None:
        return
    names = server.definitions.type_names
    searched = [names[one] for one in query.type_ids] or server.definitions.resource_types
    here = hidden(server, found, searched)
    anywhere = hidden(server, found, server.definitions.resource_types)
    for name, value in query.applied:
        given = _NAMES.split(name)
        asked = {given[0]} & here
        asked |= set(given[1:]) & anywhere
        if given[0] in _NAMING:
            asked |= {one.lstrip("-") for one in _WORDS.findall(value)} & anywhere
        if asked:
            raise Forbidden("You do not see what this parameter looks at", expression=name)


def hidden(server: Server, parts: Parts, types: Iterable[str]) -> frozenset[str]:
    """Return the parameters of types that look at what is left out of them."""
    found: set[str] = set()
    for type_name in types:
        if names := parts.of(type_name):
            found |= WORDS
            known = server.registry.parameters(type_name).values()
            found |= {one.code for one in known if _looks_at(one, names)}
    return frozenset(found)


def _looks_at(parameter: Parameter, names: frozenset[str]) -> bool:
    """Return whether a parameter may look at such an element, or at any extension."""
    if parameter.code in WORDS or not parameter.expression:
        return False
    try:
        found = (*paths(parameter), *(one for each in parameter.component for one in _paths(each)))
    except ExpressionError:
        return True
    return any(_leads_to(path, names) for path in found)


def _paths(component: Component) -> tuple[Path, ...]:
    return tuple(parse(component.expression))


def _leads_to(path: Path, names: frozenset[str]) -> bool:
    members = [step.name for step in path if isinstance(step, Member)]
    of_resource = bool(path) and isinstance(path[0], Root) and path[0].name != ""
    if of_resource and members[:1] == [_NARRATIVE] and _NARRATIVE in names:
        return True
    if any(isinstance(step, Extension | WithExtension) for step in path):
        return True
    away = (names - {_NARRATIVE}) | {"contained", "extension", "modifierExtension"}
    return not away.isdisjoint(members)
