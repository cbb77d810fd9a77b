"""Bundles whose entries are not what the Bundle's type promises.

https://hl7.org/fhir/R4/bundle.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fhir_server.profiles.scope import Scope
from fhir_server.profiles.walk import Walk
from fhir_server.r4.walk import references

Json = Mapping[str, Any]
_REQUESTS: Final = frozenset(("transaction", "batch"))
_URNS: Final = ("urn:uuid:", "urn:oid:")
_RESTFUL: Final = re.compile(r"https?://\S+/([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})\Z")
_OWN: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})\Z")


def advise_bundle(walk: Walk, scope: Scope) -> None:
    """Note entries without an identity, of another kind, and references that lead nowhere."""
    bundle, place = scope.resource.node.value, scope.resource.place
    kind = bundle.get("type")
    entries = bundle.get("entry", ())
    for index, entry in enumerate(entries if type(entries) is list else ()):
        resource = entry.get("resource") if type(entry) is dict else None
        if type(resource) is not dict:
            continue
        here = f"{place}.entry[{index}]"
        if kind not in _REQUESTS:
            _identified(walk, entry, resource, here)
        if kind == "searchset":
            _found(walk, bundle, entry, resource, here)
        composed = kind == "document" and resource.get("resourceType") == "Composition"
        base = _RESTFUL.match(str(entry.get("fullUrl", ""))) if composed else None
        prefix = base[0].removesuffix(f"{base[1]}/{base[2]}") if base else ""
        _referring(walk, scope, resource, f"{here}.resource", prefix if composed else None)


def _identified(walk: Walk, entry: Json, resource: Json, place: str) -> None:
    full_url = entry.get("fullUrl")
    if type(full_url) is not str:
        walk.advise("required", "Each entry of such a Bundle has a fullUrl", place)
        return
    restful = _RESTFUL.match(full_url)
    if restful and restful[1] == resource.get("resourceType") and restful[2] != resource.get("id"):
        walk.advise("invalid", "The fullUrl and the resource have different ids", place)


def _found(walk: Walk, bundle: Json, entry: Json, resource: Json, place: str) -> None:
    mode = entry.get("search", {}).get("mode")
    kind = resource.get("resourceType")
    if mode == "outcome" and kind != "OperationOutcome":
        walk.advise("invalid", "An entry of mode outcome is an OperationOutcome", place)
    if mode != "match":
        return
    if "id" not in resource:
        walk.advise("required", "What a search finds has an id", f"{place}.resource")
    asked = set(_asked(bundle))
    if asked and kind not in asked:
        walk.advise("invalid", "The search was for other types", f"{place}.resource")


def _asked(bundle: Json) -> Iterator[str]:
    for link in bundle.get("link", ()):
        if type(link) is dict and link.get("relation") == "self":
            url = urlsplit(str(link.get("url", "")))
            for types in parse_qs(url.query).get("_type", ()):
                yield from types.split(",")
            last = url.path.rpartition("/")[2]
            if last[:1].isupper():
                yield last


def _referring(
    walk: Walk, scope: Scope, resource: dict[str, Any], place: str, prefix: str | None
) -> None:
    """Note references whose target is missing, or stands there under another type or fullUrl.

    A document brings what its Composition refers to.
    `prefix` is what the fullUrl of a document's Composition has before type and id;
    None for any other resource.
    """
    kind = str(resource.get("resourceType"))
    for path, holder in references(walk.profiles.definitions, kind, resource):
        text = holder.get("reference")
        here = f"{place}{path.removeprefix(kind)}"
        own = _OWN.match(text) if type(text) is str else None
        inside = own or (type(text) is str and text.startswith(_URNS))
        if prefix is not None and inside and text not in scope.bundle:
            walk.advise("not-found", "The target is not in the document", here)
            continue
        if own is None:
            continue
        if prefix is not None and own[0] in scope.bundle and prefix + own[0] not in _urls(scope):
            walk.advise("invalid", "The target has a fullUrl that this does not lead to", here)
        for entry in scope.bundle.get(f"urn:uuid:{own[2]}", ()):
            if entry.item.node.type != own[1]:
                walk.advise("invalid", "The target is of another type than named", here)


def _urls(scope: Scope) -> set[str]:
    return {entry.full_url for found in scope.bundle.values() for entry in found}
