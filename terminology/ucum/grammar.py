"""Unit expressions read as products of atoms.

https://ucum.org/ucum#section-Syntax-Rules
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from terminology.ucum.essence import Atom, essence

_ANNOTATION = re.compile(r"\{[!-z|~]*\}")
# Letters, brackets that hold anything, and digits that are not at the end.
_SIMPLE = re.compile(
    r"(?:[!-'*,:-Z\\^-z|~]"
    r"|\[[!-Z\\^-z|~]*\]"
    r"|[0-9+\-](?![0-9+\-]*(?:[./(){}]|$)))+"
)
_EXPONENT = re.compile(r"[+-]?[1-9][0-9]*")
_FACTOR = re.compile(r"[1-9][0-9]*(?=[./(){}]|$)")
DEEPEST = 20
"""Parentheses in one another."""


class BadUnit(ValueError):
    """Not a unit of UCUM."""


@dataclass(frozen=True, slots=True)
class Simple:
    """An atom with its prefix, to a power; without an atom a number."""

    atom: Atom | None
    prefix: str | None = None
    number: int = 1
    exponent: int = 1


Part = tuple["Simple | Term", int]
"""A factor and its sign: 1 multiplies, -1 divides."""


@dataclass(frozen=True, slots=True)
class Term:
    """A product; an annotation alone is an empty one, the unity."""

    parts: tuple[Part, ...]


def parse(code: str) -> Term:
    """Return the product that a unit is; BadUnit."""
    reader = _Reader(code)
    term = reader.term(0)
    if reader.at < len(code):
        raise BadUnit("text behind the unit")
    return term


class _Reader:
    """A place in a unit's text."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def term(self, depth: int) -> Term:
        if depth > DEEPEST:
            raise BadUnit("parentheses are too deep")
        return Term(tuple(self._parts(depth)))

    def _parts(self, depth: int) -> Iterator[Part]:
        sign = -1 if self._take("/") else 1
        while True:
            for part in self._component(depth):
                yield part, sign
            if self._take("/"):
                sign = -1
            elif self._take("."):
                sign = 1
            else:
                return

    def _component(self, depth: int) -> list["Simple | Term"]:
        found: list[Simple | Term] = []
        if self._take("("):
            found.append(self.term(depth + 1))
            if not self._take(")"):
                raise BadUnit("a parenthesis is open")
        elif not self.text.startswith("{", self.at):
            found.append(self._simple())
        annotated = self._match(_ANNOTATION) is not None
        if not found and not annotated:
            raise BadUnit("a unit is missing")
        return found

    def _simple(self) -> Simple:
        number = self._match(_FACTOR)
        if number:
            return Simple(None, number=int(number))
        unit = self._match(_SIMPLE)
        if unit is None:
            raise BadUnit("a unit is missing")
        prefix, atom = _split(unit)
        exponent = self._match(_EXPONENT)
        return Simple(atom, prefix, exponent=int(exponent) if exponent else 1)

    def _take(self, character: str) -> bool:
        found = self.text.startswith(character, self.at)
        self.at += found
        return found

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()


def _split(unit: str) -> tuple[str | None, Atom]:
    """Return prefix and atom: an atom of that name before one with a prefix."""
    known = essence()
    if unit in known.atoms:
        return None, known.atoms[unit]
    for length in (2, 1):
        atom = known.atoms.get(unit[length:])
        if unit[:length] in known.prefixes and atom is not None and atom.metric:
            return unit[:length], atom
    raise BadUnit("an unknown unit")
