"""Parts of a resource: what `_summary` and `_elements` leave of it.

https://hl7.org/fhir/R4/search.html#summary
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from fhir_server.errors import BadRequest
from fhir_server.r4.definitions import Definitions, Element
from fhir_server.r4.json import members

Mode: TypeAlias = Literal["true", "text", "data"]

SUBSETTED = (
    b'{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}'
)
_OF_EVERY_RESOURCE = frozenset(("resourceType", "id", "meta"))
_IN_TEXT = _OF_EVERY_RESOURCE | {"text"}
_INLINE = "Resource"

_Values: TypeAlias = Mapping[str, msgspec.Raw]
_Keep: TypeAlias = Mapping[str, str | None]

_list = msgspec.json.Decoder(list[msgspec.Raw])
_tags = msgspec.json.Decoder(list[dict[str, object]])
_text = msgspec.json.Decoder(str)


def summarised(definitions: Definitions, raw: bytes, mode: Mode) -> bytes:
    """Return the resource's JSON text cut to a summary and tagged SUBSETTED.

    `true` leaves what the definitions mark as summary, mandatory elements and
    modifiers, inside of backbone elements and inline resources, too; of the
    datatypes only Attachment.data and its like fall away. `text` leaves text, id,
    meta and mandatory elements of the top level, `data` all but text. The values
    that are left have their bytes.
    """
    if mode == "true":
        return _resource(definitions, raw)
    values = members(raw)
    if mode == "data":
        return _tagged({name: value for name, value in values.items() if name != "text"})
    elements = definitions.elements[_type_name(values)]
    return _tagged(_chosen(values, _mandatory(elements) | _IN_TEXT))


def with_elements(
    definitions: Definitions, raw: bytes, names: Iterable[str], types: Sequence[str] = ()
) -> bytes:
    """Return the resource's JSON text with these top-level elements, tagged SUBSETTED.

    Mandatory and modifier elements, id and meta are left as well. A choice is
    named `value`, `value[x]` or `valueQuantity`. BadRequest at `_elements` for a
    name that none of `types` has (default: the type of the resource).
    """
    values = members(raw)
    type_name = _type_name(values)
    kept = _elements(definitions, type_name, tuple(names), tuple(types) or (type_name,))
    return _tagged(_chosen(values, kept))


@lru_cache(maxsize=256)
def _elements(
    definitions: Definitions, type_name: str, names: tuple[str, ...], types: tuple[str, ...]
) -> frozenset[str]:
    """Return the JSON members that `_elements` leaves."""
    known = {name for type_ in types for name in _spellings(definitions.elements[type_])}
    if not known.issuperset(names):
        raise BadRequest(
            "A name in _elements is not an element of the top level",
            code="value",
            expression="_elements",
        )
    elements = definitions.elements[type_name]
    spellings = _spellings(elements)
    asked = {element.name for name in names for element in spellings.get(name, ())}
    modifiers = {element.name for element in elements.values() if element.is_modifier}
    return _OF_EVERY_RESOURCE | _mandatory(elements) | asked | modifiers


def _spellings(elements: Mapping[str, Element]) -> dict[str, list[Element]]:
    """Return the elements that each name means."""
    found: dict[str, list[Element]] = {}
    for element in elements.values():
        named = [element.name]
        if element.choice:
            named += [element.choice, f"{element.choice}[x]"]
        for name in named:
            found.setdefault(name, []).append(element)
    return found


def _mandatory(elements: Mapping[str, Element]) -> frozenset[str]:
    return frozenset(element.name for element in elements.values() if element.min)


def _chosen(values: _Values, names: frozenset[str]) -> _Values:
    """Return the members of these names, a primitive's id and extensions with it."""
    return {name: value for name, value in values.items() if name.removeprefix("_") in names}


def _type_name(values: _Values) -> str:
    return _text.decode(values["resourceType"])


def _tagged(values: _Values) -> bytes:
    """Return the object's text, with the tag that it is incomplete."""
    if "meta" not in values:
        meta = msgspec.Raw(b'{"tag":[' + SUBSETTED + b"]}")
        names = [name for name in values if name in _OF_EVERY_RESOURCE]
        first = {name: values[name] for name in names}
        return _object(first | {"meta": meta} | dict(values))
    inside = members(bytes(values["meta"]))
    tags = bytes(inside.get("tag", b"[]"))
    if not _is_subsetted(tags):
        listed = [bytes(tag) for tag in _list.decode(tags)]
        inside["tag"] = msgspec.Raw(b"[" + b",".join([*listed, SUBSETTED]) + b"]")
    return _object({**values, "meta": msgspec.Raw(_object(inside))})


def _is_subsetted(tags: bytes) -> bool:
    tag = msgspec.json.decode(SUBSETTED)
    return any(tag.items() <= found.items() for found in _tags.decode(tags))


def _object(values: _Values) -> bytes:
    written = (msgspec.json.encode(name) + b":" + bytes(value) for name, value in values.items())
    return b"{" + b",".join(written) + b"}"


def _resource(definitions: Definitions, raw: bytes) -> bytes:
    values = members(raw)
    return _tagged(_summary(definitions, _type_name(values), values))


def _summary(definitions: Definitions, type_name: str, values: _Values) -> _Values:
    """Return the members that a summary leaves of an object of this type."""
    kept = _summaries(definitions)[type_name]
    found: dict[str, msgspec.Raw] = {}
    for name, value in values.items():
        if name in kept:
            cut = kept[name]
            left = bytes(value) if cut is None else _cut(definitions, cut, bytes(value))
            if left:
                found[name] = msgspec.Raw(left)
    return found


def _cut(definitions: Definitions, type_name: str, raw: bytes) -> bytes:
    """Return what is left of an object, or of each in a list; empty when nothing is."""
    if raw.lstrip().startswith(b"["):
        items = [_cut(definitions, type_name, bytes(item)) for item in _list.decode(raw)]
        left = b",".join(item for item in items if item)
        return left and b"[" + left + b"]"
    if type_name == _INLINE:
        return _resource(definitions, raw)
    values = _summary(definitions, type_name, members(raw))
    return _object(values) if values else b""


@lru_cache(maxsize=4)
def _summaries(definitions: Definitions) -> Mapping[str, _Keep]:
    """Return the members that a summary leaves of each type.

    Each with the type by which its value is cut in turn, or None to leave it whole.
    """
    kept = {
        name: [element for element in elements.values() if _is_kept(definitions, name, element)]
        for name, elements in definitions.elements.items()
    }
    kept["Extension"] = []  # left whole, so that few datatypes need a closer look
    cut = {name for name, left in kept.items() if len(left) < len(definitions.elements[name])}
    cut.discard("Extension")
    grown = -1
    while grown < len(cut):
        grown = len(cut)
        cut |= {name for name, left in kept.items() if any(e.type in cut for e in left)}
    return {
        name: {
            "resourceType": None,
            **{element.name: element.type if element.type in cut else None for element in left},
            **{f"_{element.name}": None for element in left},
        }
        for name, left in kept.items()
    }


def _is_kept(definitions: Definitions, owner: str, element: Element) -> bool:
    """Whether a summary has this element.

    An extension that modifies the meaning of what is left must not vanish. Of a
    datatype all is in a summary but what may be large (ElementDefinition.isSummary);
    its id and extensions are only marked otherwise because they are so everywhere.
    """
    if element.is_summary or element.min or element.is_modifier:
        return True
    is_datatype = owner.partition(".")[0] not in definitions.type_ids
    return is_datatype and element.name in {"id", "extension"}
