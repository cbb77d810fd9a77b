"""Which of many codings are of one meaning: in a value set, or above or below a code.

The codings are those that somebody uses, and only grow; what was chosen is kept as long as
what it rests on is the same, and only what is new is looked at.

https://hl7.org/fhir/R4/search.html#token
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from terminology.code_system import CodeSystem, Head, Query, Selection
from terminology.compose import (
    contains,
    filtered,
    includes,
    members,
    pins,
    prepare,
    systems,
)
from terminology.concept_map import ConceptMap
from terminology.concepts import Concept
from terminology.filters import Filter, UnsupportedFilter
from terminology.issues import Refusal, not_found, refusal
from terminology.library import Library
from terminology.recent import Recent
from terminology.scope import Scope, find_value_set, resolve, unknown_system
from terminology.value_set import ValueSet

Coding = tuple[str, str]
"""System and code."""

Editions = dict[tuple[str, str | None], CodeSystem]
"""Code systems by url and pinned version."""

Used = Mapping[str, Collection[str]]
"""Codes by their system; of each system in a steady order, new ones at the end."""

_MAX_KEPT = 1_000_000
"""Codings of all answers that are kept, some 100 bytes each."""
_LISTED = 5_000
"""A value set of so many codes at most is listed, where more codings than that are in use."""
_OPS = {"below": "is-a", "above": "generalizes"}


@dataclass(slots=True)
class _Chosen:
    """Codings chosen among the first `seen` of each system, and what that rests on."""

    question: tuple[object, ...]
    basis: tuple[object, ...]
    seen: dict[str, int] = field(default_factory=dict)
    found: set[Coding] = field(default_factory=set)

    def new(self, used: Used) -> dict[str, list[str]]:
        """Return the codes by system that were not looked at yet."""
        return {
            system: list(islice(codes, self.seen.get(system, 0), None))
            for system, codes in used.items()
            if len(codes) > self.seen.get(system, 0)
        }

    def learn(self, seen: Mapping[str, int], held: Iterable[Coding]) -> None:
        """Take in which codings of the first `seen` are meant; others may have learned more."""
        self.found.update(held)
        for system, number in seen.items():
            self.seen[system] = max(number, self.seen.get(system, 0))


class Choices:
    """What was chosen for the latest questions; a question is a key that names its codings."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[object, ...], _Chosen] = Recent(_MAX_KEPT)

    async def members(
        self, library: Library, of: object, canonical: str, used: Used
    ) -> set[Coding]:
        """Return the codings that are in a value set; `of` says whose codings they are.

        A code system that nobody has is taken at the value set's word: the codes that are
        listed are its, and of a whole system every code. Refusal for an unknown value set
        or version, and for filters that need an unknown system or cannot be evaluated.
        """
        scope = Scope(_Trusting(library), strict=False)
        value_set = await find_value_set(scope, canonical)
        if value_set is None:
            raise refusal("Unable_to_resolve_value_Set_", value_set=canonical)
        await prepare(scope, value_set)
        editions = await _editions(scope, value_set)
        basis = (value_set, *scope.imports.values(), *editions.values())
        chosen = self._chosen(("in", of, canonical), basis)
        if not chosen.seen:
            await _understood(scope, value_set, editions)
        new, seen = chosen.new(used), {system: len(codes) for system, codes in used.items()}
        listed = None
        if sum(map(len, new.values())) > _LISTED:
            listed = await _listed(scope, value_set)
        if listed is not None:
            held = _among(used, listed, editions)
        else:
            held = set()
            for (url, _), edition in editions.items():
                if url in new:
                    held |= await _held(scope, value_set, url, edition, new[url])
        chosen.learn(seen, held)
        self._keep(chosen)
        return chosen.found

    async def related(
        self, library: Library, of: object, modifier: str, coding: Coding, used: Used
    ) -> set[Coding]:
        """Return the codings `above` or `below` one, itself included.

        Refusal for an unknown system or code.
        """
        url, code = coding
        scope = Scope(library, strict=False)
        system = (await resolve(scope, url, None)).system
        if system is None:
            raise unknown_system(url, None, (), expanding=True)
        if code not in await system.find([code]):
            raise not_found("the code system does not know the code")
        chosen = self._chosen((modifier, of, coding), (system,))
        asked = Filter("concept", _OPS[modifier], code)
        known = used.get(url, ())
        seen = {url: len(known)}
        if codes := chosen.new({url: known}).get(url):
            held = await filtered(system, (asked,), codes)
            chosen.learn(seen, ((url, one) for one in held))
            self._keep(chosen)
        return chosen.found

    def _chosen(self, question: tuple[object, ...], basis: tuple[object, ...]) -> _Chosen:
        kept = self._kept.get(question)
        if kept is None or not _same(kept.basis, basis):
            kept = _Chosen(question, basis)
            self._keep(kept)
        return kept

    def _keep(self, chosen: _Chosen) -> None:
        self._kept.put(chosen.question, chosen, 1 + len(chosen.found))


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Return whether two bases are alike: the same systems, value sets that say the same."""
    if len(one) != len(other):
        return False
    return all(
        a is b or (isinstance(a, ValueSet) and isinstance(b, ValueSet) and a == b)
        for a, b in zip(one, other, strict=True)
    )


async def _listed(scope: Scope, value_set: ValueSet) -> list[Coding] | None:
    """Return the codings of a prepared value set; None where they are many, or cannot be listed."""
    limits = replace(scope.limits, codes=_LISTED)
    try:
        entries = await members(replace(scope, limits=limits), value_set)
    except Refusal:
        return None
    return [(one.system.head.url, one.concept.code) for one in entries]


def _among(used: Used, listed: Collection[Coding], editions: Editions) -> set[Coding]:
    """Return the codings in use that are listed, in any case where their system says so."""
    loose = {url for (url, _), one in editions.items() if not one.head.case_sensitive}
    found = {one for one in listed if one[0] not in loose and one[1] in used.get(one[0], ())}
    folded = {(url, code.casefold()) for url, code in listed if url in loose}
    for url in loose:
        found |= {(url, one) for one in used.get(url, ()) if (url, one.casefold()) in folded}
    return found


async def _understood(scope: Scope, value_set: ValueSet, editions: Editions) -> None:
    """Refusal for a filter that its code system cannot evaluate, whatever codes there are."""
    for include in (*includes(scope, value_set), *value_set.excludes):
        system = editions.get((include.system or "", include.version))
        if system is not None and include.filters:
            await filtered(system, include.filters, [""])


async def _editions(scope: Scope, value_set: ValueSet) -> Editions:
    """Return the code systems that a prepared value set includes, by url and pinned version."""
    found: Editions = {}
    for url in systems(scope, value_set):
        for pin in pins(scope, value_set, url):
            resolution = await resolve(scope, url, pin)
            if resolution.system is None or resolution.unknown is not None:
                raise unknown_system(url, pin, resolution.versions, expanding=True)
            found[url, pin] = resolution.system
    return found


async def _held(
    scope: Scope, value_set: ValueSet, url: str, system: CodeSystem, codes: Sequence[str]
) -> set[Coding]:
    """Return those of the codes that the value set has of this edition of their system."""
    version = system.head.version
    if system.head.case_sensitive:
        own = {code: code for code in await system.test((), codes)}
    else:
        own = {code: one.code for code, one in (await system.find(codes)).items()}
    asked = {(url, version, code) for code in own.values()}
    held = {code for _, _, code in await contains(scope, value_set, asked)}
    return {(url, code) for code, one in own.items() if one in held}


@dataclass(frozen=True, slots=True)
class _Trusting:
    """A library in which a code system that nobody has contains whatever is asked for."""

    library: Library

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url, or one that knows nothing but that codes are codes."""
        return await self.library.code_systems(url) or [_Assumed(Head(url))]

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url."""
        return await self.library.value_sets(url)

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        return await self.library.concept_maps(url, system)

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        return await self.library.systems()


@dataclass(frozen=True, slots=True)
class _Assumed:
    """A code system of which nothing is known."""

    head: Head

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Every code as a concept."""
        return {code: Concept(code) for code in codes}

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """UnsupportedFilter, unless there is none."""
        for one in filters:
            raise UnsupportedFilter(one, "the code system is not known")
        return frozenset(codes)

    async def select(self, query: Query) -> Selection:  # noqa: ARG002
        """No concept can be listed."""
        raise unknown_system(self.head.url, None, (), expanding=True)

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002
        """None."""
        return {}

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002
        """None."""
        return {}

    async def subsumes(self, ancestor: str, descendant: str) -> bool:  # noqa: ARG002
        """No code."""
        return False
