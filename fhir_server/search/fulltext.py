"""`_text` and `_content`: words in the narrative, or in the whole, of a resource.

https://hl7.org/fhir/R4/search.html#content

    value   = either { "," either }
    either  = all { "OR" all }
    all     = one { ["AND"] one }
    one     = "NOT" one / "(" value ")" / word / word "*" / quoted words

The operators are read in either case. A comma is an OR of its own, as in any
parameter; the signs that FHIR escapes are escaped here too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.clause import ESCAPE
from fhir_server.search.condition import Condition, Not, Words
from fhir_server.search.context import Context
from fhir_server.search.words import beginning, phrase, stemmer, words

PARAMETERS = frozenset({"_text", "_content"})
"""Searches without an expression, by the words of a text."""

_NARRATIVE = "A"


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow one another; `open`: the last may go on."""

    words: tuple[str, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Without:
    """The text does not hold."""

    part: "Text"


@dataclass(frozen=True, slots=True)
class Joined:
    """All parts hold (`&`), or at least one of them (`|`)."""

    sign: Literal["&", "|"]
    parts: "tuple[Text, ...]"


Text: TypeAlias = Phrase | Without | Joined


def condition(
    context: Context, code: str, name: str, value: str, *, nodes: int, depth: int
) -> Condition:
    """Return the condition of `_text` or `_content`; `name` as the client wrote it.

    BadRequest names the character at fault, and the cap where there are more than `nodes`
    words, operators and brackets, or brackets deeper than `depth`. What holds without any
    word is the negation of what does not, as a resource without a text has no row.
    """
    if not context.full_text:
        raise NotSupported("Full-text search is switched off.", expression=name)
    found = parse(name, value, nodes, depth)
    if _holds_of_nothing(found):
        return Not(Words(_query(context, code, Without(found))))
    return Words(_query(context, code, found))


def ranking(conditions: Sequence[Condition]) -> str:
    """Return the `tsquery` by which matches are ranked, empty where all are alike."""
    found = [one.query for one in conditions if isinstance(one, Words) and not one.param]
    return " & ".join(f"({query})" for query in found)


def _holds_of_nothing(found: Text) -> bool:
    """Return whether a text without words passes."""
    match found:
        case Phrase():
            return False
        case Without(part):
            return not _holds_of_nothing(part)
        case Joined("&", parts):
            return all(map(_holds_of_nothing, parts))
        case Joined(_, parts):
            return any(map(_holds_of_nothing, parts))


def _query(context: Context, code: str, found: Text) -> str:
    label = _NARRATIVE if code == "_text" else ""
    stem = stemmer(context.text_language)
    match found:
        case Phrase(asked, open=True):
            return f"({beginning(asked, label)})"
        case Phrase(asked):
            return f"({phrase([stem(one) for one in asked] if stem else asked, label)})"
        case Without(Without(part)):
            return _query(context, code, part)
        case Without(part):
            return f"!{_query(context, code, part)}"
        case Joined(sign, parts):
            return f"({f' {sign} '.join(_query(context, code, part) for part in parts)})"


def parse(name: str, value: str, nodes: int, depth: int) -> Text:
    """Return the value of a parameter as a tree."""
    reader = _Reader(name, value, nodes)
    found = _value(reader, depth)
    if reader.place < len(reader.tokens):
        raise reader.refuse("A bracket closes that did not open.")
    return found


# A sign inside of a word belongs to it ("x-ray", "5.4"); it ends at what has a meaning here.
_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*+(?P<end>"?))|(?P<sign>[(),])'
    r'|(?P<word>(?:[^\s"(),\\]|\\.)++)|(?P<other>\\))',
    re.DOTALL,
)
_OPERATORS = frozenset({"and", "or", "not"})


class _Reader:
    """A value taken apart, and how far it has been read; places are counted from 1."""

    def __init__(self, name: str, value: str, nodes: int) -> None:
        self.name = name
        self.tokens: list[tuple[str, str, int]] = []
        self.place = 0
        self.end = len(value) + 1
        for match in _TOKEN.finditer(value.rstrip()):
            kind = cast("str", match.lastgroup if match.lastgroup != "end" else "quoted")
            text, at = match[kind], match.start(kind) + 1
            if kind == "other" or (kind == "quoted" and not match["end"]):
                text = "A quotation has no end." if kind == "quoted" else "A backslash ends it."
                raise self._refusal(text, at)
            if kind == "word" and text.casefold() in _OPERATORS:
                kind, text = "operator", text.casefold()
            self.tokens.append((kind, text, at))
        if len(self.tokens) > nodes:
            raise BadRequest("The text has too many parts.", code="too-costly", expression=name)

    def _refusal(self, text: str, place: int) -> BadRequest:
        return BadRequest(f"{text} (character {place})", code="value", expression=self.name)

    def refuse(self, text: str) -> BadRequest:
        """Return the refusal of what stands here."""
        ended = self.place >= len(self.tokens)
        return self._refusal(text, self.end if ended else self.tokens[self.place][2])

    def peek(self) -> tuple[str, str]:
        """Return kind and text of what stands here; empty at the end."""
        return self.tokens[self.place][:2] if self.place < len(self.tokens) else ("", "")

    def takes(self, kind: str, text: str) -> bool:
        """Return whether this stands here, and pass over it."""
        found = self.peek() == (kind, text)
        self.place += found
        return found


def _value(reader: _Reader, depth: int) -> Text:
    found = [_either(reader, depth)]
    while reader.takes("sign", ","):
        found.append(_either(reader, depth))
    return _joined("|", found)


def _either(reader: _Reader, depth: int) -> Text:
    found = [_all(reader, depth)]
    while reader.takes("operator", "or"):
        found.append(_all(reader, depth))
    return _joined("|", found)


def _all(reader: _Reader, depth: int) -> Text:
    found = [_one(reader, depth)]
    while True:
        named = reader.takes("operator", "and")
        if not named and reader.peek() in _ENDS:
            return _joined("&", found)
        found.append(_one(reader, depth))


_ENDS = frozenset({("", ""), ("operator", "or"), ("sign", ")"), ("sign", ",")})


def _joined(sign: Literal["&", "|"], parts: Sequence[Text]) -> Text:
    return parts[0] if len(parts) == 1 else Joined(sign, tuple(parts))


def _one(reader: _Reader, depth: int) -> Text:
    negated = False
    while reader.takes("operator", "not"):
        negated = not negated
    found = _plain(reader, depth)
    return Without(found) if negated else found


def _plain(reader: _Reader, depth: int) -> Text:
    kind, text = reader.peek()
    if (kind, text) == ("sign", "("):
        if not depth:
            raise reader.refuse("The brackets are nested too deeply.")
        reader.place += 1
        found = _value(reader, depth - 1)
        if not reader.takes("sign", ")"):
            raise reader.refuse("Expected ')'.")
        return found
    if kind not in ("word", "quoted"):
        raise reader.refuse("Expected a word, a quotation or '('.")
    asked = tuple(words(_unescaped(reader, text)))
    if not asked:
        raise reader.refuse("Expected a letter or a digit.")
    reader.place += 1
    return Phrase(asked, open=kind == "word" and text.endswith("*"))


def _unescaped(reader: _Reader, text: str) -> str:
    if any(found not in ',$|\\"' or not found for found in ESCAPE.findall(text)):
        raise reader.refuse(r"A backslash escapes only a comma, '$', '|', '\"' or a backslash.")
    return ESCAPE.sub(r"\1", text)
