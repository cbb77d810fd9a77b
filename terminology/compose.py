"""The codes of a value set: which belong, and all of them.

An include is the intersection of all that it names, the includes are united, the excludes taken
away.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from collections.abc import Iterable
from dataclasses import dataclass

from terminology.code_system import CodeSystem, Query
from terminology.concepts import Concept
from terminology.filters import Filter, UnsupportedFilter
from terminology.issues import Refusal, refusal
from terminology.scope import Resolution, Scope, find_value_set, resolve, step
from terminology.value_set import ConceptReference, Include, ValueSet, read_value_set
from terminology.versions import join

Key = tuple[str, str | None, str]
"""System, version and code."""


class UnknownImport(Refusal):
    """A value set that another imports is unknown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A code of a value set; `reference` is set when an include lists it."""

    system: CodeSystem
    concept: Concept
    reference: ConceptReference | None = None

    @property
    def key(self) -> Key:
        """System, version and code."""
        return self.system.head.url, self.system.head.version, self.concept.code


async def prepare(scope: Scope, value_set: ValueSet, trail: tuple[str, ...] = ()) -> None:
    """Find all that a value set imports.

    Refusal for an unknown import, one that leads back to itself, too deep ones, filters
    without a value, codes without a system, and an expansion that has not all codes.
    """
    name = value_set.canonical
    if value_set.url and name in trail:
        path = ", ".join([*trail, name])
        raise refusal("VALUESET_CIRCULAR_REFERENCE", value_set=trail[0], path=path)
    if id(value_set) in scope.prepared:
        return
    if len(trail) >= scope.limits.depth:
        raise refusal("VALUESET_TOO_DEEP", value_set=trail[0], limit=scope.limits.depth)
    if value_set.partial:
        raise refusal("VALUESET_EXPANSION_PARTIAL", value_set=name)
    for system, version in value_set.editions.items():
        scope.editions.setdefault(system, version)
    for include in (*value_set.includes, *value_set.excludes):
        _require_system(value_set, include)
        _require_values(include)
        for canonical in include.value_sets:
            imported = await _import(scope, value_set, canonical)
            await prepare(scope, imported, (*trail, name))
    scope.prepared.add(id(value_set))


def _require_system(value_set: ValueSet, include: Include) -> None:
    if not include.system and (include.concepts or include.filters or not include.value_sets):
        raise refusal("VALUESET_INCLUDE_WITHOUT_SYSTEM", value_set=value_set.canonical)


def _require_values(include: Include) -> None:
    for one in include.filters:
        if not one.value:
            raise refusal(
                "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE",
                one.path,
                system=include.system,
                property=one.property,
                op=one.op,
            )


async def _import(scope: Scope, value_set: ValueSet, canonical: str) -> ValueSet:
    key = id(value_set), canonical
    if key not in scope.imports:
        found = _contained(value_set, canonical) or await find_value_set(scope, canonical)
        if found is None:
            unknown = refusal("Unable_to_resolve_value_Set_", value_set=canonical)
            raise UnknownImport(unknown.status, *unknown.issues)
        scope.imports[key] = found
        if found.url and not canonical.startswith("#"):
            scope.used.value_sets[found.canonical] = found
    return scope.imports[key]


def _contained(value_set: ValueSet, canonical: str) -> ValueSet | None:
    if not canonical.startswith("#"):
        return None
    for one in value_set.resource.get("contained", ()):
        if one.get("id") == canonical[1:] and one.get("resourceType") == "ValueSet":
            return read_value_set(one)
    return None


def pins(scope: Scope, value_set: ValueSet, system: str) -> list[str | None]:
    """The versions at which a prepared value set includes a system, imports too."""
    found = (i.version for i in includes(scope, value_set) if i.system == system)
    return list(dict.fromkeys(found))


def systems(scope: Scope, value_set: ValueSet) -> list[str]:
    """The systems that a prepared value set includes, imports too."""
    found = (i.system for i in includes(scope, value_set) if i.system)
    return list(dict.fromkeys(found))


def includes(scope: Scope, value_set: ValueSet) -> list[Include]:
    """The includes of a prepared value set and of all that it imports, each once."""
    found: list[Include] = []
    todo, seen = [value_set], {id(value_set)}
    while todo:
        one = todo.pop(0)
        found += one.includes
        for canonical in (each for include in one.includes for each in include.value_sets):
            imported = scope.imports.get((id(one), canonical))
            if imported is not None and id(imported) not in seen:
                seen.add(id(imported))
                todo.append(imported)
    return found


async def contains(scope: Scope, value_set: ValueSet, keys: Iterable[Key]) -> set[Key]:
    """Those of the keys that a prepared value set has; the codes exist."""
    await step(scope, value_set)
    asked, held = set(keys), set[Key]()
    for include in value_set.includes:
        held |= await _held(scope, value_set, include, asked - held)
    for exclude in value_set.excludes:
        held -= await _excluded(scope, value_set, exclude, held)
    return held if value_set.inactive else await _active(scope, value_set, held)


async def _active(scope: Scope, value_set: ValueSet, keys: set[Key]) -> set[Key]:
    kept = set[Key]()
    for include in includes(scope, value_set):
        if include.system is None:
            continue
        resolution = await resolve(scope, include.system, include.version)
        if resolution.system:
            codes = [key[2] for key in keys if key[:2] == (include.system, resolution.version)]
            found = await resolution.system.find(codes)
            active = (code for code, one in found.items() if not one.inactive)
            kept |= {(include.system, resolution.version, code) for code in active}
    return kept


async def _held(scope: Scope, value_set: ValueSet, include: Include, keys: set[Key]) -> set[Key]:
    await scope.used.pause()
    if include.system is not None and keys:
        resolution = await resolve(scope, include.system, include.version)
        keys = await _held_by_system(include, resolution, keys)
    for canonical in include.value_sets:
        keys = await contains(scope, scope.imports[id(value_set), canonical], keys)
    return keys


async def _held_by_system(include: Include, resolution: Resolution, keys: set[Key]) -> set[Key]:
    if resolution.system is None:
        return set()
    version = resolution.version
    codes = {code for url, given, code in keys if (url, given) == (include.system, version)}
    if include.concepts:
        codes &= {one.code for one in include.concepts}
    if include.filters and codes:
        codes = set(await filtered(resolution.system, include.filters, codes))
    return {(resolution.url, version, code) for code in codes}


async def filtered(
    system: CodeSystem, filters: tuple[Filter, ...], codes: Iterable[str]
) -> frozenset[str]:
    """Those of the codes for which the filters hold; Refusal for one not understood."""
    try:
        return await system.test(filters, tuple(codes))
    except UnsupportedFilter as error:
        raise not_understood(system, error) from error


def not_understood(system: CodeSystem, error: UnsupportedFilter) -> Refusal:
    """The refusal of a filter that a code system cannot evaluate."""
    return refusal(
        "FILTER_NOT_UNDERSTOOD",
        error.filter.path,
        system=system.head.url,
        property=error.filter.property,
        op=error.filter.op,
        reason=error.reason,
    )


async def _excluded(
    scope: Scope, value_set: ValueSet, exclude: Include, held: set[Key]
) -> set[Key]:
    """An exclude whose version no include has takes the codes of every version.

    So does each when the request says that versions match.
    """
    if exclude.system is None or exclude.value_sets:
        return await _held(scope, value_set, exclude, held)
    resolution = await resolve(scope, exclude.system, exclude.version)
    here = {key for key in held if key[0] == exclude.system}
    same = any(key[1] == resolution.version for key in here)
    if scope.versions_match is False or (same and scope.versions_match is None):
        return await _held(scope, value_set, exclude, held)
    moved = {(url, resolution.version, code) for url, _, code in here}
    gone = {code for _, _, code in await _held(scope, value_set, exclude, moved)}
    scope.used.across = bool(gone)
    return {key for key in here if key[2] in gone}


async def members(scope: Scope, value_set: ValueSet) -> list[Entry]:
    """All codes of a prepared value set in order, each once; Refusal when they are too many."""
    await step(scope, value_set)
    entries: dict[Key, Entry] = {}
    for include in value_set.includes:
        for entry in await _entries(scope, value_set, include):
            entries.setdefault(entry.key, entry)
        _limit(scope, value_set, len(entries))
    kept = set(entries)
    for exclude in value_set.excludes:
        kept -= await _excluded(scope, value_set, exclude, kept)
    return [
        entry
        for key, entry in entries.items()
        if key in kept and (value_set.inactive or not entry.concept.inactive)
    ]


def _limit(scope: Scope, value_set: ValueSet, count: int) -> None:
    if count > scope.limits.codes:
        raise refusal(
            "VALUESET_TOO_COSTLY", value_set=value_set.canonical, limit=scope.limits.codes
        )


async def _entries(scope: Scope, value_set: ValueSet, include: Include) -> list[Entry]:
    await scope.used.pause()
    imported = [scope.imports[id(value_set), canonical] for canonical in include.value_sets]
    if include.system is not None:
        entries = await _system_entries(scope, value_set, include)
    elif imported:
        entries = await members(scope, imported.pop(0))
    else:
        return []
    for one in imported:
        kept = await contains(scope, one, (entry.key for entry in entries))
        entries = [entry for entry in entries if entry.key in kept]
    return entries


async def _system_entries(scope: Scope, value_set: ValueSet, include: Include) -> list[Entry]:
    system = await used_system(scope, include)
    if include.concepts:
        return await _listed(system, include)
    query = Query(filters=include.filters, limit=scope.limits.codes + 1)
    try:
        selection = await system.select(query)
    except UnsupportedFilter as error:
        raise not_understood(system, error) from error
    _limit(scope, value_set, selection.total)
    return [Entry(system, concept) for concept in selection.concepts]


async def used_system(scope: Scope, include: Include) -> CodeSystem:
    """The code system of an include, noted as used; Refusal when it is unknown."""
    resolution = await resolve(scope, include.system or "", include.version)
    if resolution.system is None:
        raise refusal("UNKNOWN_CODESYSTEM_EXP", system=include.system)
    head = resolution.system.head
    scope.used.systems[join(head.url, head.version)] = resolution.system
    return resolution.system


async def _listed(system: CodeSystem, include: Include) -> list[Entry]:
    found = await system.find([one.code for one in include.concepts])
    entries = [Entry(system, found[one.code], one) for one in include.concepts if one.code in found]
    if not include.filters:
        return entries
    kept = await filtered(system, include.filters, [entry.concept.code for entry in entries])
    return [entry for entry in entries if entry.concept.code in kept]
