"""The words of an expression.

https://hl7.org/fhirpath/N1/grammar.html
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from fhir_server.fhirpath.refusal import misread

_WORD: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n\r]*|/\*(?:[^*]|\*(?!/))*\*/)
  | (?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
  | (?P<datetime>@\d{4}(?:-\d\d(?:-\d\d)?)?T
        (?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
  | (?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<variable>%(?:[A-Za-z_][\w-]*|`(?:[^`\\]|\\.)*`|'(?:[^'\\]|\\.)*'))
  | (?P<quoted>`(?:[^`\\]|\\.)*`)
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {sign: sign for sign in "`'\"\\/"}


class Word(NamedTuple):
    """A word: its kind, its text without quotes and escapes, where it begins."""

    kind: str
    text: str
    at: int


def words(expression: str) -> Iterator[Word]:
    """Yield the words, last one of kind `end`; BadRequest names where none begins."""
    at = 0
    while at < len(expression):
        found = _WORD.match(expression, at)
        if found is None or found.lastgroup is None:
            raise misread("no word of FHIRPath begins here", at)
        kind, text = found.lastgroup, found[0]
        if kind != "space":
            yield Word(kind, _plain(kind, text, at), at)
        at = found.end()
    yield Word("end", "", at)


def _plain(kind: str, text: str, at: int) -> str:
    if kind in {"string", "quoted"}:
        return _unescaped(text[1:-1], at)
    if kind == "variable":
        return _unescaped(text[2:-1], at) if text[1] in "`'" else text[1:]
    return text


def _unescaped(text: str, at: int) -> str:
    def plain(found: re.Match[str]) -> str:
        code = found[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise misread("no such escape in a string", at)
        return _ESCAPES[code]

    return _ESCAPE.sub(plain, text) if "\\" in text else text
