"""The leaves of a resource by their exact paths, and how well one fits a leaf of a message."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from adapters.hl7.mapping.context import Json

_NO_DIGIT: Final = re.compile(r"\D+")
_FEWEST_DIGITS: Final = 4
_SHORTEST_PART: Final = 2

SAME, ALIKE, PART, NONE = 4, 3, 2, 0
"""How well values fit: equal, the same number or time, one is in the other, not at all."""


@dataclass(frozen=True, slots=True)
class Element:
    """A leaf of a resource: its path with list positions from 0, and the same without.

    `url` is the last part of the URL of the extension in which it stands, "" outside.
    """

    path: str
    plain: str
    value: object
    url: str = ""


def elements(resource: Json) -> list[Element]:
    """Return the leaves of a resource; those of contained ones go by both types."""
    kind = str(resource["resourceType"])
    return list(_under(resource, kind, kind, ""))


def _under(node: Any, path: str, plain: str, url: str) -> Iterator[Element]:  # noqa: ANN401
    if isinstance(node, dict):
        url = str(node.get("url", "")).rpartition("/")[2] or url if "url" in node else url
        for name, value in node.items():
            if name != "resourceType":
                yield from _member(name, value, (path, plain, url))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _under(value, f"{path}[{place}]", plain, url)
    else:
        yield Element(path, plain, node, url)


def _member(name: str, value: Any, where: tuple[str, str, str]) -> Iterator[Element]:  # noqa: ANN401
    path, plain, url = where
    if name == "contained" and isinstance(value, list):
        for place, one in enumerate(value):
            yield from _under(one, f"{path}.contained[{place}]", str(one["resourceType"]), url)
        return
    yield from _under(value, f"{path}.{name}", f"{plain}.{name.removeprefix('_')}", url)


def candidates(found: Sequence[Element], path: str, text: str) -> list[Element]:
    """Return the elements that a mapping may have meant by a path.

    These are the one that has the path, those below it, those that it names without
    their type (`Patient.deceased` is `deceasedBoolean` too), and where there are none, as
    an extension or a choice lies between, those under its beginning that fit the text.
    """
    named = [one for one in found if one.plain == path and "._" not in one.path]
    if len(named) == 1:
        return named
    below = path + "."
    exact = [one for one in found if one.plain == path or one.plain.startswith(below)]
    if exact:
        return exact
    typed = [one for one in found if one.plain.startswith(path) and one.plain[len(path)].isupper()]
    return typed or _about(found, path, text)


def _about(found: Sequence[Element], path: str, text: str) -> list[Element]:
    parts = path.split(".")
    for length in range(len(parts) - 1, 1, -1):
        start = ".".join(parts[:length])
        near = [one for one in found if _is_under(one.plain, start)]
        last = [one for one in near if one.plain.endswith(f".{parts[-1]}")]
        if last and len(parts) - length > 1:
            return last
        if fitting := [one for one in near if fit(text, one.value)]:
            return fitting
        # What named a resource has become a reference to it.
        last = last or [one for one in near if one.plain == f"{start}.reference"]
        if last:
            return last
    return []


def _is_under(plain: str, start: str) -> bool:
    rest = plain[len(start) :]
    return plain.startswith(start) and (rest[:1] == "." or rest[:1].isupper())


def fit(text: str, value: object) -> int:
    """Return how well the value of an element fits the text of a leaf."""
    if isinstance(value, bool):
        return ALIKE if text.upper()[:1] == ("Y" if value else "N") else NONE
    if isinstance(value, str):
        return _fit_text(text, value)
    return ALIKE if _number(text) == _number(str(value)) is not None else NONE


def _fit_text(text: str, value: str) -> int:
    if text == value:
        return SAME
    said, held = _NO_DIGIT.sub("", text), _NO_DIGIT.sub("", value)
    if len(said) >= _FEWEST_DIGITS and held and (held.startswith(said) or said.startswith(held)):
        return ALIKE
    if text.casefold() == value.casefold():
        return ALIKE
    short, long = sorted((text.casefold(), value.casefold()), key=len)
    return PART if len(short) >= _SHORTEST_PART and short in long else NONE


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.lstrip("<>=~ "))
    except InvalidOperation:
        return None


def shared(paths: Sequence[str]) -> str:
    """Return the deepest path above all of these."""
    parts = [path.split(".") for path in paths]
    kept = []
    for steps in zip(*parts, strict=False):
        if len(set(steps)) > 1:
            break
        kept.append(steps[0])
    return ".".join(kept)
