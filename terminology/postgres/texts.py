"""Texts as the search index has them.

Every word stands in `words` with its first letter and its first two letters beside it, marked
by a dot, so that a search for one or two letters looks up one entry and not thousands.

https://hl7.org/fhir/R4/valueset-operation-expand.html (parameter filter)
"""

from functools import lru_cache

from terminology.words import fold, words

MARK = "."
MARKED = 2
MAX_WORD = 200
"""Characters of a word that count: an entry of the index has a limit."""


def index_text(text: str) -> tuple[str, str]:
    """The columns `folded` and `words` of a text to search."""
    folded = fold(text)
    return folded, " ".join(map(_entries, dict.fromkeys(words(folded))))


@lru_cache(1 << 16)
def _entries(word: str) -> str:
    """A word with its marked beginnings (what repeats falls out of the index by itself)."""
    word = word[:MAX_WORD]
    return " ".join((word, *(MARK + word[:size] for size in range(1, MARKED + 1))))


def query_text(typed: str) -> str | None:
    """The tsquery of what was typed; None when it has no word."""
    asked = dict.fromkeys(word[:MAX_WORD] for word in words(fold(typed)))
    return " & ".join(map(_lexeme, asked)) or None


def _lexeme(word: str) -> str:
    # Words are of letters, marks, digits and underscores: nothing here needs escaping.
    return f"'{MARK}{word}'" if len(word) <= MARKED else f"'{word}':*"
