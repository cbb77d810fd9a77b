"""Words of a text for typing ahead: case and accents folded.

https://hl7.org/fhir/R4/valueset-operation-expand.html (parameter filter)
"""

import re
import unicodedata
from collections.abc import Iterable

from terminology.concepts import Concept
from terminology.languages import covers

_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """The text without case and accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


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
    words = _WORD.findall(phrase)
    best: tuple[int, int] | None = None
    for text in texts:
        folded = fold(text)
        present = _WORD.findall(folded)
        if all(any(word.startswith(typed) for word in present) for typed in words):
            place = 0 if folded == phrase else 1 if folded.startswith(phrase) else 2
            score = (place, len(folded))
            best = score if best is None else min(best, score)
    return best
