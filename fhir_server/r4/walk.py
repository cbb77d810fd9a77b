"""Places in a resource, found by element type.

https://hl7.org/fhir/R4/references.html
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.r4.definitions import Definitions, Element

_URIS = frozenset(("uri", "url", "canonical", "oid", "uuid"))
_LINK = re.compile(
    r"""(<(?:a|img)\s(?:[^<>]*?\s)?(?:href|src)\s*=\s*["'])([^"'<>]*)""", re.IGNORECASE
)


class Links:
    """The `a/@href` and `img/@src` values of a narrative by position; setting one rewrites it."""

    __slots__ = ("_narrative", "_parts")

    def __init__(self, narrative: dict[str, Any]) -> None:
        self._narrative = narrative
        self._parts = _LINK.split(narrative["div"])

    def __len__(self) -> int:
        return len(self._parts) // 3

    def __getitem__(self, index: int) -> str:
        return self._parts[3 * index + 2]

    def __setitem__(self, index: int, value: str) -> None:
        self._parts[3 * index + 2] = value
        self._narrative["div"] = "".join(self._parts)


_Found = list[tuple[str, Any, Any]]
_Keep = Callable[[_Found, str, Any, Any], None]


class _Member(NamedTuple):
    """`inside`: the members of the member's type; empty for a primitive or an inline resource."""

    segment: str
    inside: "_Members"
    keep: _Keep | None
    inline: bool


_Members = dict[str, _Member]


def segment(element: Element) -> str:
    """Return the element's name in FHIRPath: `value.ofType(Quantity)` for `valueQuantity`."""
    return f"{element.choice}.ofType({element.type})" if element.choice else element.name


def references(
    definitions: Definitions, type_name: str, data: dict[str, Any]
) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return each Reference with a `reference` text, as (FHIRPath, the Reference itself).

    Contained and inline resources and extensions are gone through; what has not
    the shape that R4 gives it is passed over.
    """
    found: _Found = []
    types = _reference_tables(definitions)
    _descend(types, types.get(type_name, {}), data, type_name, found)
    return [(path, holder[key]) for path, holder, key in found]


def uris(
    definitions: Definitions, type_name: str, data: dict[str, Any]
) -> Iterable[tuple[str, Any, Any]]:
    """Return each place of a uri, url, oid, uuid or canonical, and each link of a narrative.

    As (FHIRPath, holder, key): `holder[key]` is the text and may be set. The
    holder is an object, a list of a repeating element, or a narrative's `Links`.
    `Extension.url` is left out, as it names a definition.
    """
    found: _Found = []
    types = _uri_tables(definitions)
    _descend(types, types.get(type_name, {}), data, type_name, found)
    return found


def _descend(
    types: dict[str, _Members], members: _Members, data: dict[str, Any], path: str, found: _Found
) -> None:
    for name, value in data.items():
        member = members.get(name)
        if member is None:
            continue
        if type(value) is list:
            for index, item in enumerate(value):
                if _leads_on(member, item):
                    place = (value, index, item)
                    _visit(types, member, place, f"{path}.{member[0]}[{index}]", found)
        elif _leads_on(member, value):
            _visit(types, member, (data, name, value), f"{path}.{member[0]}", found)


def _leads_on(member: _Member, value: object) -> bool:
    """Whether something may be in a value; most have members that lead nowhere."""
    _, inside, keep, inline = member
    if keep is not None or inline:
        return True
    return type(value) is dict and not inside.keys().isdisjoint(value)


def _visit(
    types: dict[str, _Members],
    member: _Member,
    place: tuple[Any, Any, Any],
    path: str,
    found: _Found,
) -> None:
    holder, key, value = place
    _, inside, keep, inline = member
    if keep is not None:
        keep(found, path, holder, key)
    if type(value) is dict:
        if inline:
            named = value.get("resourceType")
            inside = types.get(named, {}) if type(named) is str else {}
        _descend(types, inside, value, path, found)


def _keep_reference(found: _Found, path: str, holder: Any, key: Any) -> None:  # noqa: ANN401
    value = holder[key]
    if type(value) is dict and type(value.get("reference")) is str:
        found.append((path, holder, key))


def _keep_text(found: _Found, path: str, holder: Any, key: Any) -> None:  # noqa: ANN401
    if type(holder[key]) is str:
        found.append((path, holder, key))


def _keep_links(found: _Found, path: str, holder: Any, key: Any) -> None:  # noqa: ANN401
    if type(holder[key]) is str:
        links = Links(holder)
        found.extend((path, links, index) for index in range(len(links)))


@lru_cache(maxsize=4)
def _reference_tables(definitions: Definitions) -> dict[str, _Members]:
    return _tables(
        definitions, lambda element: _keep_reference if element.type == "Reference" else None
    )


@lru_cache(maxsize=4)
def _uri_tables(definitions: Definitions) -> dict[str, _Members]:
    def keep(element: Element) -> _Keep | None:
        if element.type == "xhtml":
            return _keep_links
        return _keep_text if element.type in _URIS and element.path != "Extension.url" else None

    return _tables(definitions, keep)


def _tables(
    definitions: Definitions, keep: Callable[[Element], _Keep | None]
) -> dict[str, _Members]:
    """Return each type's members that are to be looked at; the rest is passed over unseen."""
    types: dict[str, _Members] = {name: {} for name in definitions.elements}
    for name, elements in definitions.elements.items():
        for element in elements.values():
            place, kept, primitive = segment(element), keep(element), element.type not in types
            if kept or not primitive:
                inside = {} if primitive else types[element.type]
                inline = element.type == "Resource"
                types[name][element.name] = _Member(place, inside, kept, inline)
            if primitive:
                types[name]["_" + element.name] = _Member(place, types["Element"], None, False)
    return types
