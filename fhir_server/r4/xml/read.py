"""Resources read from XML into the shape that JSON has.

https://hl7.org/fhir/R4/xml.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import InvalidOperation
from typing import Any

from fhir_server.config import Limits
from fhir_server.errors import BadRequest, TooLarge
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.json import MAX_DIGITS, Number, number
from fhir_server.r4.xml.narrative import standing_alone, stands_alone
from fhir_server.r4.xml.parser import SEPARATOR, guarded, parse, refusal
from fhir_server.r4.xml.shape import FHIR, XHTML, Kind, Member, Shape, shapes

# Of `<`, and of `=`: a transaction of 5,000 official examples has about 1.2 million tags.
MAX_MARKS = 2_000_000

_INTEGER = re.compile(rf"0|[-+]?[1-9][0-9]{{0,{MAX_DIGITS - 1}}}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGERS = frozenset(("integer", "positiveInt", "unsignedInt"))
_BOOLEANS = {"true": True, "false": False}
_VALUE_AND_ID = frozenset(("value", "id"))
_NOTHING = Shape(frozenset(), {})


def from_xml(definitions: Definitions, raw: bytes, limits: Limits) -> dict[str, Any]:
    """Return the resource as JSON has it, each number with its literal.

    A `value` that is not of its element's type stays a text, for the validator to
    refuse. BadRequest (code `structure`) with the FHIRPath for what is not R4's
    XML: another namespace, an unknown element or attribute, a wrong order, text
    between elements, an element without content; and for a document type, an
    entity, a processing instruction, nesting over `limits.json_depth`. TooLarge
    over `limits.bundle_bytes`; code `too-long` for a string over `limits.string_bytes`.
    """
    if len(raw) > limits.bundle_bytes:
        raise TooLarge("The body is too long")
    if max(raw.count(b"<"), raw.count(b"=")) > MAX_MARKS:
        raise BadRequest("The XML has too many elements or attributes", code="too-long")
    return _Reader(definitions, raw, limits).read()


@dataclass(slots=True)
class _Frame:
    """An element that is open; `member` is None for a resource.

    `data` holds its members, for a primitive those of the JSON member with `_`;
    `value` is that of a primitive, the resource of an inline one, or XHTML.
    `uneven` names lists of primitives of which some have an id or extensions.
    """

    member: Member | None
    shape: Shape
    data: dict[str, Any]
    value: Any = None
    rank: int = -1
    uneven: tuple[str, ...] = ()


class _Reader:
    """One parse of one resource; `inside` is the depth in a narrative that began at `began`."""

    def __init__(self, definitions: Definitions, raw: bytes, limits: Limits) -> None:
        self.raw = raw
        self.limits = limits
        self.shapes = shapes(definitions)
        self.primitive = Shape(_VALUE_AND_ID, self.shapes["Element"].elements)
        self.types = definitions.type_ids
        self.root: dict[str, Any] = {}
        self.frames: list[_Frame] = []
        self.namespaces: list[tuple[str, str]] = []
        self.inside = 0
        self.began = 0
        self.leaf = True
        self.parser = guarded()

    def read(self) -> dict[str, Any]:
        parser = self.parser
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.StartNamespaceDeclHandler = self.declared
        parser.EndNamespaceDeclHandler = self.undeclared
        try:
            parse(parser, self.raw)
        finally:
            # Each is a reference back to this object, which would live until a collection.
            del self.parser
        return self.root

    def declared(self, prefix: str | None, namespace: str | None) -> None:
        self.namespaces.append((prefix or "", namespace or ""))

    def undeclared(self, _: str | None) -> None:
        self.namespaces.pop()

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        # The frame of a narrative is its outermost element, too.
        if len(self.frames) + self.inside - (self.inside > 0) >= self.limits.json_depth:
            raise refusal("The XML is nested too deeply")
        if self.inside:
            self.inside += 1
            self.leaf = False
            return
        namespace, _, name = qualified.rpartition(SEPARATOR)
        parent = self.frames[-1] if self.frames else None
        if parent is None or (parent.member and parent.member.kind is Kind.INLINE):
            frame = self.resource(parent, namespace, name)
        else:
            frame = self.member(parent, namespace, name)
        if frame.member and frame.member.kind is Kind.NARRATIVE:
            self.began = self.parser.CurrentByteIndex
            self.inside, self.leaf = 1, True
            self.frames.append(frame)
        else:
            self.frames.append(frame)
            self.attributes(frame, attributes)

    def resource(self, parent: _Frame | None, namespace: str, name: str) -> _Frame:
        if namespace != FHIR:
            raise refusal(f"A resource must be in the namespace {FHIR}", self.place())
        if name not in self.types:
            raise refusal("The element is not a resource of R4", self.place())
        if parent is not None and parent.value is not None:
            raise refusal("There must be one resource here", self.place())
        return _Frame(None, self.shapes[name], {"resourceType": name})

    def member(self, parent: _Frame, namespace: str, name: str) -> _Frame:
        member = parent.shape.elements.get(name)
        if member is None:
            raise refusal("The element is not known here", f"{self.place()}.{name}")
        if namespace != (XHTML if member.kind is Kind.NARRATIVE else FHIR):
            raise refusal("The element has another namespace", f"{self.place()}.{name}")
        if member.rank < parent.rank:
            raise refusal("The element is not in its order", f"{self.place()}.{name}")
        if not member.repeats and (name in parent.data or f"_{name}" in parent.data):
            raise refusal("The element may not repeat", f"{self.place()}.{name}")
        parent.rank = member.rank
        shape = _NOTHING
        if member.kind is Kind.COMPLEX:
            shape = self.shapes[member.type]
        elif member.kind is Kind.PRIMITIVE:
            shape = self.primitive
        return _Frame(member, shape, {})

    def attributes(self, frame: _Frame, attributes: Mapping[str, str]) -> None:
        for name, value in attributes.items():
            if name not in frame.shape.attributes:
                raise refusal("The element has an attribute that is not known", self.place())
            if len(value) > self.limits.string_bytes:
                raise BadRequest("A string is too long", code="too-long", expression=self.place())
            if name == "value" and frame.member:
                try:
                    frame.value = _value(frame.member.type, value)
                except InvalidOperation:
                    raise refusal("A number has too many digits", self.place()) from None
            else:
                frame.data[name] = value

    def characters(self, text: str) -> None:
        if self.inside:
            self.leaf = False
        elif text.strip(" \t\r\n"):
            raise refusal("There must be no text between elements", self.place())

    def end(self, _: str) -> None:
        frame = self.frames[-1]
        if self.inside:
            self.inside -= 1
            if self.inside:
                return
            frame.value = self.narrative()
        for name in frame.uneven:
            _level(frame.data, name)
        if frame.member and not frame.data and frame.value is None:
            raise refusal("The element has no content", self.place())
        self.frames.pop()
        if not self.frames:
            self.root = frame.data
        elif frame.member is None:
            self.frames[-1].value = frame.data
        else:
            _put(self.frames[-1], frame, frame.member)

    def narrative(self) -> str:
        """Return the XHTML as it was sent, unless it needs a namespace from around it."""
        end = self.parser.CurrentByteIndex
        if end - self.began > self.limits.string_bytes:
            raise BadRequest("A string is too long", code="too-long", expression=self.place())
        # The parser stands before an end tag, but behind a tag that is start and end in one.
        in_one = self.leaf and self.raw.endswith(b"/>", self.began, end)
        sent = self.raw[self.began : end if in_one else self.raw.index(b">", end) + 1]
        if stands_alone(sent):
            return sent.decode().replace("\r\n", "\n").replace("\r", "\n")
        return standing_alone(sent, dict(self.namespaces))

    def place(self) -> str | None:
        """Return the FHIRPath of the innermost open element."""
        if not self.frames:
            return None
        path: str = self.frames[0].data["resourceType"]
        for outer, frame in zip(self.frames, self.frames[1:], strict=False):
            if frame.member is not None:
                path += f".{frame.member.segment}"
                if frame.member.repeats:
                    path += f"[{len(outer.data.get(frame.member.name, ()))}]"
        return path


def _value(type_name: str, text: str) -> Any:  # noqa: ANN401  (any JSON primitive)
    if type_name == "boolean":
        return _BOOLEANS.get(text, text)
    if type_name in _INTEGERS:
        return int(text) if _INTEGER.fullmatch(text) else text
    if type_name != "decimal" or not _DECIMAL.fullmatch(text):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return Number(text) if text == "-0" else number(text)


def _put(parent: _Frame, frame: _Frame, member: Member) -> None:
    """Set the closed element in its parent, a primitive's id and extensions beside it."""
    data, name = parent.data, member.name
    primitive = member.kind is Kind.PRIMITIVE
    value = frame.data if member.kind is Kind.COMPLEX else frame.value
    if member.repeats:
        values = data.setdefault(name, [])
        values.append(value)
        if primitive and (frame.data or value is None):
            notes = data.setdefault(f"_{name}", [])
            notes.extend([None] * (len(values) - 1 - len(notes)))
            notes.append(frame.data or None)
            if name not in parent.uneven:
                parent.uneven += (name,)
        return
    if value is not None:
        data[name] = value
    if primitive and frame.data:
        data[f"_{name}"] = frame.data


def _level(data: dict[str, Any], name: str) -> None:
    """Make both lists of a repeating primitive equally long; no values need no list."""
    values, notes = data[name], data[f"_{name}"]
    notes.extend([None] * (len(values) - len(notes)))
    if not any(value is not None for value in values):
        del data[name]
