"""Resources written as XML.

https://hl7.org/fhir/R4/xml.html
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from fhir_server.errors import NotAcceptable
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.xml.narrative import stands_alone, with_numbers
from fhir_server.r4.xml.shape import FHIR, Kind, Member, Shape, shapes

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_SPECIAL = re.compile('[&<"\x00-\x1f\ufffe\uffff]')
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def to_xml(definitions: Definitions, data: dict[str, Any], *, pretty: bool = False) -> bytes:
    """Return the resource, as decoded from JSON, as XML in the order of its definition.

    Decimals are written as `str` gives them: decode by `json.decode_keeping` to
    keep each literal. NotAcceptable with the FHIRPath for what XML cannot say: a
    control character, XHTML that is not well-formed, a member that R4 does not know.
    """
    writer = _Writer(definitions, pretty=pretty)
    writer.resource(data, data["resourceType"], 0)
    return "".join(writer.parts).encode()


class _Writer:
    """One text in the making."""

    def __init__(self, definitions: Definitions, *, pretty: bool) -> None:
        self.shapes = shapes(definitions)
        self.types = definitions.type_ids
        self.pretty = pretty
        self.parts = [_DECLARATION]

    def tag(self, text: str, level: int) -> None:
        if self.pretty:
            self.parts.append("\n" + "  " * level)
        self.parts.append(text)

    def resource(self, data: dict[str, Any], path: str, level: int) -> None:
        name = str(data.get("resourceType"))
        if name not in self.types:
            raise _unwritable("This is not a resource of R4", path)
        declared = "" if level else f' xmlns="{FHIR}"'
        shape = self.shapes[name]
        rest = {key: value for key, value in data.items() if key != "resourceType"}
        self.element(name, declared, shape, rest, path, level)

    def element(
        self,
        name: str,
        attributes: str,
        shape: Shape,
        data: dict[str, Any],
        path: str,
        level: int,
    ) -> None:
        if not data:
            self.tag(f"<{name}{attributes}/>", level)
            return
        self.tag(f"<{name}{attributes}>", level)
        self.members(shape, data, path, level + 1)
        self.tag(f"</{name}>", level)

    def members(self, shape: Shape, data: dict[str, Any], path: str, level: int) -> None:
        for member in _present(shape, data, path):
            values, notes = data.get(member.name), data.get(f"_{member.name}")
            for value, note in zip_longest(_items(values), _items(notes)):
                self.item(member, value, note, f"{path}.{member.segment}", level)

    def item(self, member: Member, value: Any, note: Any, path: str, level: int) -> None:  # noqa: ANN401
        if member.kind is Kind.PRIMITIVE:
            self.primitive(member.name, value, note, path, level)
        elif member.kind is Kind.NARRATIVE:
            self.tag(_narrative(value, path), level)
        elif type(value) is not dict:
            raise _unwritable("This is not an object", path)
        elif member.kind is Kind.INLINE:
            self.tag(f"<{member.name}>", level)
            self.resource(value, path, level + 1)
            self.tag(f"</{member.name}>", level)
        else:
            shape = self.shapes[member.type]
            attributes, rest = _attributes(shape, value, path)
            self.element(member.name, attributes, shape, rest, path, level)

    def primitive(self, name: str, value: Any, note: Any, path: str, level: int) -> None:  # noqa: ANN401
        written = "" if value is None else f' value="{_text(value, path)}"'
        if note is None and value is not None:
            self.tag(f"<{name}{written}/>", level)
            return
        if type(note) is not dict:
            raise _unwritable("The element has no content", path)
        shape = self.shapes["Element"]
        attributes, rest = _attributes(shape, note, path)
        self.element(name, attributes + written, shape, rest, path, level)


def _present(shape: Shape, data: Mapping[str, Any], path: str) -> list[Member]:
    """Return the members that the object has, in the order of the definition."""
    elements = shape.elements
    found: dict[str, Member] = {}
    for name in data:
        member = elements.get(name)
        if member is None:
            member = elements.get(name[1:]) if name.startswith("_") else None
            if member is None or member.kind is not Kind.PRIMITIVE:
                raise _unwritable("R4 does not know this member", f"{path}.{name}")
        found[member.name] = member
    return sorted(found.values(), key=_by_rank)


def _by_rank(member: Member) -> int:
    return member.rank


def _items(value: Any) -> list[Any]:  # noqa: ANN401
    if type(value) is list:
        return value
    return [] if value is None else [value]


def _attributes(shape: Shape, data: dict[str, Any], path: str) -> tuple[str, dict[str, Any]]:
    """Return the members that are attributes as text, and the others."""
    written = "".join(
        f' {name}="{_text(data[name], path)}"'
        for name in ("id", "url")
        if name in shape.attributes & data.keys()
    )
    if not written:
        return "", data
    return written, {name: item for name, item in data.items() if name not in shape.attributes}


def _text(value: Any, path: str) -> str:  # noqa: ANN401
    """Return a primitive as the text of an attribute."""
    if type(value) is str:
        if not _SPECIAL.search(value):
            return value
        try:
            return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)
        except KeyError:
            raise _unwritable("XML cannot hold a character of this text", path) from None
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise _unwritable("This is not a primitive", path)


def _narrative(value: Any, path: str) -> str:  # noqa: ANN401
    if type(value) is str:
        div = with_numbers(value)
        if stands_alone(div.encode()):
            return div
    raise _unwritable("The narrative is not XHTML", path)


def _unwritable(text: str, path: str) -> NotAcceptable:
    return NotAcceptable(f"{text}; this content is not available as XML", expression=path)
