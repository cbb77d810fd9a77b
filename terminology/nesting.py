"""Expansions as trees: each code under its nearest included ancestor.

https://hl7.org/fhir/R4/valueset.html#expansion
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from terminology.compose import Entry, Key


@dataclass(frozen=True, slots=True)
class Node:
    """An entry with those below it."""

    entry: Entry
    children: tuple["Node", ...] = ()


def flat(entries: list[Entry]) -> tuple[Node, ...]:
    """The entries side by side."""
    return tuple(Node(entry) for entry in entries)


async def nested(entries: list[Entry]) -> tuple[Node, ...]:
    """The entries as trees, in their order; listed codes and flat systems stay on top."""
    above: dict[Key, Key] = {}
    groups: dict[tuple[str, str | None], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.reference is None and entry.system.head.hierarchical:
            groups[entry.key[:2]].append(entry)
    for group in groups.values():
        above |= await _above(group)
    below: dict[Key | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        below[above.get(entry.key)].append(entry)
    return _build(below, None)


def _build(below: Mapping[Key | None, list[Entry]], key: Key | None) -> tuple[Node, ...]:
    return tuple(Node(entry, _build(below, entry.key)) for entry in below.get(key, ()))


async def _above(entries: list[Entry]) -> dict[Key, Key]:
    """The nearest included ancestor of each entry of one system, one level at a time."""
    system = entries[0].system
    included = {entry.concept.code for entry in entries}
    edges: dict[str, tuple[str, ...]] = {}
    todo = set(included)
    while todo:
        found = await system.parents(todo)
        edges |= {code: found.get(code, ()) for code in todo}
        todo = {parent for parents in found.values() for parent in parents} - edges.keys()
    url, version = entries[0].key[:2]
    nearest = {code: _nearest(code, edges, included) for code in included}
    order = {entry.concept.code: place for place, entry in enumerate(entries)}
    return {
        (url, version, code): (url, version, parent)
        for code, parent in nearest.items()
        if parent is not None and _is_rooted(code, nearest, order)
    }


def _nearest(code: str, edges: Mapping[str, tuple[str, ...]], included: set[str]) -> str | None:
    level, seen = list(edges.get(code, ())), {code}
    while level:
        for parent in level:
            if parent in included:
                return parent if parent != code else None
        seen.update(level)
        level = [p for one in level for p in edges.get(one, ()) if p not in seen]
    return None


def _is_rooted(code: str, nearest: Mapping[str, str | None], order: Mapping[str, int]) -> bool:
    """False for the first code of a cycle, which so becomes its root."""
    seen = [code]
    above = nearest[code]
    while above is not None:
        if above in seen:
            return code != min(seen[seen.index(above) :], key=lambda one: order[one])
        seen.append(above)
        above = nearest[above]
    return True
