"""Requested languages: weighted ranges, matched by prefix.

https://www.rfc-editor.org/rfc/rfc4647#section-3.3.1
"""

import re
from dataclasses import dataclass

_RANGE = re.compile(
    r"(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:\s*;\s*q\s*=\s*(?P<q>[01](?:\.\d{0,3})?))?"
)


@dataclass(frozen=True, slots=True)
class Languages:
    """Languages asked for: the text as received, the ranges from the most wanted down."""

    text: str
    tags: tuple[str, ...]
    fallback: bool = True
    """False when `*; q=0` forbids texts in any other language."""


def parse(text: str) -> Languages:
    """Languages of an Accept-Language text; ValueError where it is none."""
    weighted: list[tuple[float, str]] = []
    fallback = True
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise ValueError("not a list of language ranges")
        weight = float(found["q"]) if found["q"] else 1.0
        if found["tag"] == "*":
            fallback = weight > 0
        elif weight > 0:
            weighted.append((weight, found["tag"]))
    weighted.sort(key=lambda pair: -pair[0])
    return Languages(text=text, tags=tuple(tag for _, tag in weighted), fallback=fallback)


def covers(wanted: str, tag: str | None) -> bool:
    """True when the range covers the tag: `de` covers `de` and `de-CH`."""
    if tag is None:
        return False
    wanted, tag = wanted.lower(), tag.lower()
    return tag == wanted or tag.startswith(wanted + "-")


def rank(languages: Languages, tag: str | None) -> int | None:
    """Position of the tag among the wanted (0 = best, exact before prefix); None = not wanted."""
    for position, wanted in enumerate(languages.tags):
        if covers(wanted, tag):
            exact = tag is not None and tag.lower() == wanted.lower()
            return 2 * position + (0 if exact else 1)
    return None
