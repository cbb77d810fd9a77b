"""Words of a text for typing ahead: case and accents folded, vowel signs and viramas kept.

https://hl7.org/fhir/R4/valueset-operation-expand.html (parameter filter)
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from terminology.concepts import Concept
from terminology.languages import covers

_WORD = re.compile(r"\w+")

# Combining classes (https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values).
_NUKTA = 7
_POINTS = range(10, 37)
_ABOVE_OR_BELOW = 200


def fold(text: str) -> str:
    """The text without case, accents, nuktas, Arabic and Hebrew vowel points, and joiners."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if _is_spelling(char))


def words(folded: str) -> Sequence[str]:
    """The words of a folded text: letters, the marks that belong to them, and digits."""
    if folded.isascii():
        return _WORD.findall(folded)
    return "".join(char if _is_of_word(char) else " " for char in folded).split()


@lru_cache(1 << 14)
def _is_spelling(char: str) -> bool:
    place = unicodedata.combining(char)
    beside = place in (1, _NUKTA) or place in _POINTS or place >= _ABOVE_OR_BELOW
    return not beside and unicodedata.category(char) != "Cf"


@lru_cache(1 << 14)
def _is_of_word(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


def searched(concept: Concept, languages: tuple[str, ...]) -> list[str]:
    """The texts of a concept to search: those of no language, or of one of the languages."""
    return [concept.display or ""] + [
        one.value
        for one in concept.designations
        if not languages or one.language is None or any(covers(w, one.language) for w in languages)
    ]


def relevance(wanted: str, texts: Iterable[str]) -> tuple[int, int] | None:
    """How well texts answer the words typed, low is better; None when no text has them all.

    First texts equal to the words, then those that begin with them, then shorter ones.
    """
    phrase = fold(wanted).strip()
    asked = words(phrase)
    best: tuple[int, int] | None = None
    for text in texts:
        folded = fold(text)
        present = words(folded)
        if all(any(word.startswith(typed) for word in present) for typed in asked):
            place = 0 if folded == phrase else 1 if folded.startswith(phrase) else 2
            score = (place, len(folded))
            best = score if best is None else min(best, score)
    return best
