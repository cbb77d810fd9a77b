"""A message of records, fields, repetitions and components, each split when it is asked for.

CLSI LIS02-A2 (ASTM E1394), sections 5 and 6: https://clsi.org/shop/standards/lis02/
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.message.tokenizer import BadHeader, refuse_many

_MARKS: Final = 3
_DELIMITERS: Final = 2
_HEX: Final = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")
_RECORD: Final = re.compile(rb"[\r\n]*[^\r\n]+[\r\n]*")
_END: Final = re.compile(r"\r\n|\r|\n")
TYPES: Final = frozenset("HPORCMSQL")
"""The record types of the standard (section 5.1)."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters of H-1 and H-2: between fields, repetitions, components; and escape."""

    field: str = "|"
    repetition: str = "\\"
    component: str = "^"
    escape: str = "&"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A component that is not empty: its text unescaped, and its address as text."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `fields[n]` is field n as it came, and field 1 the type.

    `occurrence` counts the records of the type in the message from 1; `above` are the
    records that it belongs to, by type.
    """

    type: str
    fields: tuple[str, ...]
    occurrence: int
    delimiters: Delimiters = field(repr=False)

    def raw(self, number: int) -> str:
        """Return the field as it came, "" where it is absent."""
        return self.fields[number] if number < len(self.fields) else ""

    def components(self, number: int, repetition: int = 1) -> list[Leaf]:
        """Return all components of a repetition, those that are empty with them."""
        raw = self.raw(number)
        if self.type == "H" and number == _DELIMITERS:
            return [Leaf(raw, self.address(number, 1, 1))]
        parts = raw.split(self.delimiters.repetition)
        if repetition > len(parts):
            return []
        return [
            Leaf(self._unescaped(one).strip(), self.address(number, repetition, place))
            for place, one in enumerate(parts[repetition - 1].split(self.delimiters.component), 1)
        ]

    def repetitions(self, number: int) -> range:
        """Return the numbers of the repetitions; none of an empty field."""
        raw = self.raw(number)
        if self.type == "H" and number == _DELIMITERS:
            return range(1, 2)
        return range(1, raw.count(self.delimiters.repetition) + 2 if raw else 1)

    def leaf(self, number: int, component: int = 1, repetition: int = 1) -> Leaf | None:
        """Return a component, None where it is empty."""
        found = self.components(number, repetition)
        one = found[component - 1] if component <= len(found) else None
        return one if one and one.text else None

    def whole(self, number: int) -> tuple[str, tuple[str, ...]]:
        """Return the field as one text, its marks as characters, and its leaves' addresses."""
        addresses = tuple(leaf.address for leaf in self.leaves(number))
        return self._unescaped(self.raw(number)).strip(), addresses

    def leaves(self, number: int) -> Iterator[Leaf]:
        """Yield each component of the field that is not empty."""
        for repetition in self.repetitions(number):
            for leaf in self.components(number, repetition):
                if leaf.text:
                    yield leaf

    def address(self, number: int, repetition: int, component: int) -> str:
        """Return an address such as `R[3]-4[1].1`."""
        return f"{self.type}[{self.occurrence}]-{number}[{repetition}].{component}"

    def _unescaped(self, text: str) -> str:
        return unescaped(text, self.delimiters) if self.delimiters.escape in text else text


@dataclass(frozen=True, slots=True)
class Transmission:
    """A message: the H record and all that follow, to L."""

    records: tuple[Record, ...]
    delimiters: Delimiters
    text: str = field(repr=False)

    @property
    def header(self) -> Record:
        """The H record."""
        return self.records[0]

    def named(self, type_: str) -> list[Record]:
        """Return the records of a type."""
        return [record for record in self.records if record.type == type_]

    def leaves(self) -> Iterator[tuple[Record, int, Leaf]]:
        """Yield record, field and leaf of everything that is not empty."""
        for record in self.records:
            for number in range(1, len(record.fields)):
                for leaf in record.leaves(number):
                    yield record, number, leaf


def is_records(raw: bytes) -> bool:
    """Whether stored bytes are records and no HL7 v2 message."""
    start = raw[:64].lstrip(b"\xef\xbb\xbf \t\r\n\x00")
    return start[:1] == b"H" and not start[1:2].isalnum()


def messages(raw: bytes) -> list[bytes]:
    """Return the messages in what a session brought, byte for byte.

    A message begins with H, and one that ended with L is over.
    """
    found: list[bytes] = []
    over = True
    for line in _RECORD.findall(raw):
        if over or (line[:1] == b"H" and not line[1:2].isalnum()):
            found.append(line)
        else:
            found[-1] += line
        over = line[:1] == b"L" and not line[1:2].isalnum()
    return found


def lines(text: str) -> list[str]:
    """Return the records of a text; each ends with CR, as files have it with LF too."""
    return [line for line in _END.split(text) if line.strip()]


def parse(text: str) -> Transmission:
    """Return the message; raises BadHeader without a H record that names its delimiters."""
    start = text.lstrip("\ufeff \t\r\n\x00")
    delimiters = _delimiters(_END.split(start, maxsplit=1)[0])
    marks = (delimiters.field, delimiters.repetition, delimiters.component)
    refuse_many(start, "\r\n" + "".join(marks))
    seen: Counter[str] = Counter()
    records = []
    for line in lines(start):
        parts = line.lstrip().split(delimiters.field)
        kind = parts[0].strip().upper()
        seen[kind] += 1
        records.append(Record(kind, ("", kind, *parts[1:]), seen[kind], delimiters))
    return Transmission(tuple(records), delimiters, text)


def _delimiters(header: str) -> Delimiters:
    if header[:1] != "H" or not header[1:2]:
        raise BadHeader("The message does not begin with a H record")
    separator = header[1]
    marks = header[2:].split(separator, 1)[0]
    chosen = (separator, *marks)
    usable = all(not one.isalnum() and not one.isspace() for one in chosen)
    if not usable or len(marks) != _MARKS or len(set(chosen)) != len(chosen):
        raise BadHeader("H-2 names no usable delimiters")
    return Delimiters(*chosen)


def unescaped(text: str, marks: Delimiters) -> str:
    """Return a text without escape sequences; what is none stays as it is (section 5.4.6)."""
    meanings = {"F": marks.field, "S": marks.component, "R": marks.repetition, "E": marks.escape}
    pattern = rf"{re.escape(marks.escape)}([^{re.escape(marks.escape)}]*){re.escape(marks.escape)}"

    def meaning(match: re.Match[str]) -> str:
        said = match[1]
        if said in meanings:
            return meanings[said]
        coded = _HEX.match(said)
        if coded:
            return bytes.fromhex(coded[1]).decode("latin-1")
        # Emphasis and the like is of no account here.
        return "" if said in {"H", "N"} else match[0]

    return re.sub(pattern, meaning, text)


def escaped(text: str, marks: Delimiters) -> str:
    """Return a text in which no character is taken for a mark, and no control is left."""
    meanings = {
        marks.field: "F",
        marks.component: "S",
        marks.repetition: "R",
        marks.escape: "E",
    }
    return "".join(
        f"{marks.escape}{meanings[one]}{marks.escape}" if one in meanings else one
        for one in " ".join(text.split())
        if one.isprintable()
    )
