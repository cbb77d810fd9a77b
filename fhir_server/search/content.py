"""The texts of a resource: its narratives, and its strings.

https://hl7.org/fhir/R4/narrative.html
"""

import html
import re
from collections.abc import Callable, Container
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from fhir_server.r4.definitions import Definitions, Element
from fhir_server.search.words import Vector, words

LONGEST = 65_536
"""Characters of the narratives of a resource that are indexed, and of its strings."""

_TAKEN = 8 * LONGEST
_INLINE_TAGS = (
    "a|abbr|acronym|b|bdo|big|cite|code|dfn|em|font|i|kbd|q|s|samp|small|span|strong|sub|tt|u|var"
)
# A tag inside of a line does not part a word (H<sub>2</sub>O), any other does.
_WITHIN = re.compile(
    rf"</?(?:{_INLINE_TAGS})(?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)?/?>", re.IGNORECASE
)
_TAG = re.compile(r"<!--.*?-->|<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>", re.DOTALL)

# What names and is not read: ids, literal references, and numbers written as a string.
_NOT_READ = frozenset({"Reference.reference", "SampledData.data"})


class Texts(NamedTuple):
    """Strings and narratives (XHTML); those of resources inside are apart from its own."""

    strings: list[str]
    narratives: list[str]
    inner: list[str]


_Members: TypeAlias = dict[str, Any]
"""Member to the members of its type, or to what is to be done with it."""

_STRING, _NARRATIVE, _RESOURCE = "string", "narrative", "resource"


def texts(definitions: Definitions, type_name: str, resource: dict[str, Any]) -> Texts:
    """Return all texts of a resource, also those of its extensions and of resources inside."""
    found = Texts([], [], [])
    members = read(definitions, type_name)
    for name, value in resource.items():
        if name in members:
            gather(definitions, type_name, name, value, found)
    return found


def read(definitions: Definitions, type_name: str) -> Container[str]:
    """Return the members of a type that may hold texts."""
    return _tables(definitions)[type_name]


def gather(
    definitions: Definitions, type_name: str, name: str, value: object, found: Texts
) -> None:
    """Add the texts of one member of a resource."""
    types = _tables(definitions)
    _walk(types, types[type_name], {name: value}, found)


def plain(narrative: str) -> str:
    """Return the text of a narrative."""
    bare = _TAG.sub(" ", _WITHIN.sub("", narrative[:_TAKEN]))
    return html.unescape(bare) if "&" in bare else bare


def write(vector: Vector, found: Texts, stem: Callable[[str], str] | None) -> None:
    """Add the words: of the narrative with the weight A, so that they can be told apart."""
    _write(vector, [plain(one) for one in found.narratives], "A", stem)
    _write(vector, [*found.strings, *(plain(one) for one in found.inner)], "", stem)


def _write(
    vector: Vector, found: list[str], weight: str, stem: Callable[[str], str] | None
) -> None:
    left = LONGEST
    for text in found:
        split = words(text[:left])
        vector.add(map(stem, split) if stem else split, weight)
        left -= len(text)
        if left <= 0:
            return


def _walk(
    types: dict[str, _Members], members: _Members, data: dict[str, Any], found: Texts
) -> None:
    for name, value in data.items():
        member = members.get(name)
        if member is None:
            continue
        if type(value) is list:
            for item in value:
                _take(types, member, item, found)
        else:
            _take(types, member, value, found)


def _take(types: dict[str, _Members], member: Any, value: Any, found: Texts) -> None:  # noqa: ANN401  (JSON)
    if type(value) is str:
        if member is _STRING:
            found.strings.append(value)
        elif member is _NARRATIVE:
            found.narratives.append(value)
    elif type(value) is dict:
        if member is _RESOURCE:
            inside = Texts(found.strings, found.inner, found.inner)
            _walk(types, types.get(value.get("resourceType", ""), {}), value, inside)
        elif type(member) is dict:
            _walk(types, member, value, found)


@lru_cache(maxsize=4)
def _tables(definitions: Definitions) -> dict[str, _Members]:
    """Return each type's members that hold texts; the rest is passed over unseen."""
    types: dict[str, _Members] = {name: {} for name in definitions.elements}
    for name, elements in definitions.elements.items():
        for element in elements.values():
            kept = _kept(types, element)
            if kept is not None:
                types[name][element.name] = kept
            if element.type not in types:
                types[name]["_" + element.name] = types["Element"]
    return types


def _kept(types: dict[str, _Members], element: Element) -> _Members | str | None:
    if element.type == "Resource":
        return _RESOURCE
    if element.type in types:
        return types[element.type]
    if element.type == "xhtml":
        return _NARRATIVE
    read = element.type in ("string", "markdown") and element.name != "id"
    return _STRING if read and element.path not in _NOT_READ else None
