"""The tree of an expression.

https://hl7.org/fhirpath/N1/grammar.html
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of the expression: a system value, or None for `{}`."""

    value: object
    at: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`%name` of the environment."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Special:
    """`$this`, `$index` or `$total`."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """A step to a member; without `source` it starts from `$this`."""

    source: "Tree | None"
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function; without `source` it is called on `$this`."""

    source: "Tree | None"
    name: str
    arguments: tuple["Tree", ...]
    at: int


@dataclass(frozen=True, slots=True)
class Indexer:
    """`source[index]`."""

    source: "Tree"
    index: "Tree"
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`+` or `-` before an expression."""

    operator: str
    operand: "Tree"
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and what stands between them."""

    operator: str
    left: "Tree"
    right: "Tree"
    at: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`is` or `as` with the name of a type, qualified or not."""

    operator: str
    operand: "Tree"
    type: tuple[str, ...]
    at: int


Tree: TypeAlias = Literal | Variable | Special | Member | Call | Indexer | Unary | Binary | TypeTest
