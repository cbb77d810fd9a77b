"""An expression's tree from its text.

https://hl7.org/fhirpath/N1/grammar.html
"""

from decimal import Decimal
from typing import Final

from fhir_server.fhirpath.lexer import Word, words
from fhir_server.fhirpath.quantity import CALENDAR, Quantity
from fhir_server.fhirpath.refusal import Misuse, misread, too_costly
from fhir_server.fhirpath.syntax import (
    Binary,
    Call,
    Indexer,
    Literal,
    Member,
    Special,
    Tree,
    TypeTest,
    Unary,
    Variable,
)
from fhir_server.fhirpath.temporal import Temporal, temporal

MAX_LENGTH: Final = 10_000
MAX_DEPTH: Final = 50
MAX_CHAIN: Final = 150
MAX_NODES: Final = 1_000

# How firmly an operator holds what stands beside it.
_POWER: Final = {
    **dict.fromkeys(("implies",), 1),
    **dict.fromkeys(("or", "xor"), 2),
    **dict.fromkeys(("and",), 3),
    **dict.fromkeys(("in", "contains"), 4),
    **dict.fromkeys(("=", "~", "!=", "!~"), 5),
    **dict.fromkeys(("<=", "<", ">", ">="), 6),
    **dict.fromkeys(("|",), 7),
    **dict.fromkeys(("is", "as"), 8),
    **dict.fromkeys(("+", "-", "&"), 9),
    **dict.fromkeys(("*", "/", "div", "mod"), 10),
}
_TYPE_POWER: Final = 8
# Operators that are names where a name is due.
_SOFT: Final = frozenset(("as", "contains", "in", "is"))
_KEYWORDS: Final = frozenset(_POWER) - _SOFT
_TEMPORAL: Final = frozenset(("date", "datetime", "time"))
_CONSTANTS: Final = {"true": True, "false": False}


def parse(expression: str) -> Tree:
    """Return the tree of an expression.

    BadRequest where it is none, naming the place; Unprocessable over a limit of
    length, depth or nodes.
    """
    if len(expression) > MAX_LENGTH:
        raise too_costly(f"an expression has at most {MAX_LENGTH} characters")
    reader = _Reader(list(words(expression)))
    tree = reader.expression(0)
    if reader.word.kind != "end":
        raise misread("the expression should have ended", reader.word.at)
    return tree


class _Reader:
    """A position among the words, and what the tree has cost so far."""

    def __init__(self, found: list[Word]) -> None:
        self.words = found
        self.position = 0
        self.depth = 0
        self.nodes = 0

    @property
    def word(self) -> Word:
        return self.words[self.position]

    def take(self) -> Word:
        word = self.words[self.position]
        self.position += 1
        return word

    def takes(self, sign: str) -> bool:
        word = self.word
        if word.kind == "sign" and word.text == sign:
            self.position += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.takes(sign):
            raise misread(f"'{sign}' is missing", self.word.at)

    def count(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise too_costly(f"an expression has at most {MAX_NODES} parts")

    def expression(self, power: int) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise too_costly(f"an expression is nested at most {MAX_DEPTH} deep")
        tree = self.unary()
        chain = 0
        while (firm := self.operator()) > power:
            chain = _longer(chain)
            tree = self.infix(tree, firm)
        self.depth -= 1
        return tree

    def operator(self) -> int:
        word = self.word
        return _POWER.get(word.text, 0) if word.kind in {"sign", "name"} else 0

    def infix(self, left: Tree, power: int) -> Tree:
        word = self.take()
        self.count()
        if power == _TYPE_POWER:
            return TypeTest(word.text, left, self.type_name(), word.at)
        return Binary(word.text, left, self.expression(power), word.at)

    def type_name(self) -> tuple[str, ...]:
        names = [self.name()]
        while self.takes("."):
            names.append(self.name())
        return tuple(names)

    def name(self) -> str:
        word = self.take()
        if word.kind not in {"name", "quoted"}:
            raise misread("a name is missing", word.at)
        return word.text

    def unary(self) -> Tree:
        word = self.word
        if word.kind == "sign" and word.text in "+-":
            self.count()
            self.take()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise too_costly(f"an expression is nested at most {MAX_DEPTH} deep")
            operand = self.unary()
            self.depth -= 1
            return Unary(word.text, operand, word.at)
        return self.path()

    def path(self) -> Tree:
        tree = self.term()
        chain = 0
        while True:
            at = self.word.at
            if self.takes("."):
                tree = self.invocation(tree)
            elif self.takes("["):
                self.count()
                tree = Indexer(tree, self.expression(0), at)
                self.need("]")
            else:
                return tree
            chain = _longer(chain)

    def invocation(self, source: Tree | None) -> Tree:
        self.count()
        word = self.take()
        if word.kind == "special":
            raise misread("it can stand only at the beginning of a path", word.at)
        if word.kind not in {"name", "quoted"}:
            raise misread("a name is missing", word.at)
        if self.takes("("):
            return Call(source, word.text, self.arguments(), word.at)
        return Member(source, word.text, word.at)

    def arguments(self) -> tuple[Tree, ...]:
        if self.takes(")"):
            return ()
        found = [self.expression(0)]
        while self.takes(","):
            found.append(self.expression(0))
        self.need(")")
        return tuple(found)

    def term(self) -> Tree:
        word = self.word
        if word.kind in {"quoted", "name"} and word.text not in _CONSTANTS:
            if word.kind == "name" and word.text in _KEYWORDS:
                raise misread("an operator has nothing before it", word.at)
            return self.invocation(None)
        self.count()
        self.take()
        if word.kind == "sign" and word.text == "(":
            tree = self.expression(0)
            self.need(")")
            return tree
        if word.kind == "sign" and word.text == "{":
            self.need("}")
            return Literal(None, word.at)
        if word.kind == "variable":
            return Variable(word.text, word.at)
        if word.kind == "special":
            return Special(word.text, word.at)
        return self.literal(word)

    def literal(self, word: Word) -> Tree:
        match word.kind:
            case "name":
                return Literal(_CONSTANTS[word.text], word.at)
            case "string":
                return Literal(word.text, word.at)
            case "number":
                return Literal(self.number(word.text), word.at)
            case kind if kind in _TEMPORAL:
                return Literal(_moment(word), word.at)
        raise misread("a term is missing", word.at)

    def number(self, text: str) -> object:
        value = Decimal(text) if "." in text else int(text)
        after = self.word
        if after.kind == "string" or (after.kind == "name" and after.text in CALENDAR):
            self.take()
            return Quantity(Decimal(text), after.text, quoted=after.kind == "string")
        return value


def _longer(chain: int) -> int:
    if chain >= MAX_CHAIN:
        raise too_costly(f"a chain has at most {MAX_CHAIN} parts")
    return chain + 1


def _moment(word: Word) -> Temporal:
    kind = {"date": "Date", "datetime": "DateTime", "time": "Time"}[word.kind]
    text = word.text[1:]
    try:
        return temporal(kind, text.removeprefix("T") if kind == "Time" else text)
    except Misuse:
        raise misread("there is no such date or time", word.at) from None
