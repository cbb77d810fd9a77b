"""References: their form, and the types that an element may refer to.

https://hl7.org/fhir/R4/references.html#literal
"""

import re
from collections.abc import Mapping
from typing import Any

from fhir_server.r4.definitions import Definitions, Element
from fhir_server.validation.walker import Check, Rules, Trail, Walk, hang

_LOCAL = re.compile(r"[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?\Z")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+\Z")
_HISTORY = "_history"
_TYPES = "http://hl7.org/fhir/StructureDefinition/"

_FORM = "A literal reference is Type/id, an absolute URL, or # with the id of a contained resource"
_NO_TYPE = "R4 has no resource type of this name"
_TWO_TYPES = "The type is not the one that the reference names"
_FULL_URL = "A fullUrl is absolute"
_OTHER_ID = "The fullUrl is not that of a resource of this type with this id"


def attach(types: Mapping[str, Rules], definitions: Definitions) -> None:
    """Add the rules of references to all elements of type Reference, and of fullUrl."""
    known = frozenset(definitions.resource_types)
    for owner, members in definitions.elements.items():
        for element in members.values():
            if element.type == "Reference":
                hang(types[owner], element, (element.name,), _referring(known, element))
    full_url = definitions.elements["Bundle.entry"]["fullUrl"]
    hang(types["Bundle.entry"], full_url, ("fullUrl",), _full_url(known))


def target_type(known: frozenset[str], text: str) -> str | None:
    """Return the type in a reference's text, empty where it does not tell; None for no form.

    A relative reference that begins with no type of R4 gives that beginning.
    """
    if text[:1] == "#":
        return ""
    kind, slash, rest = text.partition("/")
    if slash and kind in known:
        return kind if _LOCAL.match(rest) else None
    if _ABSOLUTE.match(text):
        return _of_url(known, text)
    kind, criteria, _ = text.partition("?")
    if criteria:
        return kind
    kind, slash, rest = text.partition("/")
    return kind if slash and kind.isalpha() and _LOCAL.match(rest) else None


def is_reference(known: frozenset[str], text: str) -> bool:
    """Return whether the text is a reference, as far as its form tells."""
    found = target_type(known, text)
    return found is not None and (not found or found in known)


def _of_url(known: frozenset[str], url: str) -> str:
    """Return the type in the URL of a resource on a FHIR server."""
    if url[:4] != "http":
        return ""
    steps = url.rsplit("/", 4)
    at = -4 if len(steps) > 4 and steps[-2] == _HISTORY else -2  # noqa: PLR2004  (as split)
    return steps[at] if len(steps) >= -at and steps[at] in known else ""


def _referring(known: frozenset[str], element: Element) -> Check:
    targets = frozenset(element.targets)
    other = frozenset() if not targets or "Resource" in targets else known - targets
    leads = f"A reference here leads to {', '.join(sorted(targets))}"

    def one(walk: Walk, reference: Any, trail: Trail) -> None:  # noqa: ANN401  (JSON)
        if type(reference) is not dict:
            return
        named = _said(known, reference)
        found, wrong = _found(walk, known, reference)
        if wrong:
            walk.refuse("invalid", wrong, (trail, ".reference"))
        elif not walk.sound:
            return
        elif found and named and named != found:
            walk.refuse("invalid", _TWO_TYPES, (trail, ".type"))
        elif (found or named) in other:
            walk.refuse("invalid", leads, (trail, ".reference" if found else ".type"))

    def check(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if type(value) is list:
            for index, item in enumerate(value):
                one(walk, item, (trail, f"[{index}]"))
        else:
            one(walk, value, trail)

    return check


def _said(known: frozenset[str], reference: dict[str, Any]) -> str:
    """Return Reference.type, empty where it is none of R4's resource types."""
    said = reference.get("type")
    named = said.removeprefix(_TYPES) if type(said) is str else ""
    return named if named in known else ""


def _found(walk: Walk, known: frozenset[str], reference: dict[str, Any]) -> tuple[str, str]:
    """Return the type that the text leads to, empty where it does not tell; and what is wrong."""
    text = reference.get("reference")
    if type(text) is not str or not text:
        return "", ""
    read = target_type(known, text)
    if read is None:
        return "", _FORM
    if read and read not in known:
        return "", _NO_TYPE
    return read or _inside(walk, text), ""


def _inside(walk: Walk, text: str) -> str:
    """Return the type of what lies in the same resource or Bundle, empty where it does not."""
    if text == "#":
        found = walk.root.get("resourceType")
    elif text[0] == "#":
        contained = walk.root.get("contained")
        listed = contained if type(contained) is list else ()
        same = (one for one in listed if type(one) is dict and one.get("id") == text[1:])
        found = next(same, {}).get("resourceType")
    else:
        found = walk.urls.get(text)
    return found if type(found) is str else ""


def _full_url(known: frozenset[str]) -> Check:
    def check(walk: Walk, data: dict[str, Any], _: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if type(value) is not str or not value:
            return
        if not _ABSOLUTE.match(value):
            walk.refuse("value", _FULL_URL, trail)
            return
        resource = data.get("resource")
        kind, id_ = (
            (resource.get("resourceType"), resource.get("id"))
            if type(resource) is dict
            else (None, None)
        )
        # A URL need not be one of a FHIR server; where it is, it tells the type and the id.
        told = _of_url(known, value)
        if walk.sound and told and type(id_) is str and (told, _last(value)) != (kind, id_):
            walk.refuse("invalid", _OTHER_ID, trail)

    return check


def _last(url: str) -> str:
    return url.rpartition(f"/{_HISTORY}/")[0].rpartition("/")[2] or url.rpartition("/")[2]
