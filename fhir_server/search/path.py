"""The FHIRPath subset in which search parameters are written.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Root:
    """Where a path starts: a resource type, `%resource`, or "" for the element itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """The children of this name; of a choice element in any type."""

    name: str


@dataclass(frozen=True, slots=True)
class As:
    """Only values of this type: `as T`, `.as(T)`, `.ofType(T)`, `.is(T)`."""

    type: str


@dataclass(frozen=True, slots=True)
class Where:
    """Only elements whose member equals this text."""

    member: str
    text: str


@dataclass(frozen=True, slots=True)
class Resolves:
    """Only references to a resource of this type: `where(resolve() is T)`."""

    type: str


@dataclass(frozen=True, slots=True)
class Extension:
    """The extensions of this URL."""

    url: str


@dataclass(frozen=True, slots=True)
class WithExtension:
    """Only elements that carry an extension of this URL: `where(hasExtension(url))`."""

    url: str


@dataclass(frozen=True, slots=True)
class Index:
    """The element at this place, from 0."""

    place: int


@dataclass(frozen=True, slots=True)
class Happened:
    """One boolean: whether the element exists and is not `false` (Patient.deceased)."""


Step: TypeAlias = (
    Root | Member | As | Where | Resolves | Extension | WithExtension | Index | Happened
)
Path: TypeAlias = tuple[Step, ...]


class ExpressionError(ValueError):
    """The expression is outside of the subset."""


_TOKEN = re.compile(
    r"\s*(?:(?P<name>%?[A-Za-z_]\w*)|(?P<text>'[^']*')|(?P<number>\d+)|(?P<mark>.))"
)
_HAPPENED = re.compile(r"(?P<path>[\w.]+)\.exists\(\) and (?P=path) != false")

LENGTH = 10_000
"""Characters of an expression; more is refused, as are more nodes or deeper brackets."""
_NODES = 1_000
_DEPTH = 50
_DIGITS = 6


@lru_cache(maxsize=4096)
def parse(expression: str) -> tuple[Path, ...]:
    """Return the paths whose union the expression is; ExpressionError outside of the subset."""
    if len(expression) > LENGTH:
        raise ExpressionError(f"longer than {LENGTH} characters")
    happened = _HAPPENED.fullmatch(expression.strip())
    if happened is not None:
        (path,) = parse(happened["path"])
        return ((*path, Happened()),)
    parser = _Parser(expression)
    paths = parser.union()
    parser.expect("")
    return paths


class _Parser:
    """A position in the tokens of an expression."""

    def __init__(self, expression: str) -> None:
        self.tokens = [
            match["name"] or match["text"] or match["number"] or match["mark"]
            for match in _TOKEN.finditer(expression.strip())
        ]
        if len(self.tokens) > _NODES:
            raise ExpressionError(f"more than {_NODES} parts")
        self.position = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> str:
        place = self.position + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise ExpressionError(f"expected {token or 'the end'!r} as part {self.position}")

    def union(self) -> tuple[Path, ...]:
        paths = list(self.path())
        while self.peek() == "|":
            self.take()
            paths += self.path()
        return tuple(paths)

    def path(self) -> tuple[Path, ...]:
        """Read one operand of the union; several paths when brackets hold a union."""
        heads = self.bracketed() if self.peek() == "(" else (self.start(),)
        steps = self.steps()
        paths = tuple((*head, *steps) for head in heads)
        if self.peek() == "as":
            self.take()
            kind = As(self.take())
            return tuple((*path, kind) for path in paths)
        return paths

    def bracketed(self) -> tuple[Path, ...]:
        self.depth += 1
        if self.depth > _DEPTH:
            raise ExpressionError(f"more than {_DEPTH} brackets deep")
        self.take()
        heads = self.union()
        if self.peek() in ("as", "is"):
            self.take()
            kind = As(self.take())
            heads = tuple((*head, kind) for head in heads)
        self.expect(")")
        self.depth -= 1
        return heads

    def start(self) -> Path:
        name = self.peek()
        if name == "%resource" or name[:1].isupper():
            self.take()
            return (Root(name),)
        if self.peek(1) == "(":
            return (Root(""), self.call())
        return (Root(""), self.member())

    def steps(self) -> Path:
        steps: list[Step] = []
        while self.peek() in {".", "["}:
            if self.take() == "[":
                steps.append(self.index())
                self.expect("]")
            elif self.peek(1) == "(":
                steps.append(self.call())
            else:
                steps.append(self.member())
        return tuple(steps)

    def index(self) -> Index:
        token = self.take()
        if not (token.isascii() and token.isdigit() and len(token) <= _DIGITS):
            raise ExpressionError("expected the number of an element")
        return Index(int(token))

    def member(self) -> Member:
        name = self.take()
        if not name.isidentifier():
            raise ExpressionError("expected the name of an element")
        return Member(name)

    def call(self) -> Step:
        name = self.take()
        self.expect("(")
        step: Step
        if name in {"as", "ofType", "is"}:
            step = As(self.take())
        elif name == "extension":
            step = Extension(self.text())
        elif name == "where":
            step = self.criterion()
        elif name == "first":
            step = Index(0)
        else:
            raise ExpressionError(f"the function {name} is not offered")
        self.expect(")")
        return step

    def text(self) -> str:
        token = self.take()
        if len(token) < 2 or not token.startswith("'") or "\\" in token:  # noqa: PLR2004  (quotes)
            raise ExpressionError("expected a string without escapes")
        return token[1:-1]

    def criterion(self) -> Step:
        name = self.take()
        if name in {"resolve", "hasExtension"}:
            self.expect("(")
            if name == "hasExtension":
                url = self.text()
                self.expect(")")
                return WithExtension(url)
            self.expect(")")
            self.expect("is")
            return Resolves(self.take())
        self.expect("=")
        return Where(name, self.text())
