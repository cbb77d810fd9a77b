"""Filters and history supplements of an expression constraint.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from terminology.ecl import tokens
from terminology.ecl.cursor import Cursor
from terminology.ecl.syntax import (
    Condition,
    Dialect,
    Expression,
    Filter,
    History,
    Reference,
    Search,
    Sub,
    Value,
)

Item = TypeVar("Item")

PROFILES = {"min": "MIN", "mod": "MOD", "max": "MAX"}
NAMES = {
    "C": frozenset(
        {"definitionstatus", "definitionstatusid", "moduleid", "effectivetime", "active"}
    ),
    "D": frozenset(
        {
            "term",
            "language",
            "type",
            "typeid",
            "dialect",
            "dialectid",
            "moduleid",
            "effectivetime",
            "active",
            "id",
        }
    ),
}
TOKENS = {
    "type": frozenset({"syn", "fsn", "def"}),
    "definitionstatus": frozenset({"primitive", "defined"}),
    "language": None,
}
ACCEPTABILITY = {
    "accept": "acceptable",
    "acceptable": "acceptable",
    "prefer": "preferred",
    "preferred": "preferred",
}
# 900000000000549004 |Acceptable| and 900000000000548007 |Preferred|.
ACCEPTABILITY_IDS = {"900000000000549004": "acceptable", "900000000000548007": "preferred"}

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_KIND = re.compile(r"[CcDdMm](?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Readers:
    """What filters read of the rest of the language."""

    expression: Callable[[Cursor], Expression]
    sub: Callable[[Cursor], Sub]
    comparison: Callable[[Cursor], str]
    value: Callable[[Cursor, str], Value]
    searches: Callable[[Cursor], tuple[Search, ...]]


def parse_filters(cursor: Cursor, readers: Readers) -> tuple[Filter, ...]:
    """The filters that follow; a history supplement is left where it is."""
    found = []
    while cursor.sees("{{") and not _is_history(cursor):
        cursor.take("{{")
        kind = cursor.match(_KIND)
        cursor.skip()
        letter = kind[0].upper() if kind else "D"
        conditions = [_condition(cursor, letter, readers)]
        while cursor.take(","):
            conditions.append(_condition(cursor, letter, readers))
        cursor.expect("}}", "a filter is not ended by }}")
        found.append(Filter(letter, tuple(conditions)))
    return tuple(found)


def _is_history(cursor: Cursor) -> bool:
    at = cursor.at
    cursor.take("{{")
    found = cursor.sees("+")
    cursor.at = at
    return found


def parse_history(cursor: Cursor, readers: Readers) -> History | None:
    """The history supplement that follows, or None."""
    if not cursor.sees("{{"):
        return None
    cursor.take("{{")
    cursor.expect("+", "a filter is not allowed here")
    if cursor.keyword("history") is None:
        cursor.fail("HISTORY is missing")
    found = _history(cursor, readers)
    cursor.expect("}}", "a history supplement is not ended by }}")
    if cursor.sees("{{"):
        cursor.fail("nothing is allowed after a history supplement")
    return found


def _history(cursor: Cursor, readers: Readers) -> History:
    if cursor.take("-", "_"):
        word = cursor.keyword(*PROFILES)
        if word is None:
            cursor.fail("a profile of history is MIN, MOD or MAX")
        return History(PROFILES[word])
    if not cursor.take("("):
        return History("MAX")
    cursor.descend()
    subset = readers.expression(cursor)
    cursor.expect(")", "a bracket is not closed")
    cursor.ascend()
    return History(None, subset)


def _condition(cursor: Cursor, kind: str, readers: Readers) -> Condition:
    at = cursor.at
    name = cursor.word()
    known = NAMES.get(kind)
    if not name or (known is not None and name not in known):
        cursor.fail("the name of a condition is missing or unknown")
    cursor.count()
    written = cursor.text[at : at + len(name)]
    cursor.keyword(name)
    operator = readers.comparison(cursor)
    if operator not in {"=", "!="} and (name in NAMES["D"] - {"effectivetime"}):
        cursor.fail("this condition is either = or !=")
    value = _value(cursor, name, kind, operator, readers)
    return Condition(name if kind in NAMES or name in SHARED else written, operator, value, at)


def _value(cursor: Cursor, name: str, kind: str, operator: str, readers: Readers) -> Value:
    read = SHARED.get(name) or (OWN.get(name) if kind in NAMES else None)
    return read(cursor, name, readers) if read else _field_value(cursor, operator, readers)


def _field_value(cursor: Cursor, operator: str, readers: Readers) -> Value:
    """A date is a text too: what stands in an order is a date."""
    if operator not in {"=", "!="} and not cursor.sees("#"):
        return _list(cursor, tokens.time)
    return readers.value(cursor, operator)


def _active(cursor: Cursor, _: str, __: Readers) -> Value:
    quote = cursor.take('"') or ""
    found = cursor.take("1", "0", "*") or cursor.keyword("true", "false")
    if found is None:
        cursor.fail("active is 1, 0, true, false or *")
    if quote:
        cursor.expect(quote, "a text is not ended")
    return ("*",) if found == "*" else found in {"1", "true"}


def _list(cursor: Cursor, read: Callable[[Cursor], Item]) -> tuple[Item, ...]:
    """One item, or several in brackets."""
    if not cursor.take("("):
        return (read(cursor),)
    found = [read(cursor)]
    while not cursor.take(")"):
        found.append(read(cursor))
    return tuple(found)


def _times(cursor: Cursor, _: str, __: Readers) -> Value:
    return _list(cursor, tokens.time)


def _terms(cursor: Cursor, _: str, readers: Readers) -> Value:
    return readers.searches(cursor) if cursor.sees("(") else (tokens.search(cursor),)


def _ids(cursor: Cursor, _: str, __: Readers) -> Value:
    return _list(cursor, lambda inner: tokens.reference(inner).code)


def _tokens(cursor: Cursor, name: str, _: Readers) -> Value:
    return _list(cursor, lambda inner: _token(inner, name))


def _token(cursor: Cursor, name: str) -> str:
    known = TOKENS[name]
    word = cursor.word()
    if not word or (known is not None and word not in known):
        cursor.fail(f"this is no value of {name}")
    cursor.keyword(word)
    return word


def _concepts(cursor: Cursor, _: str, readers: Readers) -> Value:
    """An expression, or ids in brackets without a connective between them."""
    at = cursor.at
    if cursor.take("(") and cursor.text[cursor.at : cursor.at + 1].isdigit():
        found = [tokens.reference(cursor)]
        while cursor.text[cursor.at : cursor.at + 1].isdigit():
            found.append(tokens.reference(cursor))
        if cursor.take(")"):
            return tuple(found)
    cursor.at = at
    return readers.sub(cursor)


def _dialects(cursor: Cursor, name: str, readers: Readers) -> tuple[Dialect, ...]:
    """Dialects; what is acceptable after the whole list holds for those without."""
    if cursor.sees("("):
        found = _list(cursor, lambda inner: _dialect(inner, name, readers))
    else:
        found = (_dialect(cursor, name, readers),)
    rest = _acceptability(cursor)
    return tuple(Dialect(one.name, one.acceptability or rest) for one in found)


def _dialect(cursor: Cursor, name: str, readers: Readers) -> Dialect:
    if name == "dialectid":
        return Dialect(readers.sub(cursor), _acceptability(cursor))
    found = cursor.match(_ALIAS)
    if found is None:
        cursor.fail("the alias of a dialect is missing")
    cursor.skip()
    return Dialect(found[0].lower(), _acceptability(cursor))


def _acceptability(cursor: Cursor) -> tuple[str, ...]:
    return _list(cursor, _acceptable) if cursor.sees("(") else ()


def _acceptable(cursor: Cursor) -> str:
    word = cursor.keyword(*ACCEPTABILITY)
    if word is not None:
        return ACCEPTABILITY[word]
    found: Reference = tokens.reference(cursor)
    if found.code not in ACCEPTABILITY_IDS:
        cursor.at = found.at
        cursor.fail("this is no acceptability")
    return ACCEPTABILITY_IDS[found.code]


Reader = Callable[[Cursor, str, Readers], Value]

# How the value of a condition is read: of every filter, and of those but a member's.
SHARED: dict[str, Reader] = {"active": _active, "effectivetime": _times, "moduleid": _concepts}
OWN: dict[str, Reader] = {
    "term": _terms,
    "id": _ids,
    "type": _tokens,
    "typeid": _concepts,
    "language": _tokens,
    "dialect": _dialects,
    "dialectid": _dialects,
    "definitionstatus": _tokens,
    "definitionstatusid": _concepts,
}
