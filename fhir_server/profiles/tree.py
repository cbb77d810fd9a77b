"""Element definitions as a tree: members by name, and slices by name.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

Definition: TypeAlias = dict[str, Any]
_Step: TypeAlias = tuple[str, str | None]


class Tree:
    """One element: its definition, its members, and its slices; `a/b` is a slice of `a`."""

    __slots__ = ("children", "definition", "name", "slices")

    def __init__(self, name: str, definition: Definition | None = None) -> None:
        self.name = name
        self.definition = definition or {}
        self.children: dict[str, Tree] = {}
        self.slices: dict[str, Tree] = {}

    def copy(self, *, slices: bool = True) -> "Tree":
        """Return a tree of its own; `slices` tells whether this element's slices come along."""
        found = Tree(self.name, dict(self.definition))
        found.children = {name: child.copy() for name, child in self.children.items()}
        if slices:
            found.slices = {name: one.copy() for name, one in self.slices.items()}
        return found

    def size(self) -> int:
        """Return the number of elements and slices."""
        inner = (*self.children.values(), *self.slices.values())
        return 1 + sum(one.size() for one in inner)

    def sliced(self, name: str) -> "Tree | None":
        """Return the slice of this name, of a slice's slices too."""
        if name in self.slices:
            return self.slices[name]
        parent = name.rpartition("/")[0]
        above = self.sliced(parent) if parent else None
        return above.slices.get(name) if above else None


def grown(elements: Iterable[Definition]) -> Tree:
    """Return the tree of a snapshot or differential; members that it leaves out are made."""
    root = Tree("")
    last: dict[int, Tree] = {id(root): root}
    for element in elements:
        path = str(element.get("path", ""))
        names = path.split(".")
        if len(names) == 1:
            root.name, root.definition = path, dict(element)
            continue
        node = root
        steps = _steps(element, names)
        for name, slice_name in steps[:-1]:
            node = _entered(node, name, slice_name, last)
        node = _final(node, *steps[-1], last)
        node.definition = dict(element)
    return root


def _steps(element: Definition, names: list[str]) -> list[_Step]:
    """Return the way below the root: each name, and its slice where the id tells it.

    A path alone does not tell which slice an element is below: then it is the last one.
    """
    ids = [part.partition(":") for part in str(element.get("id", "")).split(".")]
    told = [name for name, _, _ in ids] == names
    steps: list[_Step] = [(part[0], part[2] if told else None) for part in ids[1:]] if told else []
    steps = steps or [(name, None) for name in names[1:]]
    name, slice_name = steps[-1]
    return [*steps[:-1], (name, element.get("sliceName") or slice_name or "")]


def _entered(node: Tree, name: str, slice_name: str | None, last: dict[int, Tree]) -> Tree:
    child = node.children.get(name)
    if child is None:
        child = node.children[name] = Tree(name)
        last[id(child)] = child
    if slice_name is None:
        return last.get(id(child), child)
    return _final(node, name, slice_name, last)


def _final(node: Tree, name: str, slice_name: str | None, last: dict[int, Tree]) -> Tree:
    child = node.children.get(name)
    if child is None:
        child = node.children[name] = Tree(name)
    found = child
    if slice_name:
        known = child.sliced(slice_name)
        if known is None:
            above = child.sliced(slice_name.rpartition("/")[0]) or child
            known = above.slices[slice_name] = Tree(name)
        found = known
    last[id(child)] = found
    return found
