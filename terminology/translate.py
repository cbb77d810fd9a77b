"""Codes mapped to another code system ($translate).

https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from terminology.coding import Coding
from terminology.concept_map import ConceptMap, Dependency, Group, Target, Unmapped
from terminology.implicit import SNOMED
from terminology.implicit_maps import implicit_concept_map
from terminology.issues import not_found
from terminology.scope import Scope, systems_of
from terminology.versions import SortKey, order, split

NO_MATCH = frozenset({"unmatched", "disjoint"})

# A mapping read from target to source (conceptmap-equivalence).
REVERSED = {
    "wider": "narrower",
    "narrower": "wider",
    "subsumes": "specializes",
    "specializes": "subsumes",
}

# The R5 relationship of each R4 equivalence.
RELATIONSHIPS = {
    "equivalent": "equivalent",
    "equal": "equivalent",
    "wider": "source-is-narrower-than-target",
    "subsumes": "source-is-narrower-than-target",
    "narrower": "source-is-broader-than-target",
    "specializes": "source-is-broader-than-target",
    "relatedto": "related-to",
    "inexact": "related-to",
    "disjoint": "not-related-to",
}


@dataclass(frozen=True, slots=True)
class Question:
    """Codes to translate; `reverse` reads the maps from target to source."""

    codings: Sequence[Coding]
    maps: tuple[ConceptMap, ...] = ()
    """Maps given with the request; else that of `url`, else all of the codes' systems.

    Of several versions the best one: active ones before drafts, those before retired ones,
    then the highest. Where no map is named, retired ones are left out.
    """
    url: str | None = None
    version: str | None = None
    source: str | None = None
    target: str | None = None
    source_system: str | None = None
    target_system: str | None = None
    reverse: bool = False
    dependencies: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A code that another maps to; `source` is the code that was asked for, or found (reverse)."""

    equivalence: str
    source: Coding
    target: Coding | None
    map: str
    product: tuple[Dependency, ...] = field(default=())


async def translate(scope: Scope, question: Question) -> list[Match]:
    """All matches, each once; Refusal 404 for an unknown map."""
    maps = question.maps or await _maps(scope, question)
    found: dict[Match, None] = {}
    for one in maps:
        for coding in question.codings:
            read = _backward if question.reverse else _forward
            matches = list(read(one, coding, question))
            if not question.reverse and not matches:
                matches = await _other_map(scope, one, coding, question, (one.canonical,))
            found |= dict.fromkeys(matches)
    return list(found)


async def _maps(scope: Scope, question: Question) -> Sequence[ConceptMap]:
    if question.url is not None:
        url, version = split(question.url)
        known = await _implied(scope, url, question)
        return [known or await _map(scope, url, question.version or version)]
    found: dict[str, list[ConceptMap]] = {}
    for system in dict.fromkeys(coding.system for coding in question.codings):
        for one in await scope.library.concept_maps(None, system):
            if one.status != "retired" and _is_between(one, question):
                found.setdefault(one.url or f"#{len(found)}", []).append(one)
    return [max(versions, key=_goodness) for versions in found.values()]


def _goodness(one: ConceptMap) -> tuple[bool, bool, tuple[SortKey, bool, SortKey]]:
    return one.status == "active", one.status != "retired", order(one.version)


async def _implied(scope: Scope, url: str, question: Question) -> ConceptMap | None:
    """The map that is no resource, as far as it is about the codes asked for."""
    if not url.startswith("http://snomed.info/"):
        return None
    systems = await systems_of(scope, SNOMED)
    codes = [one.code for one in question.codings if one.code]
    return await implicit_concept_map(systems, url, codes, reverse=question.reverse)


async def _map(scope: Scope, url: str, version: str | None) -> ConceptMap:
    known = await scope.library.concept_maps(url, None)
    fitting = [one for one in known if version is None or one.version == version]
    if not fitting:
        raise not_found(f"the concept map {url} is unknown")
    return max(fitting, key=_goodness)


def _is_between(one: ConceptMap, question: Question) -> bool:
    return question.source in (None, one.source) and question.target in (None, one.target)


def _fits(group: Group, question: Question) -> bool:
    return question.target_system in (None, group.target) and question.source_system in (
        None,
        group.source,
    )


def _forward(one: ConceptMap, coding: Coding, question: Question) -> Iterator[Match]:
    for group in one.groups:
        if group.source != coding.system or not _fits(group, question):
            continue
        targets = group.elements.get(coding.code or "")
        if targets is None:
            yield from _unmapped(one, group, coding)
        for target in targets or ():
            if _depends(target, question):
                yield _match(one, group, coding, target)


def _match(one: ConceptMap, group: Group, coding: Coding, target: Target) -> Match:
    found = (
        Coding(group.target, group.target_version, target.code, target.display)
        if target.code
        else None
    )
    return Match(target.equivalence, coding, found, one.canonical, target.product)


def _depends(target: Target, question: Question) -> bool:
    """True when what the mapping depends on was given, or nothing was given at all."""
    if not question.dependencies:
        return True
    given = {(one.property, one.value) for one in question.dependencies}
    return all((one.property, one.value) in given for one in target.depends_on)


def _unmapped(one: ConceptMap, group: Group, coding: Coding) -> Iterator[Match]:
    rule = group.unmapped
    if rule is None or rule.mode == "other-map":
        return
    code, display = (coding.code, None) if rule.mode == "provided" else (rule.code, rule.display)
    target = Coding(group.target, group.target_version, code, display)
    equivalence = "equal" if rule.mode == "provided" else "inexact"
    yield Match(equivalence, coding, target, one.canonical)


async def _other_map(
    scope: Scope, one: ConceptMap, coding: Coding, question: Question, seen: tuple[str, ...]
) -> list[Match]:
    """Matches of the map that a group names for codes it lacks; each map is asked once."""
    for group in one.groups:
        url = _other(group.unmapped) if group.source == coding.system else None
        if url is None or (coding.code or "") in group.elements:
            continue
        other = await _map(scope, *split(url))
        if other.canonical in seen:
            continue
        matches = list(_forward(other, coding, question))
        deeper = (*seen, other.canonical)
        return matches or await _other_map(scope, other, coding, question, deeper)
    return []


def _other(rule: Unmapped | None) -> str | None:
    return rule.url if rule and rule.mode == "other-map" else None


def _backward(one: ConceptMap, coding: Coding, question: Question) -> Iterator[Match]:
    for group in one.groups:
        if coding.system not in (None, group.target) or not _fits(group, question):
            continue
        for code, targets in group.elements.items():
            for target in targets:
                if target.code == coding.code and _depends(target, question):
                    source = Coding(group.source, group.source_version, code)
                    found = Coding(group.target, group.target_version, target.code, target.display)
                    equivalence = REVERSED.get(target.equivalence, target.equivalence)
                    yield Match(equivalence, source, found, one.canonical, target.product)


def is_match(match: Match) -> bool:
    """True when the match says that a translation exists."""
    return match.equivalence not in NO_MATCH and match.target is not None
