"""All that is known of one code ($lookup).

https://hl7.org/fhir/R4/codesystem-operation-lookup.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from terminology.code_system import CodeSystem, Head
from terminology.concepts import Concept, Designation, Property
from terminology.displays import Display, displays, preferred
from terminology.implicit import SNOMED
from terminology.issues import not_found
from terminology.scope import Scope, find_system, require_supplements


@dataclass(frozen=True, slots=True)
class Found:
    """A concept with the properties asked for and the supplements that were used."""

    head: Head
    concept: Concept
    display: str | None
    designations: tuple[Designation, ...]
    """The default display first, with no use, then those of the concept."""
    properties: tuple[Property, ...]
    supplements: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    """Displays of the properties that are concepts themselves, as SNOMED CT's attributes are."""


async def lookup(
    scope: Scope, url: str, version: str | None, code: str, wanted: Sequence[str]
) -> Found:
    """What a code means; Refusal 404 for an unknown system, version or code.

    `wanted` names properties; `*` is all, none is `inactive` alone.
    """
    await require_supplements(scope)
    system = await find_system(scope, url, version)
    concept = (await system.find([code])).get(code)
    if concept is None:
        raise not_found(f"the code system {system.head.canonical} does not know the code")
    known = displays(concept, system.head.language)
    best = preferred(known, scope.languages) or (known[0] if known else None)
    properties = await _properties(system, concept, wanted)
    return Found(
        head=system.head,
        concept=concept,
        display=best.text if best else None,
        designations=(*_default(known), *concept.designations),
        properties=tuple(properties),
        supplements=tuple(scope.used.supplements),
        names=await _names(system, properties),
    )


async def _names(system: CodeSystem, properties: Sequence[Property]) -> dict[str, str]:
    if system.head.url != SNOMED:
        return {}
    attributes = {one.code for one in properties if one.code.isdigit()}
    found = await system.find(attributes) if attributes else {}
    return {code: one.display for code, one in found.items() if one.display}


def _default(known: list[Display]) -> tuple[Designation, ...]:
    if not known or known[0].designation is not None:
        return ()
    return (Designation(known[0].text, known[0].language),)


def _is_wanted(one: Property, wanted: Sequence[str]) -> bool:
    if not wanted:
        return one.code == "inactive"
    return "*" in wanted or one.code in wanted


async def _properties(
    system: CodeSystem, concept: Concept, wanted: Sequence[str]
) -> list[Property]:
    """Of those of the concept, whether it is inactive, its parents and children: the wanted."""
    found = [Property("inactive", "valueBoolean", concept.inactive)]
    found += [one for one in concept.properties if one.code not in {"inactive", "parent", "child"}]
    found = [one for one in found if _is_wanted(one, wanted)]
    if {"*", "parent", "child"}.isdisjoint(wanted):
        return found
    parents = (await system.parents([concept.code])).get(concept.code, ())
    children = (await system.children([concept.code])).get(concept.code, ())
    named = await system.find([*parents, *children])
    for code, related in (("parent", parents), ("child", children)):
        near = [
            Property(code, "valueCode", one, named[one].display) for one in related if one in named
        ]
        found += [one for one in near if _is_wanted(one, wanted)]
    return found
