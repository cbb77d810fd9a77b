"""The smallest parts of an expression constraint: ids, terms, numbers, texts and dates.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

import re
from datetime import datetime
from decimal import Decimal

from terminology.ecl.cursor import Cursor
from terminology.ecl.syntax import Alternate, Reference, Search, Time

_ID = re.compile(r"[0-9]+")
_SCTID = re.compile(r"[1-9][0-9]{5,17}")
_TERM = re.compile(r"\|[^|]*\|")
_NUMBER = re.compile(r"#[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![0-9.])")
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}(?![0-9])")
_TEXT = re.compile(r'"((?:[^"\\]|\\["\\*])*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_ALTERNATE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)#([A-Za-z0-9._-]+)")
_QUOTED_ALTERNATE = re.compile(r'"([A-Za-z][A-Za-z0-9-]*)#([^"\\]+)"')


def reference(cursor: Cursor) -> Reference:
    """An id, perhaps with a term, which says nothing to a machine."""
    at = cursor.at
    found = cursor.match(_ID)
    if found is None:
        cursor.fail("a concept id is missing")
    if not _SCTID.fullmatch(found[0]):
        cursor.at = at
        cursor.fail("this is no concept id: one has 6 to 18 digits, the first not 0")
    cursor.count()
    _term(cursor)
    return Reference(found[0], at)


def alternate(cursor: Cursor) -> Alternate | None:
    """An identifier of another scheme, `LOINC#54486-6`; None where there is none."""
    at = cursor.at
    found = cursor.match(_QUOTED_ALTERNATE) or cursor.match(_ALTERNATE)
    if found is None:
        return None
    cursor.count()
    _term(cursor)
    return Alternate(found[1], found[2], at)


def _term(cursor: Cursor) -> None:
    cursor.skip()
    if not cursor.sees("|"):
        return
    at = cursor.at
    found = cursor.match(_TERM)
    if found is None or not found[0].strip("| \t\r\n"):
        cursor.at = at
        cursor.fail("a term has no text" if found else "a term is not ended by |")
    cursor.skip()


def number(cursor: Cursor) -> Decimal:
    """A number behind its `#`."""
    found = cursor.match(_NUMBER)
    if found is None:
        cursor.fail("a number is not well formed")
    cursor.skip()
    return Decimal(found[0][1:])


def count(cursor: Cursor) -> int:
    """A whole number of a cardinality."""
    found = cursor.match(_COUNT)
    if found is None:
        cursor.fail("a whole number is missing")
    cursor.skip()
    return int(found[0])


def quoted(cursor: Cursor) -> str:
    """A text in quotation marks, as written between them."""
    found = cursor.match(_TEXT)
    if found is None:
        cursor.fail("a text in quotation marks is missing or not ended")
    cursor.skip()
    return found[1]


def search(cursor: Cursor) -> Search:
    """`"words"`, `match:"words"` or `wild:"pat*ern"`."""
    at = cursor.at
    kind = cursor.keyword("match", "wild", "exact") or ""
    if kind:
        cursor.expect(":", "a colon is missing")
    text = quoted(cursor)
    if not text.strip():
        cursor.at = at
        cursor.fail("a text sought is empty")
    cursor.count()
    kind = kind or "match"
    return Search(kind, text if kind == "wild" else _ESCAPED.sub(r"\1", text))


def time(cursor: Cursor) -> Time:
    """`"YYYYMMDD"`, or `""` of what is not yet released."""
    at = cursor.at
    text = quoted(cursor)
    if text and not _is_date(text):
        cursor.at = at
        cursor.fail("this is no date of the form YYYYMMDD")
    return Time(text)


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return False
    return re.fullmatch("[0-9]{8}", text) is not None
