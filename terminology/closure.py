"""How new concepts of a closure table stand to those it has ($closure).

https://hl7.org/fhir/R4/conceptmap-operation-closure.html
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from terminology.code_system import CodeSystem
from terminology.coding import Coding
from terminology.scope import Scope, find_system

SystemVersion = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Relation:
    """`subsumes`: the target is an ancestor of the source; `unmatched`: the source is unknown."""

    source: Coding
    target: Coding | None
    equivalence: str


async def relations(scope: Scope, known: Sequence[Coding], new: Sequence[Coding]) -> list[Relation]:
    """The relations that new concepts add: among themselves, and to those known.

    Round trips are as many as the hierarchies are deep. Refusal 404 for an unknown system.
    """
    groups: dict[SystemVersion, tuple[list[Coding], list[Coding]]] = defaultdict(lambda: ([], []))
    for place, codings in enumerate((known, new)):
        for coding in codings:
            groups[coding.system or "", coding.version][place].append(coding)
    found: list[Relation] = []
    for (url, version), (old, added) in groups.items():
        if added:
            system = await find_system(scope, url, version)
            found += await _relations(system, old, added)
    return found


async def _relations(
    system: CodeSystem, old: Sequence[Coding], added: Sequence[Coding]
) -> list[Relation]:
    by_code = {coding.code or "": coding for coding in (*old, *added)}
    fresh = {coding.code or "" for coding in added} - {coding.code or "" for coding in old}
    existing = await system.find(tuple(by_code))
    above = await ancestors(system, existing)
    found = [
        Relation(by_code[code], None, "unmatched")
        for code in by_code
        if code in fresh - set(existing)
    ]
    found += [
        Relation(by_code[code], by_code[ancestor], "subsumes")
        for code in existing
        for ancestor in sorted(above[code] & by_code.keys())
        if code in fresh or ancestor in fresh
    ]
    return found


async def ancestors(system: CodeSystem, codes: Iterable[str]) -> dict[str, set[str]]:
    """All ancestors of each code, found level by level; none is its own."""
    asked = set(codes)
    edges: dict[str, tuple[str, ...]] = {}
    todo = set(asked)
    while todo:
        found = await system.parents(todo)
        edges |= {code: found.get(code, ()) for code in todo}
        todo = {parent for parents in found.values() for parent in parents} - edges.keys()
    return {code: _reach(code, edges) for code in asked}


def _reach(code: str, edges: dict[str, tuple[str, ...]]) -> set[str]:
    seen: set[str] = set()
    todo = list(edges[code])
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo.extend(edges[one])
    return seen - {code}
