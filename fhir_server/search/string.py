"""String parameters.

https://hl7.org/fhir/R4/search.html#string
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition, Row, Terms, Test, either
from fhir_server.search.context import Context
from fhir_server.search.interval import Groups
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer
from fhir_server.search.terms import term

TABLE = "idx_string"
MODIFIERS: frozenset[str] = frozenset({"exact", "contains", "text"})

INDEXED = 200
"""Characters of a value that the B-tree holds."""

_HIGHEST = "\U0010ffff"
LATIN_MARKS = range(0x0300, 0x0370)
NUKTA = 0x093C
_PLANES = 0x20000  # the two planes of Unicode that hold punctuation
# Only the marks of Latin, Greek and Cyrillic letters go: the vowel signs and the
# virama of Devanagari, Tamil or Gurmukhi are marks too, and part of the spelling.
_FOLDING: dict[int, str | None] = {
    code: " " for code in range(_PLANES) if unicodedata.category(chr(code)).startswith("P")
}
_FOLDING.update(dict.fromkeys([*LATIN_MARKS, NUKTA]))


@lru_cache(maxsize=1 << 14)
def normalise(text: str) -> str:
    """Return `text` as strings are compared: without case, accents and punctuation."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    folded = " ".join(text.translate(_FOLDING).casefold().split())
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


def _write(rows: Rows, parameter: Parameter, value: str) -> None:
    """Index one value under its normalised and its exact form."""
    _write_folded(rows, parameter, value)
    rows.add(parameter, "exact", unicodedata.normalize("NFC", value))


def _write_folded(rows: Rows, parameter: Parameter, value: str) -> None:
    rows.ranges[TABLE].add(row(parameter.id, normalise(value)))


def row(param: int, value: str) -> tuple[int, str, str]:
    """Return the row of a normalised value."""
    return (param, value[:INDEXED], value if len(value) > INDEXED else "")


def _write_family(rows: Rows, parameter: Parameter, value: str) -> None:
    """Index a family name and each of its words ("van der Berg" is found by Berg)."""
    _write(rows, parameter, value)
    words = value.split()
    for word in words[1:]:
        _write_folded(rows, parameter, word)


def _parts(value: dict[str, Any], *names: str) -> list[str]:
    """Return the strings under these members, repeating or not."""
    found: list[str] = []
    for name in names:
        part = value.get(name)
        if isinstance(part, str):
            found.append(part)
        elif part:
            found.extend(p for p in part if p is not None)
    return found


def _write_name(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    for part in _parts(value, "text", "given", "prefix", "suffix"):
        _write(rows, parameter, part)
    family = value.get("family")
    if family is not None:
        _write_family(rows, parameter, family)
        _write_folded(rows, parameter, " ".join([*_parts(value, "given"), family]))


def _write_address(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    for part in _parts(value, "text", "line", "city", "district", "state", "postalCode", "country"):
        _write(rows, parameter, part)


WRITERS: Mapping[str, Writer] = {
    "string": _write,
    "markdown": _write,
    "HumanName": _write_name,
    "HumanName.family": _write_family,
    "Address": _write_address,
}


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that the parameter has a value."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    values = [clause.unescape(value) for value in clause.values]
    param = clause.parameter.id
    if clause.modifier == "exact":
        exact = (unicodedata.normalize("NFC", value) for value in values)
        return Terms(tuple(term(context.secret, param, "exact", value) for value in exact))
    folded = [normalise(value) for value in values]
    if not all(folded):
        raise clause.refuse("The value has no letter or digit to search by.")
    tests = _TESTS[clause.modifier]
    return either([Row(TABLE, param, tests(value)) for value in folded])


def starting(value: str) -> Groups:
    """Return the tests of values that start with `value`."""
    head = value[:INDEXED]
    groups: Groups = ((Test("value", ">=", head),), (Test("value", "<", head + _HIGHEST),))
    return (*groups, (Test("whole", "like", f"{_literal(value)}%"),)) if value != head else groups


def containing(value: str) -> Groups:
    """Return the tests of values in which `value` stands."""
    pattern = f"%{_literal(value)}%"
    return ((Test("value", "like", pattern), Test("whole", "like", pattern)),)


def equal(value: str) -> Groups:
    """Return the tests of values that are `value`."""
    head = value[:INDEXED]
    return ((Test("value", "=", head),), (Test("whole", "=", value if value != head else ""),))


def ending(value: str) -> Groups:
    """Return the tests of values that end with `value`."""
    pattern = f"%{_literal(value)}"
    whole = Test("whole", "like", pattern)
    # The first column of a long value is only its beginning, whose end means nothing.
    return ((Test("value", "like", pattern), whole), (Test("whole", "=", ""), whole))


def beginning(value: str) -> Groups:
    """Return the tests of values of which some word, and what follows it, starts with `value`."""
    patterns = (f"{_literal(value)}%", f"% {_literal(value)}%")
    return (tuple(Test(column, "like", one) for column in ("value", "whole") for one in patterns),)


_TESTS = {"": starting, "contains": containing, "text": beginning}


def _literal(value: str) -> str:
    """Return `value` with the wildcards of LIKE escaped."""
    return value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
