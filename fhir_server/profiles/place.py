"""Items of a resource with their places, member by member.

https://hl7.org/fhir/R4/fhirpath.html
"""

from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.fhirpath.model import Field, Model
from fhir_server.fhirpath.values import Node


class Item(NamedTuple):
    """An element or resource, and its FHIRPath."""

    node: Node
    place: str

    @property
    def key(self) -> int | str:
        """Return what tells this item from all others that live at the same time."""
        return id(self.node.value) if type(self.node.value) is dict else self.place


def resource_item(data: Mapping[str, Any], place: str) -> Item:
    """Return a resource as an item."""
    return Item(Node(str(data.get("resourceType", "Resource")), data), place)


def named(model: Model, item: Item, name: str) -> list[Item]:
    """Return the items of a member, a choice by its name without `[x]`."""
    node = item.node
    forms = model.fields.get(node.type, {}).get(name)
    if forms is None:
        member = _members(model, node.type).get(name)
        forms = (member[1],) if member else ()
        name = member[0] if member else name
    data = node.extra if node.type in model.primitives else node.value
    if type(data) is not dict:
        return []
    found: list[Item] = []
    for form in forms:
        if form.name in data or (form.beside and form.beside in data):
            found += _items(form, data, item.place + _step(name, form))
    return found


def _step(stem: str, form: Field) -> str:
    return f".{stem}" if form.name == stem else f".{stem}.ofType({form.type})"


def each(
    model: Model, item: Item, among: Container[int] | None = None
) -> Iterator[tuple[str, Item]]:
    """Yield what is directly inside an item, with the member's name without `[x]`.

    Only members of whose values one has its `id` `among` these, where they are given.
    """
    node = item.node
    data = node.extra if node.type in model.primitives else node.value
    if type(data) is not dict:
        return
    members, seen = _members(model, node.type), set()
    for key in data:
        member = members.get(key)
        if member is None or member[1].name in seen:
            continue
        stem, form = member
        seen.add(form.name)
        if among is not None and not _is_among(data, form, among):
            continue
        for one in _items(form, data, item.place + _step(stem, form)):
            yield stem, one


def _is_among(data: Mapping[str, Any], form: Field, among: Container[int]) -> bool:
    beside = form.beside and id(data.get(form.beside)) in among
    return bool(beside) or id(data.get(form.name)) in among


@lru_cache(maxsize=2_000)
def _members(model: Model, type_name: str) -> Mapping[str, tuple[str, Field]]:
    found: dict[str, tuple[str, Field]] = {}
    for stem, forms in model.fields.get(type_name, {}).items():
        for form in forms:
            found[form.name] = (stem, form)
            if form.beside:
                found[form.beside] = (stem, form)
    return found


def _items(form: Field, data: Mapping[str, Any], place: str) -> Iterator[Item]:
    value, extra = data.get(form.name), data.get(form.beside) if form.beside else None
    if type(value) is not list and type(extra) is not list:
        if value is not None or extra is not None:
            yield Item(_node(form.type, value, extra), place)
        return
    values = value if type(value) is list else []
    extras = extra if type(extra) is list else []
    for index in range(max(len(values), len(extras))):
        one = values[index] if index < len(values) else None
        beside = extras[index] if index < len(extras) else None
        if one is not None or beside is not None:
            yield Item(_node(form.type, one, beside), f"{place}[{index}]")


def _node(type_name: str, value: Any, extra: Any) -> Node:  # noqa: ANN401  (JSON)
    if type_name == "Resource" and type(value) is dict:
        return Node(str(value.get("resourceType", "Resource")), value)
    return Node(type_name, value, extra)
