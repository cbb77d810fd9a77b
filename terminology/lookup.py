"""All that is known of one code ($lookup).

https://hl7.org/fhir/R4/codesystem-operation-lookup.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.code_system import CodeSystem, Head
from terminology.concepts import Concept, Designation, Property
from terminology.displays import Display, displays, preferred
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
    properties = await _properties(system, concept)
    return Found(
        head=system.head,
        concept=concept,
        display=best.text if best else None,
        designations=(*_default(known), *concept.designations),
        properties=tuple(one for one in properties if _is_wanted(one, wanted)),
        supplements=tuple(scope.used.supplements),
    )


def _default(known: list[Display]) -> tuple[Designation, ...]:
    if not known or known[0].designation is not None:
        return ()
    return (Designation(known[0].text, known[0].language),)


def _is_wanted(one: Property, wanted: Sequence[str]) -> bool:
    if not wanted:
        return one.code == "inactive"
    return "*" in wanted or one.code in wanted


async def _properties(system: CodeSystem, concept: Concept) -> list[Property]:
    """Those of the concept, whether it is inactive, and its parents and children."""
    found = [Property("inactive", "valueBoolean", concept.inactive)]
    found += [one for one in concept.properties if one.code not in {"inactive", "parent", "child"}]
    parents = (await system.parents([concept.code])).get(concept.code, ())
    children = (await system.children([concept.code])).get(concept.code, ())
    named = await system.find([*parents, *children])
    for code, related in (("parent", parents), ("child", children)):
        found += [
            Property(code, "valueCode", one, named[one].display) for one in related if one in named
        ]
    return found
