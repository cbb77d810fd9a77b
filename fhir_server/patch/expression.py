"""Paths of a patch that are any FHIRPath: what the engine gives, as places that can be set.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from fhir_server.errors import BadRequest
from fhir_server.fhirpath.compiler import compiled
from fhir_server.fhirpath.engine import Expression
from fhir_server.fhirpath.model import model
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.syntax import Call, Indexer, Member, Special, Tree
from fhir_server.fhirpath.values import Item, Items, Node
from fhir_server.patch import path as simple
from fhir_server.patch.place import Place, Walk, children, find, is_beginning


def led(walk: Walk, root: Place, text: str) -> list[Place]:
    """Return what a path leads to; BadRequest where that is no element of the resource."""
    try:
        steps = simple.parse(text)
    except BadRequest as refused:
        if refused.issues[0].code == "too-long":
            raise
        return _found(walk, root, parse(text))
    return find(walk, root, steps)


def split(walk: Walk, root: Place, text: str) -> tuple[list[Place], str]:
    """Return what holds the list that a path names, and the list's name."""
    tree = parse(text)
    if not isinstance(tree, Member):
        raise BadRequest("the path does not end with the name of a list")
    return (_found(walk, root, tree.source) if tree.source else [root]), tree.name


class _Lost(Exception):
    """The engine gave what is no place, such as a number."""


def _found(walk: Walk, root: Place, tree: Tree) -> list[Place]:
    try:
        return _Places(walk, root).of(tree)
    except _Lost:
        raise BadRequest("the path gives what is no element of the resource") from None


class _Places:
    """The places of one document; steps by name are made here, all else by the engine."""

    def __init__(self, walk: Walk, root: Place) -> None:
        self.walk = walk
        self.root = root
        self.model = model(walk.definitions)

    def of(self, tree: Tree) -> list[Place]:
        match tree:
            case Member(None, name) if is_beginning(self.root, name):
                return [self.root]
            case Member(source, name):
                around = self.of(source) if source else [self.root]
                return [one for place in around for one in children(self.walk, place, name)]
            case Call(Call() | Member() | Indexer() as source, _, _):
                return self.stepwise(source, replace(tree, source=None), tree)
            case Indexer(source, _):
                return self.stepwise(source, replace(tree, source=Special("$this", tree.at)), tree)
        return self.chosen([self.root], tree)

    def stepwise(self, source: Tree, step: Tree, tree: Tree) -> list[Place]:
        """Return what a step leaves of the source's places; where those get lost, of all at once.

        Step by step primitives are found too, at once only objects are.
        """
        try:
            return self.chosen(self.of(source), step)
        except _Lost:
            return self.chosen([self.root], tree)

    def chosen(self, places: Sequence[Place], tree: Tree) -> list[Place]:
        """Return those of the places that the tree leaves, or what it finds in them."""
        nodes = [_node(place) for place in places]
        known = {id(node): place for node, place in zip(nodes, places, strict=True)}
        self.walk.spend(len(nodes) + 1)
        found = self.run(nodes, tree)
        inner: dict[int, Place] | None = None
        led_to = []
        for item in found:
            place = known.get(id(item))
            if place is None:
                inner = self.objects(places) if inner is None else inner
                place = inner.get(_identity(item))
            if place is None:
                raise _Lost
            led_to.append(place)
        return led_to

    def run(self, nodes: Items, tree: Tree) -> Items:
        """Return what the tree gives on these nodes together."""
        start = monotonic()
        wrapped = Expression("", self.model, compiled(self.model, tree))
        found = wrapped.on(nodes, root=_node(self.root))
        self.walk.spend_time(monotonic() - start)
        return found

    def objects(self, places: Sequence[Place]) -> dict[int, Place]:
        """Return all objects inside the places by identity."""
        found: dict[int, Place] = {}
        ahead = list(places)
        while ahead:
            place = ahead.pop()
            if place.content is place.value:
                found[id(place.value)] = place
            for name in self.names(place):
                ahead += children(self.walk, place, name)
        return found

    def names(self, place: Place) -> list[str]:
        elements = self.walk.definitions.elements.get(place.type)
        members = elements or self.walk.definitions.elements["Element"]
        present = {name.removeprefix("_") for name in place.content}
        return list(
            dict.fromkeys(one.choice or one.name for one in members.values() if one.name in present)
        )


def _node(place: Place) -> Node:
    if place.content is place.value:
        return Node(place.type, place.value)
    return Node(place.type, place.value, place.content)


def _identity(item: Item) -> int:
    return id(item.value) if type(item) is Node and type(item.value) is dict else 0
