"""Extensions: their definitions, and whether they may be where they are.

https://hl7.org/fhir/R4/extensibility.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.errors import BadRequest
from fhir_server.profiles.compile import Profile
from fhir_server.profiles.place import Item, each
from fhir_server.profiles.scope import Scope
from fhir_server.profiles.seams import Json
from fhir_server.profiles.slicing import extension_url
from fhir_server.profiles.walk import Walk

_NAMES: Final = frozenset(("extension", "modifierExtension"))
_MARKS: Final = frozenset(("extension", "modifierExtension", "resourceType", "url"))
_NESTED: Final = frozenset((dict, list))
_MAX_PATH: Final = 6
_CONTEXT: Final = "http://hl7.org/fhir/StructureDefinition/"
# The name of a slice in an element's id.
_SLICE: Final = re.compile(r":[^.]*")
# Elements of other versions of FHIR as extensions: no definition of each is published.
_OTHER_VERSION: Final = tuple(f"http://hl7.org/fhir/{number}." for number in range(1, 7))
# Where R4's own content has extensions whose definitions do not say so.
_FAULTS: Final = {
    "structuredefinition-fhir-type": ("ElementDefinition.type",),
    "regex": ("ElementDefinition.type",),
    "structuredefinition-normative-version": ("Resource", "ElementDefinition"),
    "valueset-concept-comments": ("CodeSystem.concept",),
    "translation": ("ValueSet.expansion.contains",),
}
Inner = Callable[[Item, Item], None]


@dataclass(frozen=True, slots=True)
class Owner:
    """An element that may be extended: itself, the paths that it goes by, its extension's URL."""

    item: Item
    paths: frozenset[str]
    url: str = ""


def judge_extensions(walk: Walk, item: Item, scope: Scope, found_inside: Inner) -> None:
    """Judge all extensions of a resource; `found_inside` is told of each resource within."""
    paths = frozenset((item.node.type,))
    marked: set[int] = set()
    _mark(item.node.value, marked)
    _inside(walk, Owner(item, paths), scope, found_inside, marked)


def _mark(value: object, marked: set[int]) -> bool:
    """Mark all in which there is an extension or a resource: nothing else needs a look."""
    if type(value) is dict:
        hit = not _MARKS.isdisjoint(value)
        for inner in value.values():
            if type(inner) in _NESTED and _mark(inner, marked):
                hit = True
        if hit:
            marked.add(id(value))
        return hit
    hit = False
    for inner in value if type(value) is list else ():
        if type(inner) in _NESTED and _mark(inner, marked):
            hit = True
    if hit:
        marked.add(id(value))
    return hit


def _inside(walk: Walk, owner: Owner, scope: Scope, found_inside: Inner, marked: set[int]) -> None:
    walk.budget.spend()
    for stem, item in each(walk.profiles.model, owner.item, marked):
        if id(item.node.value) not in marked and id(item.node.extra) not in marked:
            continue
        if item.node.type in walk.profiles.model.resources:
            found_inside(item, owner.item)
            continue
        if stem in _NAMES:
            url = _extension(walk, owner, stem, item, scope)
            inner = Owner(item, frozenset(("Extension",)), url)
        else:
            of_extension = owner.item.node.type == "Extension"
            url = owner.url if of_extension else ""
            inner = Owner(item, _paths(owner, stem, item), url)
        _inside(walk, inner, scope, found_inside, marked)


def _paths(owner: Owner, stem: str, item: Item) -> frozenset[str]:
    above = {owner.item.node.type, *owner.paths}
    found = {f"{one}.{stem}" for one in above if one.count(".") < _MAX_PATH}
    if ".ofType(" in item.place.rpartition(".")[2] or item.place.endswith(")"):
        found |= {f"{one}[x]" for one in found}
    return frozenset(found)


def _extension(walk: Walk, owner: Owner, stem: str, item: Item, scope: Scope) -> str:
    url = item.node.value.get("url")
    if type(url) is not str:
        return ""
    if ":" not in url:
        return _part_of(walk, owner, url, item)
    profile = walk.profiles.get(url)
    if profile is None or profile.type != "Extension":
        if not url.startswith(_OTHER_VERSION) and not _is_defined(walk, owner, url):
            _unknown(walk, stem, url, item)
        return url
    walk.judge(profile, item, scope)
    _modifies(walk, profile, stem, item)
    if not may_be_at(walk, profile.definition, owner, scope):
        text = f"The extension {profile.url} may not be used here"
        walk.note("error", "extension", text, item.place)
    _by_invariants(walk, profile, owner, item, scope)
    return url


def _part_of(walk: Walk, owner: Owner, url: str, item: Item) -> str:
    """Judge an extension that another one is made of: the other defines it."""
    if owner.item.node.type != "Extension":
        walk.note("error", "extension", "The URL of an extension is absolute", item.place)
    elif _is_defined(walk, owner, url) is False:
        text = "The extension around it does not define such a part"
        walk.note("error", "extension", text, item.place)
    return f"{owner.url}#{url}"


def _is_defined(walk: Walk, owner: Owner, url: str) -> bool | None:
    """Return whether the extension around defines this one; None where that is not known."""
    profile = walk.profiles.get(owner.url) if owner.url and "#" not in owner.url else None
    part = profile.root.child("extension") if profile else None
    if part is None or owner.item.node.type != "Extension":
        return None
    return any(extension_url(walk.profiles, one) == url for one in part.slices)


def _unknown(walk: Walk, stem: str, url: str, item: Item) -> None:
    if stem == "modifierExtension":
        text = "A modifier extension that is not known: the element cannot be understood"
        walk.note("error", "extension", text, item.place)
    else:
        taken = url.startswith(walk.strictness.taken)
        severity = "information" if taken else walk.strictness.unknown_extension
        walk.note(severity, "extension", "The extension is not known", item.place)


def _modifies(walk: Walk, profile: Profile, stem: str, item: Item) -> None:
    elements = profile.definition.get("snapshot", profile.definition.get("differential", {}))
    root: Json = next(iter(elements.get("element", ())), {})
    modifier = bool(root.get("isModifier"))
    if modifier != (stem == "modifierExtension"):
        kind = "a modifier extension" if modifier else "no modifier extension"
        walk.note("error", "extension", f"{profile.url} is {kind}", item.place)


def may_be_at(walk: Walk, definition: Json, owner: Owner, scope: Scope) -> bool:
    """Return whether one of an extension's contexts is this element; true where it has none."""
    contexts = definition.get("context", ())
    if not contexts:
        return True
    faulty = _FAULTS.get(str(definition.get("url", "")).removeprefix(_CONTEXT), ())
    if any(_is_element(walk, expression, owner) for expression in faulty):
        return True
    return any(_meets(walk, context, owner, scope) for context in contexts)


def _meets(walk: Walk, context: Json, owner: Owner, scope: Scope) -> bool:
    expression = str(context.get("expression", ""))
    kind = context.get("type")
    if kind == "extension":
        return owner.url == expression or owner.url.partition("|")[0] == expression
    if kind == "fhirpath":
        return _selected(walk, expression, owner, scope)
    return _is_element(walk, expression, owner)


def _is_element(walk: Walk, expression: str, owner: Owner) -> bool:
    # `[profile]#[element id]`: whether the profile is one of this resource's is not asked, as
    # it may be so by a Bundle's or a reference's profile.
    expression = _SLICE.sub("", expression.rpartition("#")[2].removeprefix(_CONTEXT))
    kind, model = owner.item.node.type, walk.profiles.model
    if expression in owner.paths or kind == expression:
        return True
    if expression.endswith("[x]") and expression[:-3] in owner.paths:
        return True
    if expression in {"CanonicalResource", "MetadataResource"}:
        return kind in model.resources and "url" in model.fields.get(kind, {})
    if expression == "Element":
        return True
    if "." in expression:
        stem, _, rest = expression.partition(".")
        return any(
            path.partition(".")[2] == rest and model.is_a(path.partition(".")[0], stem)
            for path in owner.paths
        )
    return model.is_a(kind, expression)


def _selected(walk: Walk, expression: str, owner: Owner, scope: Scope) -> bool:
    value, extra = owner.item.node.value, owner.item.node.extra
    try:
        found = walk.selected(expression, scope.resource, scope)
    except BadRequest:
        return True
    return any(
        node.value is value and (type(value) is dict or node.extra is extra)
        for node in found
        if hasattr(node, "value")
    )


def _by_invariants(walk: Walk, profile: Profile, owner: Owner, item: Item, scope: Scope) -> None:
    for expression in profile.definition.get("contextInvariant", ()):
        try:
            met = walk.met(str(expression), owner.item, scope, extension=[item.node])
        except BadRequest:
            continue
        if not met:
            text = f"The extension {profile.url} may not be used in this state of its element"
            walk.note("error", "extension", text, item.place)
