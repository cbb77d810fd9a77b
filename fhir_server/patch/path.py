"""The FHIRPath of a patch: paths that name their elements one by one.

https://hl7.org/fhir/R4/fhirpatch.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn, TypeAlias

from fhir_server.errors import BadRequest

MAX_LENGTH = 10_000
MAX_DEPTH = 8

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\\]+`|\$this)
      | (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<date>@[0-9T:.+Z-]+)
      | (?P<number>-?[0-9]{1,64}(?:\.[0-9]{1,64})?)
      | (?P<mark>[.()\[\]=])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_CONTROLS = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERAL = re.compile("[^'\"`\\\\/]")


@dataclass(frozen=True, slots=True)
class Member:
    """`.name`: the members of this name; a choice is named without its type."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`[n]`, `first()` (0) and `last()` (-1): one of what was found."""

    at: int


@dataclass(frozen=True, slots=True)
class OfType:
    """`ofType(T)`: what is of this type."""

    type: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or time literal without its `@`."""

    text: str


Literal: TypeAlias = str | bool | Decimal | Moment


@dataclass(frozen=True, slots=True)
class Where:
    """`where(a = 1 and b.c = 'x')`: what has these values, each a path and a literal."""

    criteria: "tuple[tuple[Path, Literal], ...]"


Step: TypeAlias = Member | Index | OfType | Where
Path: TypeAlias = tuple[Step, ...]


def parse(text: str) -> Path:
    """Return the steps of a path; BadRequest for any other FHIRPath."""
    if len(text) > MAX_LENGTH:
        raise BadRequest("The path is too long", code="too-long")
    return _Parser(text).whole()


class _Parser:
    """One path, token by token."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def whole(self) -> Path:
        path = self.path(0)
        if self.kind() != "end":
            _refuse()
        return path

    def kind(self) -> str:
        return self.tokens[self.at][0]

    def text(self) -> str:
        return self.tokens[self.at][1]

    def take(self, kind: str) -> str:
        if self.kind() != kind:
            _refuse()
        self.at += 1
        return self.tokens[self.at - 1][1]

    def accept(self, mark: str) -> bool:
        """Go past this mark or word, if it stands here."""
        found = self.kind() in {"mark", "name"} and self.text() == mark
        self.at += found
        return found

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            _refuse()

    def path(self, depth: int) -> Path:
        if depth > MAX_DEPTH:
            _refuse()
        steps = list(self.step(depth))
        while True:
            if self.accept("."):
                steps += self.step(depth)
            elif self.accept("["):
                steps.append(Index(int(self.index())))
                self.expect("]")
            else:
                return tuple(steps)

    def index(self) -> str:
        number = self.take("number")
        return number if number.isdecimal() else _refuse()

    def step(self, depth: int) -> Path:
        name = self.take("name")
        if not self.accept("("):
            return (Member(name.strip("`")),)
        function = _FUNCTIONS.get(name)
        if function is None:
            _refuse()
        steps = function(self, depth)
        self.expect(")")
        return steps

    def where(self, depth: int) -> Path:
        criteria = [self.criterion(depth)]
        while self.accept("and"):
            criteria.append(self.criterion(depth))
        return (Where(tuple(criteria)),)

    def criterion(self, depth: int) -> tuple[Path, Literal]:
        path = self.path(depth + 1)
        self.expect("=")
        return (path[1:] if path[0] == Member("$this") else path), self.literal()

    def literal(self) -> Literal:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "string":
            return _unescaped(text[1:-1])
        if kind == "number":
            return Decimal(text)
        if kind == "date":
            return Moment(text[1:])
        if kind == "name" and text in {"true", "false"}:
            return text == "true"
        return _refuse()

    def extension(self, _: int) -> Path:
        url = _unescaped(self.take("string")[1:-1])
        return (Member("extension"), Where((((Member("url"),), url),)))

    def of_type(self, _: int) -> Path:
        name = self.take("name")
        if name == "FHIR" and self.accept("."):
            name = self.take("name")
        return (OfType(name),)


_FUNCTIONS: dict[str, Callable[[_Parser, int], Path]] = {
    "where": _Parser.where,
    "extension": _Parser.extension,
    "ofType": _Parser.of_type,
    "first": lambda _parser, _depth: (Index(0),),
    "last": lambda _parser, _depth: (Index(-1),),
}


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return (kind, text) pairs, the last of kind `end`."""
    found, at, length = [], 0, len(text.rstrip())
    while at < length:
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            _refuse()
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return [*found, ("end", "")]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    if escape[2] not in _CONTROLS and _LITERAL.match(escape[2]):
        _refuse()
    return _CONTROLS.get(escape[2], escape[2])


def _refuse() -> NoReturn:
    raise BadRequest(
        "the path is not made of members, indexes, where, first, last, extension and ofType"
    )
