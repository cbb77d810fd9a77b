"""The language of `_filter`: a text read as a tree.

https://hl7.org/fhir/R4/search_filter.html

    filter     = comparison / "(" filter ")" / "not" "(" filter ")" / filter ("and" / "or") filter
    comparison = path blank operator blank value
    path       = name / name "." path / name "[" filter "]" "." path
    value      = a JSON string / what stands before the next blank, ")" or "]"

`and` and `or` bind alike and are read from left to right.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import msgspec

from fhir_server.errors import BadRequest
from fhir_server.search.clause import PREFIXES

NAME = "_filter"
OPERATORS: frozenset[str] = PREFIXES | {"co", "sw", "ew", "pr", "po", "ss", "sb", "in", "ni", "re"}
"""https://hl7.org/fhir/R4/search_filter.html, table of comparison operations."""

Word: TypeAlias = Literal["and", "or"]


@dataclass(frozen=True, slots=True)
class Step:
    """A parameter on a path; what it refers to passes `filter`, if there is one."""

    name: str
    place: int
    filter: "Filter | None" = None


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of the parameter at the end of a path with a value.

    `place` is that of the operator, `value_place` that of the value, both as
    characters counted from 1.
    """

    path: tuple[Step, ...]
    operator: str
    value: str
    place: int
    value_place: int


@dataclass(frozen=True, slots=True)
class Negation:
    """The filter does not hold."""

    filter: "Filter"


@dataclass(frozen=True, slots=True)
class Junction:
    """All parts hold (`and`), or at least one of them does (`or`)."""

    word: Word
    parts: "tuple[Filter, ...]"


Filter: TypeAlias = Compare | Negation | Junction


def refusal(text: str, place: int) -> BadRequest:
    """Return the refusal of a filter; `text` is a sentence that quotes nothing."""
    return BadRequest(f"{text} (character {place})", code="value", expression=NAME)


def parse(text: str, nodes: int, depth: int) -> tuple[Filter, int]:
    """Return the tree of a filter and the number of its nodes.

    A node is a comparison, a `not` or a pair of brackets. BadRequest names the
    character at fault, and the cap where there are more than `nodes` nodes or
    brackets lie deeper than `depth`.
    """
    reader = _Reader(text, nodes, depth)
    found = _filter(reader, 0)
    reader.blanks()
    if reader.place < len(text):
        raise reader.refuse("Expected 'and', 'or' or the end.")
    return found, nodes - reader.left


_BLANKS = re.compile(r"\s*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"[A-Za-z]+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*+"')
_TOKEN = re.compile(r'[^\s)\]"][^\s)\]]*')


class _Reader:
    """A text and how far it has been read."""

    def __init__(self, text: str, nodes: int, depth: int) -> None:
        self.text = text
        self.left = nodes
        self.depth = depth
        self.place = 0

    def refuse(self, text: str, place: int | None = None) -> BadRequest:
        """Return the refusal of what stands at `place`, or here."""
        return refusal(text, (self.place if place is None else place) + 1)

    def blanks(self) -> bool:
        """Pass over blanks; return whether there were any."""
        start = self.place
        self.place = cast("re.Match[str]", _BLANKS.match(self.text, start)).end()
        return self.place > start

    def take(self, pattern: re.Pattern[str]) -> str:
        """Return what of the pattern stands here, and pass over it; else the empty string."""
        match = pattern.match(self.text, self.place)
        if match is None:
            return ""
        self.place = match.end()
        return match[0]

    def takes(self, character: str) -> bool:
        """Return whether this character stands here, and pass over it."""
        if not self.text.startswith(character, self.place):
            return False
        self.place += 1
        return True

    def word(self, *words: str) -> str:
        """Return the word that stands here, if it is one of these, and pass over it."""
        start = self.place
        found = self.take(_WORD).lower()
        if found in words:
            return found
        self.place = start
        return ""

    def count(self) -> None:
        """Count a node."""
        if not self.left:
            raise self.refuse("The filter has too many parts.")
        self.left -= 1


def _filter(reader: _Reader, depth: int) -> Filter:
    found = _operand(reader, depth)
    while True:
        start = reader.place
        reader.blanks()
        word = reader.word("and", "or")
        if not word:
            reader.place = start
            return found
        if not reader.blanks() and not reader.text.startswith("(", reader.place):
            raise reader.refuse("Expected a blank.")
        found = _joined(cast("Word", word), found, _operand(reader, depth))


def _joined(word: Word, left: Filter, right: Filter) -> Junction:
    """Return both, in one node where the left side is joined by the same word."""
    if isinstance(left, Junction) and left.word == word:
        return Junction(word, (*left.parts, right))
    return Junction(word, (left, right))


def _operand(reader: _Reader, depth: int) -> Filter:
    reader.blanks()
    start = reader.place
    reader.count()
    if reader.takes("("):
        return _inside(reader, start, ")", depth)
    if reader.word("not"):
        reader.blanks()
        bracket = reader.place
        if reader.takes("("):
            return Negation(_inside(reader, bracket, ")", depth))
        reader.place = start
    return _comparison(reader, depth)


def _inside(reader: _Reader, start: int, closing: str, depth: int) -> Filter:
    """Return the filter behind an opening bracket, which stands at `start`."""
    if depth >= reader.depth:
        raise reader.refuse("The brackets are nested too deeply.", start)
    found = _filter(reader, depth + 1)
    reader.blanks()
    if not reader.takes(closing):
        raise reader.refuse(f"Expected 'and', 'or' or '{closing}'.")
    return found


def _comparison(reader: _Reader, depth: int) -> Compare:
    path = _path(reader, depth)
    if not reader.blanks():
        raise reader.refuse("Expected a blank and an operator.")
    place = reader.place
    operator = reader.word(*OPERATORS)
    if not operator:
        raise reader.refuse(f"Expected an operator: {', '.join(sorted(OPERATORS))}.")
    if not reader.blanks():
        raise reader.refuse("Expected a blank and a value.")
    value_place = reader.place
    return Compare(path, operator, _value(reader), place + 1, value_place + 1)


def _path(reader: _Reader, depth: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    while True:
        start = reader.place
        name = reader.take(_PARAMETER)
        if not name:
            raise reader.refuse("Expected the name of a search parameter.")
        inside = None
        bracket = reader.place
        if reader.takes("["):
            reader.count()
            inside = _inside(reader, bracket, "]", depth)
        steps.append(Step(name, start + 1, inside))
        if not reader.takes("."):
            if inside is not None:
                raise reader.refuse("Expected '.' and a search parameter behind ']'.")
            return tuple(steps)


def _value(reader: _Reader) -> str:
    start = reader.place
    if not reader.text.startswith('"', start):
        found = reader.take(_TOKEN)
        if not found:
            raise reader.refuse("Expected a value.")
        return found
    quoted = reader.take(_STRING)
    if not quoted:
        raise reader.refuse("The string has no end, or a character that must be escaped.", start)
    try:
        value = msgspec.json.decode(quoted, type=str)
    except msgspec.DecodeError:
        raise reader.refuse("The string has an escape that JSON does not know.", start) from None
    if "\0" in value:
        raise reader.refuse("A value has a null character.", start)
    return value
