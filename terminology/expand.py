"""The codes of a value set, a page at a time ($expand).

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from terminology.code_system import Query
from terminology.compose import (
    Entry,
    includes,
    members,
    not_understood,
    prepare,
    used_system,
)
from terminology.filters import UnsupportedFilter
from terminology.issues import refusal
from terminology.nesting import Node, flat, nested
from terminology.pausing import aside
from terminology.scope import Scope, require_supplements
from terminology.value_set import ValueSet
from terminology.versions import order
from terminology.words import relevance, searched


@dataclass(frozen=True, slots=True)
class Wish:
    """What an expansion is asked for."""

    text: str | None = None
    offset: int = 0
    count: int | None = None
    limit: int | None = None
    """The caller's own maximum of codes."""
    active_only: bool = False
    nest: bool = True
    selectable_only: bool = False
    exclude_systems: tuple[str, ...] = ()
    designations: bool = False
    designation_filter: tuple[str, ...] = ()
    definition: bool = False
    properties: tuple[str, ...] = ()

    @property
    def paged(self) -> bool:
        """True when a page was asked for."""
        return self.count is not None or self.offset > 0


@dataclass(frozen=True, slots=True)
class Expansion:
    """One page of codes as trees, with the number of all codes."""

    nodes: tuple[Node, ...]
    total: int
    scope: Scope
    unclosed: str | None = None
    """Why more codes than these may belong; None when these are all."""
    several_versions: frozenset[str] = field(default_factory=frozenset)
    """Systems that the compose names in more than one version."""


async def expand(scope: Scope, value_set: ValueSet, wish: Wish) -> Expansion:
    """The page of the value set that is wished.

    Refusal `too-costly` when no page is asked and there are more codes than the limits allow;
    `not-found` for unknown systems, versions, imports and supplements.
    """
    scope = replace(
        scope,
        strict=True,
        supplements=(*value_set.supplements, *scope.supplements),
    )
    await require_supplements(scope)
    await prepare(scope, value_set)
    entries, total = await _page(scope, value_set, wish)
    if not wish.paged and total > (wish.limit or scope.limits.unpaged):
        raise refusal(
            "VALUESET_TOO_COSTLY",
            value_set=value_set.canonical,
            limit=wish.limit or scope.limits.unpaged,
        )
    nodes = await nested(entries) if _is_tree(value_set, wish) else flat(entries)
    unclosed = _unclosed(scope, value_set)
    return Expansion(nodes, total, scope, unclosed, _several_versions(value_set))


def _is_tree(value_set: ValueSet, wish: Wish) -> bool:
    """Pages, ranked lists and what excludes leave are flat, as the public suite has them."""
    return wish.nest and not (wish.paged or wish.text or value_set.excludes)


def _unclosed(scope: Scope, value_set: ValueSet) -> str | None:
    open_ = {one.system for one in includes(scope, value_set) if not one.concepts}
    for system in scope.used.systems.values():
        if system.head.content == "fragment":
            return (
                "This extension is based on a fragment of the code system " + system.head.canonical
            )
        if system.head.grammar and system.head.url in open_:
            return (
                f"The code system {system.head.canonical} has a grammar and so has infinite members"
            )
    return None


def _several_versions(value_set: ValueSet) -> frozenset[str]:
    versions: dict[str, set[str]] = {}
    for include in value_set.includes:
        if include.system and include.version:
            versions.setdefault(include.system, set()).add(include.version)
    return frozenset(system for system, known in versions.items() if len(known) > 1)


async def _page(scope: Scope, value_set: ValueSet, wish: Wish) -> tuple[list[Entry], int]:
    if _is_one_query(value_set) and not wish.exclude_systems:
        return await _query_page(scope, value_set, wish)
    found = await members(scope, value_set)
    merged = _merged(found) if scope.versions_match else found
    entries = await aside(len(merged), _narrowed, scope, merged, wish)
    return _slice(entries, wish), len(entries)


def _merged(entries: list[Entry]) -> list[Entry]:
    """Each code once, in its highest version, where it was first."""
    kept: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        url, version, code = entry.key
        before = kept.get((url, code))
        if before is None or order(version) > order(before.key[1]):
            kept[url, code] = entry
    return list(kept.values())


def _is_one_query(value_set: ValueSet) -> bool:
    """True when the code system can answer by itself, without all codes in memory."""
    if len(value_set.includes) != 1:
        return False
    include = value_set.includes[0]
    return include.system is not None and all(
        one.system == include.system
        and one.version == include.version
        and not (one.concepts or one.value_sets)
        for one in (include, *value_set.excludes)
    )


async def _query_page(scope: Scope, value_set: ValueSet, wish: Wish) -> tuple[list[Entry], int]:
    include = value_set.includes[0]
    system = await used_system(scope, include)
    most = scope.limits.codes
    limit = most if wish.count is None else min(wish.count, most)
    query = Query(
        filters=include.filters,
        excluded=tuple(one.filters for one in value_set.excludes),
        active_only=wish.active_only or not value_set.inactive,
        selectable_only=wish.selectable_only,
        text=wish.text,
        languages=_tags(scope),
        offset=wish.offset,
        limit=limit if wish.paged else min(wish.limit or scope.limits.unpaged, most),
    )
    try:
        selection = await system.select(query)
    except UnsupportedFilter as error:
        raise not_understood(system, error) from error
    return [Entry(system, concept) for concept in selection.concepts], selection.total


def _tags(scope: Scope) -> tuple[str, ...]:
    return scope.languages.tags if scope.languages else ()


def _narrowed(scope: Scope, entries: Sequence[Entry], wish: Wish) -> list[Entry]:
    kept = [
        entry
        for entry in entries
        if not (wish.active_only and entry.concept.inactive)
        and not (wish.selectable_only and entry.concept.abstract)
        and not {entry.system.head.url, entry.system.head.canonical} & set(wish.exclude_systems)
    ]
    return _ranked(kept, wish.text, _tags(scope)) if wish.text else kept


def _ranked(entries: list[Entry], text: str, languages: tuple[str, ...]) -> list[Entry]:
    scored = []
    for position, entry in enumerate(entries):
        texts = searched(entry.concept, languages)
        if entry.reference and entry.reference.display:
            texts[0] = entry.reference.display
        score = relevance(text, texts)
        if score is not None:
            scored.append((score, entry.concept.code, position))
    return [entries[position] for _, _, position in sorted(scored)]


def _slice(entries: list[Entry], wish: Wish) -> list[Entry]:
    end = None if wish.count is None else wish.offset + wish.count
    return entries[wish.offset : end]
