"""Elements that contradict themselves, wherever they stand.

https://hl7.org/fhir/R4/datatypes.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.profiles.answer import attachment_size
from fhir_server.profiles.place import Item, each
from fhir_server.profiles.scope import Scope
from fhir_server.profiles.walk import Walk

_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MARKUP: Final = re.compile(r"<[A-Za-z/!][^<>]*>")
_EXAMPLE: Final = re.compile(r"https?://(?:[a-z0-9-]+\.)*example\.(?:org|com|net)(?:[/:]|\Z)")
_LINK: Final = re.compile(r"""<a\s[^<>]*?\bhref\s*=\s*["']([^"'<>]*)""")
_ANCHOR: Final = re.compile(r"""\b(?:id|name)\s*=\s*["']([^"'<>]*)""")
_URIS: Final = "urn:ietf:rfc:3986"


def advise_elements(walk: Walk, scope: Scope) -> None:
    """Note elements of a resource, not of those inside it, that contradict themselves."""
    ids: set[str] = set()
    ahead = [scope.resource]
    while ahead:
        owner = ahead.pop()
        walk.budget.spend()
        for _, item in each(walk.profiles.model, owner):
            kind = item.node.type
            if kind in walk.profiles.model.resources:
                continue
            advise = _KINDS.get(kind)
            if advise and item.node.value is not None:
                advise(walk, item, scope)
            _identified(walk, item, ids)
            if type(item.node.value) is dict or item.node.extra:
                ahead.append(item)


def _identified(walk: Walk, item: Item, ids: set[str]) -> None:
    value = item.node.value
    # A snapshot and a differential speak of one element twice.
    spoken_of = item.node.type == "ElementDefinition"
    id_ = value.get("id") if type(value) is dict and not spoken_of else None
    if type(id_) is str:
        if id_ in ids:
            walk.advise("duplicate", "Two elements have one id", item.place)
        ids.add(id_)


def _coding(walk: Walk, item: Item, _: Scope) -> None:
    system, code = item.node.value.get("system"), item.node.value.get("code")
    if type(system) is not str:
        return
    if not _SCHEME.match(system):
        walk.advise("invalid", "The URL of a code system is absolute", item.place)
    elif "/ValueSet/" in system:
        walk.advise("invalid", "The system is a value set", item.place)
    elif type(code) is str:
        text = walk.codes.problem(system, code, item.node.value.get("display"))
        if text:
            walk.advise("code-invalid", text, item.place)


def _quantity(walk: Walk, item: Item, _: Scope) -> None:
    system, code = item.node.value.get("system"), item.node.value.get("code")
    if type(system) is str and type(code) is str:
        text = walk.codes.problem(system, code, None)
        if text:
            walk.advise("code-invalid", text, item.place)


def _uri(walk: Walk, item: Item, _: Scope) -> None:
    value = item.node.value
    if type(value) is not str:
        return
    if value.startswith("urn:uuid:") and not _UUID.match(value.partition("#")[0].partition("|")[0]):
        walk.advise("invalid", "The UUID is not valid", item.place)
    if not walk.strictness.examples and _EXAMPLE.match(value):
        walk.advise("invalid", "The URL is one of an example", item.place)


def _text(walk: Walk, item: Item, _: Scope) -> None:
    value = item.node.value
    if not walk.strictness.markup and type(value) is str and _MARKUP.search(value):
        walk.advise("security", "The text has what looks like HTML", item.place)


def _attachment(walk: Walk, item: Item, _: Scope) -> None:
    value = item.node.value
    said = value.get("size")
    if type(said) is int and "data" in value and attachment_size(value) != said:
        walk.advise("invalid", "The data has another size than it says", item.place)


def _identifier(walk: Walk, item: Item, _: Scope) -> None:
    value = item.node.value
    text = value.get("value")
    if value.get("system") == _URIS and type(text) is str and not _SCHEME.match(text):
        walk.advise("invalid", "The identifier is a URI by its system, and is none", item.place)


def _narrative(walk: Walk, item: Item, scope: Scope) -> None:
    div = item.node.value.get("div")
    if type(div) is not str:
        return
    anchors = set(_ANCHOR.findall(div))
    contained: Any = scope.root.node.value.get("contained", ())
    anchors |= {str(one.get("id")) for one in contained if type(one) is dict}
    for link in _LINK.findall(div):
        if link.startswith("#") and len(link) > 1 and link[1:] not in anchors:
            walk.advise("invalid", "A link of the narrative leads nowhere", f"{item.place}.div")
        elif link.startswith("urn:"):
            walk.advise(
                "invalid", "A link of the narrative cannot be followed", f"{item.place}.div"
            )


_KINDS: Final[Mapping[str, Callable[[Walk, Item, Scope], None]]] = {
    "Coding": _coding,
    "Quantity": _quantity,
    "uri": _uri,
    "url": _uri,
    "canonical": _uri,
    "string": _text,
    "markdown": _text,
    "Attachment": _attachment,
    "Identifier": _identifier,
    "Narrative": _narrative,
}
