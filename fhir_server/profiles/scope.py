"""The resource in which something is judged, and where its references lead.

https://hl7.org/fhir/R4/bundle.html#references
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fhir_server.fhirpath.model import Model
from fhir_server.fhirpath.values import Node
from fhir_server.profiles.place import Item, resource_item
from fhir_server.profiles.seams import Targets

_RESTFUL: Final = re.compile(
    r"(?P<base>https?://\S+/)(?P<own>[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})\Z"
)
_TYPE_AND_ID: Final = re.compile(r"(?:\A|/)([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}\Z")
_OWN: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}\Z")


class Entry(NamedTuple):
    """A resource in a Bundle, or in Parameters."""

    item: Item
    full_url: str


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource with the one that contains it, and the Bundle's entries around it.

    `bundle` finds entries by fullUrl and by type and id.
    """

    resource: Item
    root: Item
    full_url: str = ""
    bundle: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Return what `%resource` and `%rootResource` are."""
        return self.resource.node, self.root.node


class Target(NamedTuple):
    """Where a reference leads: a resource with its scope, and how: as AggregationMode says."""

    scope: Scope
    mode: str


def entries(bundle: Item, around: Mapping[str, tuple[Entry, ...]]) -> dict[str, tuple[Entry, ...]]:
    """Return the entries of a Bundle, or of Parameters, with those of the Bundle around it."""
    found = dict(around)
    name = "entry" if bundle.node.type == "Bundle" else "parameter"
    given = bundle.node.value.get(name, ())
    for index, entry in enumerate(given if type(given) is list else ()):
        inner = entry.get("resource") if type(entry) is dict else None
        if type(inner) is not dict:
            continue
        item = resource_item(inner, f"{bundle.place}.{name}[{index}].resource")
        full_url = str(entry.get("fullUrl", ""))
        one = Entry(item, full_url)
        own = f"{inner.get('resourceType')}/{inner.get('id')}"
        for key in {full_url, own} - {""}:
            found[key] = (*found.get(key, ()), one)
    return found


def inside(scope: Scope, item: Item) -> Scope:
    """Return the scope of a contained resource."""
    return Scope(item, scope.root, scope.full_url, scope.bundle)


def target(scope: Scope, reference: str, targets: Targets) -> Target | None:
    """Return where a reference leads; None where it is not known."""
    if reference.startswith("#"):
        return _contained(scope, reference[1:])
    plain = reference.partition("/_history/")[0].partition("#")[0]
    for key in _keys(scope, plain):
        for entry in scope.bundle.get(key, ()):
            found = Scope(entry.item, entry.item, entry.full_url, scope.bundle)
            return Target(found, "bundled")
    outside = targets.resource(reference)
    if outside is None:
        return None
    item = resource_item(outside, str(outside.get("resourceType", "Resource")))
    return Target(Scope(item, item), "referenced")


def kind_named(model: Model, reference: object) -> str | None:
    """Return the resource type that a Reference, or the text of one, names."""
    if type(reference) is dict:
        said = reference.get("type")
        found = kind_named(model, reference.get("reference"))
        return found or (said if said in model.resources else None)
    if type(reference) is not str:
        return None
    named = _TYPE_AND_ID.search(reference.partition("/_history/")[0])
    kind = named[1] if named else None
    return kind if kind in model.resources else None


def _keys(scope: Scope, reference: str) -> list[str]:
    """Return the fullUrls that a reference may mean, nearest first."""
    restful = _RESTFUL.match(scope.full_url)
    if not _OWN.match(reference):
        return [reference]
    return [restful["base"] + reference] if restful else [reference]


def _contained(scope: Scope, id_: str) -> Target | None:
    if not id_:
        return Target(Scope(scope.root, scope.root, scope.full_url, scope.bundle), "contained")
    contained: Any = scope.root.node.value.get("contained", ())
    for index, one in enumerate(contained if type(contained) is list else ()):
        if type(one) is dict and one.get("id") == id_:
            item = resource_item(one, f"{scope.root.place}.contained[{index}]")
            return Target(inside(scope, item), "contained")
    return None
