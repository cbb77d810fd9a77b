"""Snapshots made from differentials: a base's elements with a profile's changes.

https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from fhir_server.errors import Unprocessable
from fhir_server.profiles.core import PREFIX
from fhir_server.profiles.seams import Json
from fhir_server.profiles.tree import Definition, Tree, grown

Find = Callable[[str], Json | None]

# Deeper than any chain of profiles on profiles; a circle has no end.
MAX_CHAIN: Final = 30
# A slice copies what is below its element, a type what it consists of.
MAX_ELEMENTS: Final = 50_000
_ANY_VALUE: Final = ("fixed", "pattern", "minValue", "maxValue")
_ABSTRACT: Final = frozenset(("Resource", "DomainResource", "Element", "BackboneElement"))
_EXTENSIONS: Final = {
    "discriminator": [{"type": "value", "path": "url"}],
    "rules": "open",
}
_BY_TYPE: Final = {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}


def snapshot(definition: Json, find: Find) -> Tree:
    """Return the elements of a StructureDefinition: its snapshot, or one made of its differential.

    `find` gives a StructureDefinition by canonical. Unprocessable where its base is
    not known, the chain of bases has no end, or the snapshot would be too large.
    """
    return _Making(find).tree(definition)


def problems(definition: Json, find: Find) -> list[str]:
    """Return why no sound snapshot can be made of a differential; empty where one can."""
    merger = _Making(find).merger(definition)
    try:
        merger.merge(merger.root, _changes(definition))
    except Unprocessable as refused:
        return [refused.text]
    return merger.problems


def _changes(definition: Json) -> Tree:
    return grown(definition.get("differential", {}).get("element", ()))


class _Making:
    """The making of one snapshot, with those that it needs for it."""

    def __init__(self, find: Find) -> None:
        self.find = find
        self.made: dict[int, Tree] = {}
        self.under_way: list[Json] = []
        self.left = MAX_ELEMENTS

    def tree(self, definition: Json) -> Tree:
        """Return a tree that the caller may change."""
        known = self.made.get(id(definition))
        if known is None:
            known = self.made[id(definition)] = self.new(definition)
        return self.spend(known.copy())

    def new(self, definition: Json) -> Tree:
        elements = definition.get("snapshot", {}).get("element")
        if elements:
            return grown(elements)
        merger = self.merger(definition)
        self.under_way.append(definition)
        merger.merge(merger.root, _changes(definition))
        self.under_way.pop()
        return merger.root

    def merger(self, definition: Json) -> "_Merger":
        """Return what changes the tree of a definition's base."""
        base = self.find(str(definition.get("baseDefinition", "")))
        if base is None:
            raise Unprocessable("The base definition is not known")
        if base is definition or self.is_under_way(base) or len(self.under_way) > MAX_CHAIN:
            raise Unprocessable("The chain of base definitions has no end")
        self.under_way.append(definition)
        found = _Merger(self, self.tree(base))
        self.under_way.pop()
        return found

    def is_under_way(self, definition: Json) -> bool:
        return any(one is definition for one in self.under_way)

    def spend(self, tree: Tree) -> Tree:
        """Take a tree off the elements that may be made."""
        self.left -= tree.size()
        if self.left < 0:
            raise Unprocessable("The snapshot would be too large")
        return tree


class _Merger:
    def __init__(self, making: _Making, root: Tree) -> None:
        self.making = making
        self.find = making.find
        self.root = root
        self.problems: list[str] = []

    def merge(self, tree: Tree, changes: Tree) -> None:
        """Change an element, its members and its slices."""
        self.compare(tree.definition, changes.definition)
        tree.definition = merged(tree.definition, changes.definition)
        if changes.children and not tree.children:
            self.expand(tree)
        for name, change in changes.children.items():
            self.member(tree, name, change)
        for child in tree.children.values():
            if child.name.endswith("[x]") and child.name not in changes.children:
                narrowed(child, changes)

    def member(self, tree: Tree, name: str, change: Tree) -> None:
        child = tree.children.get(name)
        if child is None:
            child = choice_of(tree, name)
            if child is not None:
                self.one_type(child, name, change)
                return
        if child is None:
            # A profile on a choice may name the choice's member without its `[x]`.
            child = tree.children.get(f"{name}[x]")
        if child is None:
            if tree.children:
                self.problems.append("The base has no such element")
            child = tree.children[name] = Tree(name)
        self.merge(child, change)
        for slice_name, inner in change.slices.items():
            self.slice(child, slice_name, inner)

    def compare(self, base: Definition, change: Definition) -> None:
        """Note a change that the base does not allow."""
        for key, value in change.items():
            if key.startswith("fixed") and base.get(key, value) != value:
                self.problems.append("The base fixes another value")
        for type_ in change.get("type", ()):
            for url in type_.get("profile", ()):
                known = self.find(url)
                kind = known.get("type") if known else type_.get("code")
                if kind != type_.get("code") and type_.get("code") not in _ABSTRACT:
                    self.problems.append("A profile is for another type than its element's")

    def one_type(self, child: Tree, name: str, change: Tree) -> None:
        """`valueQuantity` speaks of `value[x]` where that is a Quantity."""
        code = _type_named(child, name)
        child.definition.setdefault("slicing", dict(_BY_TYPE))
        typed = {"type": _of_type(child.definition, code), **change.definition}
        inner = Tree(child.name, {**typed, "sliceName": name})
        inner.children, inner.slices = change.children, change.slices
        self.slice(child, name, inner)

    def slice(self, child: Tree, name: str, change: Tree) -> None:
        known = child.sliced(name)
        if known is None:
            above = child.sliced(name.rpartition("/")[0]) or child
            known = self.making.spend(above.copy(slices=False))
            known.definition.pop("slicing", None)
            known.definition["min"] = 0
            known.definition["sliceName"] = name
            above.slices[name] = known
            if "slicing" not in child.definition and child.name.endswith("[x]"):
                child.definition["slicing"] = dict(_BY_TYPE)
                _narrow(known, name)
        self.merge(known, change)
        for inner_name, inner in change.slices.items():
            self.slice(child, inner_name, inner)
        if "slicing" not in child.definition and child.name.endswith("xtension"):
            child.definition["slicing"] = dict(_EXTENSIONS)

    def expand(self, tree: Tree) -> None:
        """Give an element the members of its type, profile or referenced element."""
        found = self.content(tree.definition)
        if found is not None:
            for name, child in found.children.items():
                tree.children[name] = self.making.spend(child.copy())

    def content(self, definition: Definition) -> Tree | None:
        reference = definition.get("contentReference")
        if reference:
            return found_by_path(self.root, str(reference).rpartition("#")[2])
        types = definition.get("type", ())
        codes = {str(type_.get("code", "")) for type_ in types}
        if len(codes) != 1:
            return None
        profiles = [url for type_ in types for url in type_.get("profile", ())]
        for url in [*profiles[:1], PREFIX + codes.pop()]:
            known = self.find(url)
            if known is not None and not self.making.is_under_way(known):
                return self.making.tree(known)
        return None


def merged(base: Definition, change: Definition) -> Definition:
    """Return a definition with another's changes; rules add up, all else is replaced."""
    found = dict(base)
    for key, value in change.items():
        if key.startswith(_ANY_VALUE):
            stem = next(one for one in _ANY_VALUE if key.startswith(one))
            for old in [one for one in found if one.startswith(stem)]:
                del found[old]
        if key == "constraint":
            keys = {rule.get("key") for rule in value}
            kept = [rule for rule in found.get(key, ()) if rule.get("key") not in keys]
            found[key] = [*kept, *value]
        elif key in {"binding", "slicing"}:
            found[key] = {**found.get(key, {}), **value}
        else:
            found[key] = value
    if "type" in change:
        found["type"] = _kept_targets(base, change["type"])
    return found


def _kept_targets(base: Definition, types: list[Any]) -> list[Any]:
    """Return the types; what a change leaves out of its profiles and targets stays."""
    known = {type_.get("code"): type_ for type_ in base.get("type", ())}
    return [{**known.get(type_.get("code"), {}), **type_} for type_ in types]


def choice_of(tree: Tree, name: str) -> Tree | None:
    """Return the choice that this name means one type of."""
    for stem, child in tree.children.items():
        if stem.endswith("[x]") and name.startswith(stem[:-3]) and _type_named(child, name):
            return child
    return None


def narrowed(child: Tree, changes: Tree) -> None:
    """Leave a choice the types that a differential speaks of by name, and no other."""
    codes = {_type_named(child, name) for name in changes.children} - {""}
    if codes:
        types = [one for one in child.definition.get("type", ()) if one.get("code") in codes]
        child.definition["type"] = types
        child.definition["slicing"] = {**_BY_TYPE, "rules": "closed"}


def _type_named(child: Tree, name: str) -> str:
    stem = child.name.removesuffix("[x]")
    for code in _codes(child.definition):
        if name == stem + code[:1].upper() + code[1:]:
            return code
    return ""


def _codes(definition: Definition) -> Iterator[str]:
    for type_ in definition.get("type", ()):
        yield str(type_.get("code", ""))


def _of_type(definition: Definition, code: str) -> list[Any]:
    return [type_ for type_ in definition.get("type", ()) if type_.get("code") == code]


def _narrow(known: Tree, name: str) -> None:
    code = _type_named(known, name)
    if code:
        known.definition["type"] = _of_type(known.definition, code)


def found_by_path(root: Tree, path: str) -> Tree | None:
    """Return the element at this path, slices left aside."""
    node: Tree | None = root
    for name in path.split(".")[1:]:
        node = node.children.get(name) if node else None
    return node
