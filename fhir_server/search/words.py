"""Words of texts: how they are folded, kept with their places, and asked for.

The vectors and queries are written here and not by PostgreSQL's parser, which takes a
text apart by the locale of its database. A word is letters, marks and numbers; the signs
between them only part words, and the end of a text parts phrases.

https://www.postgresql.org/docs/current/datatype-textsearch.html
"""

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

from fhir_server.search.string import LATIN_MARKS, NUKTA

TABLE = "idx_words"
EVERYTHING = 0
"""The `param` of the row that holds the words of the whole resource."""

SIMPLE = "simple"
"""The language of those who leave words as they are."""

LONGEST_WORD = 500
"""Characters of a word; a lexeme is at most 2,046 bytes."""

MOST_WORDS = 20_000
"""Different words in one vector, which is at most 1 MB; more go into another."""

_CACHED = 200
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_ASCII = {n: chr(n).lower() if chr(n).isalnum() else " " for n in range(128)}


def words(text: str) -> Sequence[str]:
    """Return the words of a text in their order, folded."""
    return _short(text) if len(text) <= _CACHED else tuple(_split(text))


@lru_cache(maxsize=1 << 14)
def _short(text: str) -> tuple[str, ...]:
    return tuple(_split(text))


def _split(text: str) -> list[str]:
    if not text.isascii():
        text = _FOREIGN.sub(_folded_run, text)
    return [word[:LONGEST_WORD] for word in text.translate(_ASCII).split()]


def _folded_run(match: re.Match[str]) -> str:
    return _folded(match[0])


@lru_cache(maxsize=1 << 14)
def _folded(text: str) -> str:
    """Return characters beyond ASCII as they are compared, by the rules of string parameters.

    Joiners, which only choose the shape of letters, are left out.
    """
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = [_kept(character) for character in apart]
    return unicodedata.normalize("NFC", "".join(kept))


def _kept(character: str) -> str:
    code = ord(character)
    if code in LATIN_MARKS or code == NUKTA:
        return ""
    kind = unicodedata.category(character)
    if kind == "Cf":
        return ""
    return character if kind[0] in "LMN" else " "


def stemmer(language: str) -> Callable[[str], str] | None:
    """Return what makes the stem of a folded word in a Snowball language; None for `simple`."""
    if language == SIMPLE:
        return None
    stem = _snowball(language).stemWord

    @lru_cache(maxsize=1 << 16)
    def stemmed(word: str) -> str:
        found: str = stem(word)
        return found or word

    return stemmed


@cache
def _snowball(language: str) -> Any:  # noqa: ANN401  (a library without types)
    """Return a stemmer; the library takes 0.1 s to load, so only when needed."""
    return importlib.import_module("snowballstemmer").stemmer(language)


# https://www.postgresql.org/docs/current/textsearch-limitations.html
MOST_PLACES, LAST_PLACE = 255, 16_383


class Vector:
    """Words and their places, as a `tsvector` is written."""

    __slots__ = ("_end", "_places")

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._end = 0

    @property
    def full(self) -> bool:
        """Whether what is to come belongs into another vector."""
        return len(self._places) >= MOST_WORDS

    @property
    def empty(self) -> bool:
        """Whether there is no word."""
        return not self._places

    def add(self, found: Iterable[str], weight: str = "") -> None:
        """Add the words of one text, behind a gap that no phrase crosses."""
        places, end = self._places, self._end
        for word in found:
            end += 1
            known = places.get(word)
            if known is None:
                places[word] = f"{min(end, LAST_PLACE)}{weight}"
            elif end <= LAST_PLACE and known.count(",") < MOST_PLACES - 1:
                places[word] = f"{known},{end}{weight}"
        self._end = end + 1

    def literal(self) -> str:
        """Return the vector as text, empty without words."""
        return " ".join([f"'{word}':{at}" for word, at in self._places.items()])


def under(param: int, text: str) -> list[str]:
    """Return the words of one of a parameter's texts, marked as that parameter's."""
    mark = f"{param:x}:"
    return [mark + word for word in words(text)]


def phrase(found: Sequence[str], label: str = "") -> str:
    """Return the `tsquery` of words that follow one another; `label` as in `'word':label`."""
    colon = f":{label}" if label else ""
    return " <-> ".join(f"'{word}'{colon}" for word in found)


def beginning(found: Sequence[str], label: str = "") -> str:
    """Return the `tsquery` of words that follow one another, the last of them only begun."""
    last = f"'{found[-1]}':*{label}"
    return f"({phrase(found[:-1], label)} <-> {last})" if len(found) > 1 else last
