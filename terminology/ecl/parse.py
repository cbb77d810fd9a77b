"""Expression constraints read from text: ECL 2.2, brief and long syntax.

A descent by hand, without a second try anywhere: what a round bracket opens is told by the
sign behind the one that closes it.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Callable
from typing import TypeVar

from terminology.ecl import tokens
from terminology.ecl.cursor import Cursor
from terminology.ecl.parse_filters import Readers, parse_filters, parse_history
from terminology.ecl.syntax import (
    Alternate,
    Attribute,
    Combined,
    Compound,
    Dotted,
    Expression,
    Group,
    MemberOf,
    Reference,
    Refined,
    Refinement,
    Search,
    Sub,
    Value,
    Wildcard,
)

Part = TypeVar("Part")

# Longer signs before those that they begin with.
OPERATORS = ("<<!", "<<", "<!", "<", ">>!", ">>", ">!", ">", "!!>", "!!<")
WORDS = {
    "descendantof": "<",
    "descendantorselfof": "<<",
    "childof": "<!",
    "childorselfof": "<<!",
    "ancestorof": ">",
    "ancestororselfof": ">>",
    "parentof": ">!",
    "parentorselfof": ">>!",
    "top": "!!>",
    "bottom": "!!<",
}
COMPARISONS = ("!=", "<>", "<=", ">=", "=", "<", ">")
EQUALITIES = frozenset({"=", "!="})


def parse(text: str) -> Expression:
    """The expression that a text says; InvalidEcl, or CostlyEcl for one that is too large."""
    cursor = Cursor(text)
    found = _expression(cursor)
    if cursor.at < len(cursor.text):
        cursor.fail("the expression ends here, but the text goes on")
    return found


def _expression(cursor: Cursor) -> Expression:
    first = _sub(cursor)
    if cursor.take(":"):
        return Refined(first, _refinement(cursor, _refinement_part))
    if cursor.sees("."):
        return Dotted(first, tuple(_dotted(cursor)))
    operator, parts = _joined(cursor, first, _sub, ("and", "or", "minus"))
    if operator is None:
        return first
    if operator == "minus" and len(parts) > 2:  # noqa: PLR2004 - one from another
        cursor.fail("MINUS after MINUS needs brackets")
    return Compound(operator, tuple(parts))


def _dotted(cursor: Cursor) -> list[Sub]:
    found = []
    while cursor.take("."):
        found.append(_sub(cursor))
    return found


def _joined(
    cursor: Cursor, first: Part, read: Callable[[Cursor], Part], words: tuple[str, ...]
) -> tuple[str | None, list[Part]]:
    """What one connective joins; InvalidEcl where another follows without brackets."""
    parts, operator = [first], None
    while True:
        at = cursor.at
        found = "and" if cursor.take(",") else cursor.keyword(*words)
        if found is None:
            return operator, parts
        if operator not in (None, found):
            cursor.at = at
            cursor.fail(f"{(operator or '').upper()} and {found.upper()} need brackets")
        operator = found
        parts.append(read(cursor))


def _sub(cursor: Cursor) -> Sub:
    operator = cursor.take(*OPERATORS) or WORDS.get(cursor.keyword(*WORDS) or "")
    member = _member(cursor)
    focus = _focus(cursor)
    filters = parse_filters(cursor, READERS)
    return Sub(focus, operator, member, filters, parse_history(cursor, READERS))


def _member(cursor: Cursor) -> MemberOf | None:
    if not (cursor.take("^") or cursor.keyword("memberof")):
        return None
    if not cursor.take("["):
        return MemberOf()
    fields = ["*"] if cursor.take("*") else [_field(cursor)]
    while cursor.take(","):
        fields.append(_field(cursor))
    cursor.expect("]", "the list of fields is not ended by ]")
    return MemberOf(tuple(fields))


def _field(cursor: Cursor) -> str:
    name = cursor.text[cursor.at : cursor.at + len(cursor.word())]
    if not name:
        cursor.fail("the name of a field is missing")
    cursor.keyword(name.lower())
    return name


def _focus(cursor: Cursor) -> Reference | Wildcard | Alternate | Expression:
    if cursor.take("("):
        return _bracketed(cursor, _expression)
    if cursor.sees("*") or cursor.word() == "any":
        cursor.count()
        cursor.take("*") or cursor.keyword("any")
        return Wildcard()
    return tokens.alternate(cursor) or tokens.reference(cursor)


def _bracketed(cursor: Cursor, read: Callable[[Cursor], Part]) -> Part:
    """What stands in the bracket that was just opened."""
    cursor.descend()
    found = read(cursor)
    cursor.expect(")", "a bracket is not closed")
    cursor.ascend()
    return found


def _refinement(cursor: Cursor, read: Callable[[Cursor], Refinement]) -> Refinement:
    first = read(cursor)
    operator, parts = _joined(cursor, first, read, ("and", "or"))
    return first if operator is None else Combined(operator, tuple(parts))


def _refinement_part(cursor: Cursor) -> Refinement:
    """An attribute, a group, or refinements in brackets."""
    if _opens_refinement(cursor):
        cursor.take("(")
        return _bracketed(cursor, lambda inner: _refinement(inner, _refinement_part))
    low, high = _cardinality(cursor)
    if cursor.take("{"):
        attributes = _refinement(cursor, _attribute_part)
        cursor.expect("}", "a group is not ended by }")
        return Group(attributes, low, high)
    return _attribute(cursor, low, high)


def _attribute_part(cursor: Cursor) -> Refinement:
    """An attribute, or attributes in brackets: inside a group."""
    if _opens_refinement(cursor):
        cursor.take("(")
        return _bracketed(cursor, lambda inner: _refinement(inner, _attribute_part))
    return _attribute(cursor, *_cardinality(cursor))


def _opens_refinement(cursor: Cursor) -> bool:
    """True where a bracket opens refinements, and not the name of an attribute.

    A name is followed by a comparison or a filter.
    """
    return cursor.sees("(") and cursor.after_bracket() not in {*"=!<>{"}


def _cardinality(cursor: Cursor) -> tuple[int, int | None]:
    at = cursor.at
    if not cursor.take("["):
        return 1, None
    low = tokens.count(cursor)
    if not (cursor.take("..") or cursor.keyword("to")):
        cursor.fail("a cardinality needs .. between its numbers")
    high = None if cursor.take("*") or cursor.keyword("many") else tokens.count(cursor)
    cursor.expect("]", "a cardinality is not ended by ]")
    if high is not None and high < low:
        cursor.at = at
        cursor.fail("a cardinality is the wrong way round")
    return low, high


def _attribute(cursor: Cursor, low: int, high: int | None) -> Attribute:
    at = cursor.at
    cursor.count()
    reverse = cursor.keyword("r", "reverseof") is not None
    name = _sub(cursor)
    operator = comparison(cursor)
    value = _value(cursor, operator)
    return Attribute(name, operator, value, low, high, reverse, at)


def comparison(cursor: Cursor) -> str:
    """The comparison that comes next, `!=` for each way to write it."""
    if cursor.keyword("not"):
        cursor.expect("=", "NOT is followed by =")
        return "!="
    found = cursor.take(*COMPARISONS)
    if found is None:
        cursor.fail("a comparison is missing")
    return "!=" if found == "<>" else found


def _value(cursor: Cursor, operator: str) -> Value:
    if cursor.sees("#"):
        return tokens.number(cursor)
    if operator not in EQUALITIES:
        cursor.fail("only numbers have an order: a # is missing")
    if cursor.word() in {"true", "false"}:
        return cursor.keyword("true", "false") == "true"
    if _is_search(cursor):
        return (tokens.search(cursor),)
    if cursor.sees("(") and _opens_searches(cursor):
        return _searches(cursor)
    return _sub(cursor)


def _is_search(cursor: Cursor) -> bool:
    return cursor.sees('"') or cursor.word() in {"match", "wild", "exact"}


def _opens_searches(cursor: Cursor) -> bool:
    at = cursor.at
    cursor.take("(")
    found = _is_search(cursor)
    cursor.at = at
    return found


def _searches(cursor: Cursor) -> tuple[Search, ...]:
    """Texts in brackets, one of which is enough."""
    cursor.take("(")
    found = [tokens.search(cursor)]
    while not cursor.take(")"):
        found.append(tokens.search(cursor))
    return tuple(found)


READERS = Readers(_expression, _sub, comparison, _value, _searches)
