"""Texts that an expression constraint searches.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

import re
from collections.abc import Iterable

from terminology.ecl.fragment import Fragment, joined, sql
from terminology.ecl.syntax import Search

_SPECIAL = re.compile(r"([^\w\s])")
_PIECE = re.compile(r'\\(["\\*])|(\*)|([%_\\])|(.)', re.DOTALL)


def any_match(column: Fragment, sought: Iterable[object]) -> Fragment:
    """The condition that a text is one of those sought; nothing else may be among them."""
    tests = [sql("({})", _match(column, one)) for one in sought if isinstance(one, Search)]
    return sql("({})", joined(" OR ", tests))


def _match(column: Fragment, sought: Search) -> Fragment:
    """Case is no matter; words stand in any order, a pattern is the whole text."""
    if sought.kind == "wild":
        return sql("{} ILIKE {}", column, _pattern(sought.text))
    if sought.kind == "exact":
        return sql("{} = {}", column, sought.text)
    # \m is where a word begins; what a user writes is escaped, so there is no pattern of theirs.
    words = [r"(^|\m|\s)" + _SPECIAL.sub(r"\\\1", word) for word in sought.text.split()]
    return joined(" AND ", [sql("{} ~* {}", column, word) for word in words])


def _pattern(text: str) -> str:
    """The pattern of LIKE for one with `*`."""

    def piece(found: re.Match[str]) -> str:
        escaped, star, special, other = found.groups()
        if star:
            return "%"
        plain: str = escaped or special or other
        return f"\\{plain}" if plain in "%_\\" else plain

    return _PIECE.sub(piece, text)
