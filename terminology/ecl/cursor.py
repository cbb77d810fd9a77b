"""A place in the text of an expression constraint.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

import re
from typing import NoReturn

MOST_CHARACTERS = 200_000
MOST_TERMS = 2_000
"""Concepts, wildcards and conditions in one expression."""
MOST_DEPTH = 32
"""Brackets within brackets."""

_SPACE = re.compile(r"(?:[ \t\r\n]+|/\*(?:[^*]|\*(?!/))*\*/)*")
_WORD = re.compile(r"[A-Za-z]+")
# What hides brackets: comments, terms and quoted texts.
_HIDDEN = re.compile(r'/\*(?:[^*]|\*(?!/))*\*/|\|[^|]*\||"(?:[^"\\]|\\.)*"|[()]', re.DOTALL)


class InvalidEcl(Exception):
    """A text that is no expression constraint: why, and at which character (from 0)."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at


class CostlyEcl(Exception):
    """An expression constraint that is too large to evaluate, with the reason in words."""


class Cursor:
    """Reads a text from left to right; what it is asked for may stand behind space."""

    def __init__(self, text: str) -> None:
        """CostlyEcl for a text that is too long."""
        if len(text) > MOST_CHARACTERS:
            raise CostlyEcl(f"the expression has more than {MOST_CHARACTERS} characters")
        self.text, self.at = text, 0
        self.terms = self.depth = 0
        self._closing = _brackets(text)
        self.skip()

    def skip(self) -> None:
        """Go past space and comments."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def sees(self, *signs: str) -> bool:
        """True when one of the signs comes next."""
        return self.text.startswith(signs, self.at)

    def take(self, *signs: str) -> str | None:
        """The first of the signs that comes next, taken with the space behind it."""
        for sign in signs:
            if self.text.startswith(sign, self.at):
                self.at += len(sign)
                self.skip()
                return sign
        return None

    def expect(self, sign: str, reason: str) -> None:
        """Take a sign; InvalidEcl where there is another."""
        if self.take(sign) is None:
            self.fail(reason)

    def word(self) -> str:
        """The letters that come next in lower case, or nothing; they are not taken."""
        found = _WORD.match(self.text, self.at)
        return found[0].lower() if found else ""

    def keyword(self, *words: str) -> str | None:
        """The next word if it is one of those, taken with the space behind it."""
        word = self.word()
        if word not in words:
            return None
        self.at += len(word)
        self.skip()
        return word

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What a pattern finds here, taken without the space behind it."""
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def after_bracket(self) -> str:
        """The character that follows the bracket that is opened here, space left out."""
        closing = self._closing.get(self.at)
        if closing is None:
            self.fail("a bracket is not closed")
        found = _SPACE.match(self.text, closing + 1)
        end = found.end() if found else closing + 1
        return self.text[end : end + 1]

    def count(self) -> None:
        """Count a term; CostlyEcl after too many."""
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise CostlyEcl(f"the expression has more than {MOST_TERMS} terms")

    def descend(self) -> None:
        """Go into a bracket; CostlyEcl when it is too deep."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise CostlyEcl(f"the expression has brackets more than {MOST_DEPTH} deep")

    def ascend(self) -> None:
        """Come out of a bracket."""
        self.depth -= 1

    def fail(self, reason: str) -> NoReturn:
        """InvalidEcl here."""
        raise InvalidEcl(reason, self.at)


def _brackets(text: str) -> dict[int, int]:
    """Where each round bracket that is opened is closed."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for found in _HIDDEN.finditer(text):
        if found[0] == "(":
            opened.append(found.start())
        elif found[0] == ")" and opened:
            closing[opened.pop()] = found.start()
    return closing
