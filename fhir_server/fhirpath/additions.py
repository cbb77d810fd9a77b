"""Functions that R4 adds to FHIRPath, and those on types.

https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from collections.abc import Mapping
from typing import Final

from fhir_server.fhirpath.collections import Function
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.model import INFORMATION
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.values import (
    EMPTY,
    FALSE,
    Item,
    Items,
    Node,
    boolean,
    follow,
    plain,
    text,
    type_of,
)

_PROFILES: Final = "http://hl7.org/fhir/StructureDefinition/"


def _extension(run: Evaluation, items: Items, url: Items) -> Items:
    named = text(url)
    found: Items = []
    for item in items:
        if type(item) is Node:
            follow(run.model, item, "extension", found)
    run.spend(len(found))
    return [one for one in found if one.value.get("url") == named] if named else EMPTY


def _has_value(_: Evaluation, items: Items) -> Items:
    if len(items) != 1:
        return FALSE
    item = items[0]
    if type(item) is not Node:
        return boolean(value=True)
    return boolean(item.value is not None and type(item.value) is not dict)


def _get_value(run: Evaluation, items: Items) -> Items:
    return [plain(items[0])] if _has_value(run, items)[0] else EMPTY


def _resolve(run: Evaluation, items: Items) -> Items:
    run.spend(len(items))
    found = (_target(run, item) for item in items)
    return [node for node in found if node is not None]


def _target(run: Evaluation, item: Item) -> Node | None:
    value = item.value.get("reference") if _is_reference(item) else plain(item)
    if type(value) is not str:
        return None
    target = _inside(run, value) if value.startswith("#") else None
    if target is None and run.callbacks.resolve and not value.startswith("#"):
        target = run.callbacks.resolve(value)
    named = target.get("resourceType") if type(target) is dict else None
    return Node(named, target) if type(named) is str else None


def _is_reference(item: Item) -> bool:
    return type(item) is Node and item.type == "Reference" and type(item.value) is dict


def _inside(run: Evaluation, reference: str) -> Item:
    root = run.root.value if run.root else {}
    if reference == "#":
        return root
    inside = root.get("contained")
    for one in inside if type(inside) is list else ():
        if type(one) is dict and one.get("id") == reference[1:]:
            return one
    return None


def _member_of(run: Evaluation, items: Items, value_set: Items) -> Items:
    url, ask = text(value_set), run.callbacks.member_of
    if len(items) != 1 or url is None or ask is None:
        return EMPTY
    item = items[0]
    return boolean(ask(item if type(item) is Node else Node("code", plain(item)), url))


def _conforms_to(run: Evaluation, items: Items, profile: Items) -> Items:
    url, ask = text(profile), run.callbacks.conforms_to
    if len(items) != 1 or url is None or type(items[0]) is not Node:
        return EMPTY
    found = ask(items[0], url) if ask else None
    named = url.removeprefix(_PROFILES).partition("|")[0]
    if found is None and url.startswith(_PROFILES) and run.model.knows(named):
        return boolean(run.model.is_a(items[0].type, named))
    if found is None:
        raise Misuse("the profile is not known")
    return boolean(found)


def _type(_: Evaluation, items: Items) -> Items:
    pairs = map(type_of, items)
    return [Node(INFORMATION, {"namespace": space, "name": name}) for space, name in pairs]


def _html_checks(_: Evaluation, items: Items) -> Items:
    """The narrative is judged with the resource's structure (`validation.narrative`)."""
    return boolean(value=True) if items else EMPTY


FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "extension": (_extension, 1, 1),
    "hasValue": (_has_value, 0, 0),
    "getValue": (_get_value, 0, 0),
    "resolve": (_resolve, 0, 0),
    "memberOf": (_member_of, 1, 1),
    "conformsTo": (_conforms_to, 1, 1),
    "type": (_type, 0, 0),
    "htmlChecks": (_html_checks, 0, 0),
    "elementDefinition": (lambda _, __: EMPTY, 0, 0),
    "slice": (lambda _, __, ___, ____: EMPTY, 2, 2),
    "checkModifiers": (lambda _, items, *__: items, 0, 20),
}
