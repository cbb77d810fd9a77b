"""A message as segments, fields, repetitions and leaves, each split when it is asked for.

HL7 v2.9 chapter 2, sections 2.5 and 2.6.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.message.escapes import unescape, without_controls

Address = tuple[int, int, int, int, int]
"""Segment (0-based), field, repetition, component and subcomponent (1-based)."""

NULL = '""'
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_TEXT_TYPES = frozenset(("ST", "TX", "FT", ""))
_OBX_VALUE = ("OBX", 5)
# A reference range is a ST in every version: `<10^5` has one part.
_TEXTS = frozenset((("NTE", 3), ("OBX", 7)))
_MARKS = 4


class BadHeader(ValueError):
    """The text does not begin with a MSH segment that names usable delimiters."""


MOST_PARTS: Final = 500_000
"""More segments, fields, repetitions and components than any message has.

Each costs up to a kilobyte when it is mapped, so the bytes alone are no limit.
"""


class TooManyParts(BadHeader):
    """The message has more than 500,000 segments, fields, repetitions and components."""


def refuse_many(text: str, marks: str) -> None:
    """Raise TooManyParts where the marks stand in the text too often."""
    if len(text) > MOST_PARTS and sum(text.count(mark) for mark in marks) > MOST_PARTS:
        raise TooManyParts("The message has too many parts")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters of MSH-1 and MSH-2; `truncation` is "" where there is none."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str = ""

    @property
    def characters(self) -> str:
        """The delimiters in the order of their escape sequences F S T R E P."""
        return (
            self.field
            + self.component
            + self.subcomponent
            + self.repetition
            + self.escape
            + self.truncation
        )


class Segment:
    """One segment; `fields[n]` is field n as it came, `fields[0]` the name.

    `index` counts all segments of the message from 0, `occurrence` those of the
    same name from 1.
    """

    __slots__ = ("fields", "index", "message", "name", "occurrence")

    def __init__(self, message: "Message", fields: list[str], index: int, occurrence: int) -> None:
        self.message = message
        self.fields = fields
        self.name = fields[0]
        self.index = index
        self.occurrence = occurrence

    def raw(self, number: int) -> str:
        """Return the field as it came, "" where it is absent."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def valued(self, number: int) -> bool:
        """Whether the field says something: neither empty nor null."""
        return self.raw(number) not in {"", NULL}

    def is_text(self, number: int) -> bool:
        """Whether the field is text, in which component marks are only characters."""
        place = (self.name, number)
        if place == _OBX_VALUE:
            return self.raw(2).strip() in _TEXT_TYPES
        return place in _TEXTS

    def repetitions(self, number: int) -> list["Repetition"]:
        """Return the repetitions that say something."""
        raw = self.raw(number)
        if not raw or raw == NULL:
            return []
        mark = self.message.delimiters.repetition
        if mark not in raw:
            return [Repetition(self, number, 1, raw)]
        return [
            Repetition(self, number, n, text)
            for n, text in enumerate(raw.split(mark), 1)
            if text and text != NULL
        ]

    def first(self, number: int) -> "Repetition | None":
        """Return the first repetition that says something."""
        fields = self.fields
        raw = fields[number] if number < len(fields) else ""
        if not raw or raw == NULL:
            return None
        if self.message.delimiters.repetition not in raw:
            return Repetition(self, number, 1, raw)
        repetitions = self.repetitions(number)
        return repetitions[0] if repetitions else None

    def peek(self, number: int) -> str:
        """Return the first leaf of the field without saying that it was used."""
        raw = self.raw(number)
        if not raw or raw.isalnum():
            return raw
        repetition = self.first(number)
        return repetition.peek() if repetition else ""

    def take(self, number: int, path: str) -> str:
        """Return the first leaf of the field and note that it went to `path`."""
        raw = self.raw(number)
        if raw.isalnum():
            self.message.mapped[(self.index, number, 1, 1, 1)] = path
            return raw
        repetition = self.first(number)
        return repetition.take(1, path) if repetition else ""

    def refuse(self, number: int, reason: str) -> None:
        """Note why the leaves of this field are in no resource."""
        for address in leaves(self, number):
            self.message.refused.setdefault(address, reason)

    def disown(self, number: int, reason: str) -> None:
        """Note that a field that was read is in no resource after all."""
        for address in leaves(self, number):
            self.message.mapped.pop(address, None)
        self.refuse(number, reason)


class Repetition:
    """One repetition of a field, or of the whole field where it does not repeat."""

    __slots__ = ("_is_text", "components", "message", "number", "repetition", "segment", "text")

    def __init__(self, segment: Segment, number: int, repetition: int, text: str) -> None:
        self.segment = segment
        self.message = segment.message
        self.number = number
        self.repetition = repetition
        self.text = text
        self._is_text = segment.is_text(number)
        mark = self.message.delimiters.component
        self.components = [text] if self._is_text or mark not in text else text.split(mark)

    def raw(self, component: int) -> str:
        """Return the component as it came, "" where it is absent."""
        components = self.components
        return components[component - 1] if component <= len(components) else ""

    def leaf(self, component: int, sub: int = 1) -> str:
        """Return the leaf as it came, "" where it is absent."""
        components = self.components
        if component > len(components):
            return ""
        raw = components[component - 1]
        if not raw or self._is_text:
            return raw
        mark = self.message.delimiters.subcomponent
        if mark in raw:
            parts = raw.split(mark)
            return parts[sub - 1] if sub <= len(parts) else ""
        return raw if sub == 1 else ""

    def peek(self, component: int = 1, sub: int = 1) -> str:
        """Return the leaf unescaped and without surrounding blanks; null counts as empty."""
        raw = self.leaf(component, sub)
        if not raw or raw == NULL:
            return ""
        return self.message.unescaped(raw).strip()

    def take(self, component: int, path: str, sub: int = 1) -> str:
        """Return the leaf and note that it went to `path`."""
        raw = self.leaf(component, sub)
        if not raw or raw == NULL:
            return ""
        value = self.message.unescaped(raw).strip()
        if value:
            place = (self.segment.index, self.number, self.repetition, component, sub)
            self.message.mapped[place] = path
        return value

    def mark(self, component: int, path: str, sub: int = 1) -> None:
        """Note that the leaf went to `path`, if it says something."""
        raw = self.leaf(component, sub)
        if raw and raw != NULL and not raw.isspace():
            place = (self.segment.index, self.number, self.repetition, component, sub)
            self.message.mapped[place] = path

    def marks(self) -> list[tuple[int, int, str]]:
        """Return (component, subcomponent, path) of the leaves that were just noted here."""
        place = (self.segment.index, self.number, self.repetition)
        found = []
        for address in reversed(self.message.mapped):
            if address[:3] != place:
                break
            found.append((address[3], address[4], self.message.mapped[address]))
        return found

    def mark_all(self, marks: list[tuple[int, int, str]]) -> None:
        """Note leaves as those of an equal repetition were noted."""
        index, number, repetition = self.segment.index, self.number, self.repetition
        mapped = self.message.mapped
        for component, sub, path in marks:
            mapped[(index, number, repetition, component, sub)] = path

    def refuse(self, component: int, reason: str, sub: int = 1) -> None:
        """Note why the leaf is in no resource."""
        if self.leaf(component, sub):
            place = (self.segment.index, self.number, self.repetition, component, sub)
            self.message.refused.setdefault(place, reason)


@dataclass(frozen=True, slots=True)
class Source:
    """The leaves of what a message was translated from.

    `leaves` has each of them, by its address as text, with the reason why it would be in
    no resource; `origins` tells from which of them a leaf of the message came; `text` is
    what was translated.
    """

    text: str
    leaves: dict[str, str]
    origins: dict[Address, tuple[str, ...]]


@dataclass(slots=True)
class Message:
    """A message that keeps account of its leaves.

    `mapped` tells where a leaf went, `refused` why another did not; both are
    filled while resources are built. `counts` are findings without an address.
    `source` is the account of what this message was translated from, None where the
    sender wrote it so.
    """

    delimiters: Delimiters
    codec: str
    segments: list[Segment] = field(default_factory=list)
    mapped: dict[Address, str] = field(default_factory=dict)
    refused: dict[Address, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    has_controls: bool = False
    source: "Source | None" = None

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]

    def named(self, name: str) -> list[Segment]:
        """Return the segments of this name."""
        return [segment for segment in self.segments if segment.name == name]

    def unescaped(self, raw: str) -> str:
        """Return a leaf without escape sequences and forbidden characters."""
        delimiters = self.delimiters
        if delimiters.escape in raw:
            raw = unescape(raw, delimiters.characters, self.codec, self.counts)
            return without_controls(raw, self.counts)
        return without_controls(raw, self.counts) if self.has_controls else raw


def parse(text: str, codec: str = "utf-8") -> Message:
    """Return the message; raises BadHeader. `codec` reads the bytes of hexadecimal escapes."""
    text = text.lstrip("\ufeff \t\r\n\x00")
    delimiters = _delimiters(text)
    refuse_many(text, f"\r\n{delimiters.characters}")
    message = Message(delimiters, codec, has_controls=_CONTROLS.search(text) is not None)
    seen: Counter[str] = Counter()
    for line in _lines(text, delimiters.field):
        fields = line.split(delimiters.field)
        name = fields[0] = fields[0].strip()
        if not line.strip():
            continue
        if name == "MSH":
            fields.insert(1, delimiters.field)
        seen[name] += 1
        message.segments.append(Segment(message, fields, len(message.segments), seen[name]))
    return message


def leaves(segment: Segment, number: int) -> Iterator[Address]:
    """Yield the address of each leaf of a field that is not empty."""
    raw = segment.raw(number)
    if not raw:
        return
    index = segment.index
    if segment.name == "MSH" and number in {1, 2}:
        yield (index, number, 1, 1, 1)
        return
    marks = segment.message.delimiters
    text = segment.is_text(number)
    for r, repetition in enumerate(raw.split(marks.repetition), 1):
        components = [repetition] if text else repetition.split(marks.component)
        for c, component in enumerate(components, 1):
            if text or marks.subcomponent not in component:
                if component and not component.isspace():
                    yield (index, number, r, c, 1)
                continue
            for s, leaf in enumerate(component.split(marks.subcomponent), 1):
                if leaf and not leaf.isspace():
                    yield (index, number, r, c, s)


def _delimiters(text: str) -> Delimiters:
    if not text.startswith("MSH") or len(text) < _MARKS:
        raise BadHeader("The message does not begin with MSH")
    separator = text[3]
    marks = re.split(r"[\r\n]", text[4:64], maxsplit=1)[0].split(separator, 1)[0]
    chosen = marks[:_MARKS] + "^~\\&"[len(marks) :]
    # The fifth mark is the truncation character in whatever version.
    characters = (separator, *chosen, *marks[_MARKS : _MARKS + 1])
    usable = all(not c.isalnum() and not c.isspace() for c in characters)
    if not usable or len(set(characters)) != len(characters):
        raise BadHeader("MSH-1 and MSH-2 name no usable delimiters")
    return Delimiters(*characters)


def _lines(text: str, separator: str) -> list[str]:
    if "\r" not in text:
        return text.split("\n")
    if "\n" in text:
        text = re.sub(rf"\r\n|\n(?=[A-Z][A-Z0-9]{{2}}{re.escape(separator)})", "\r", text)
    return text.split("\r")
