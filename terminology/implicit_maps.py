"""Concept maps that need no resource: reference sets of SNOMED CT.

https://hl7.org/fhir/R4/snomedct.html#4.3.1.0.7
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap, Group, Target
from terminology.implicit import SNOMED
from terminology.versions import matches, order

_URL = re.compile(
    r"(?P<edition>http://snomed\.info/x?sct(?:/\d+(?:/version/\d{8})?)?)"
    r"\?fhir_cm=(?P<refset>\d{6,18})"
)

# Historical associations; what an association means otherwise is not known.
ASSOCIATIONS = {
    "900000000000527005": "equal",
    "900000000000526001": "equivalent",
    "900000000000523009": "inexact",
    "900000000000530003": "inexact",
}
# The correlationId of a map, as R4's equivalence says it of the target.
CORRELATIONS = {
    "447557004": "equal",
    "447558009": "narrower",
    "447559001": "wider",
    "447560006": "inexact",
    "447556008": "unmatched",
}
# Systems that maps of the International Edition and of the US lead to.
TARGETS = {
    "447562003": "http://hl7.org/fhir/sid/icd-10",
    "447563008": "http://hl7.org/fhir/sid/icd-9-cm",
    "6011000124106": "http://hl7.org/fhir/sid/icd-10-cm",
    "446608001": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "900000000000497000": "http://read.info/ctv3",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A member of a reference set that leads from one code to another."""

    source: str
    target: str | None
    display: str | None = None
    """Of the target, where it is a concept of the same system."""
    fields: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class ReferenceSets(Protocol):
    """A code system whose reference sets are known."""

    async def mapped(
        self, refset: str, codes: Collection[str], *, reverse: bool
    ) -> Sequence[Mapped] | None:
        """Active members about the codes (reverse: that lead to them); None of no refset.

        In the order of groups and priorities.
        """
        ...


async def implicit_concept_map(
    systems: Iterable[CodeSystem], url: str, codes: Collection[str], *, reverse: bool
) -> ConceptMap | None:
    """The part about the codes of the map that the url implies; None where there is no such."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    pinned = None if found["edition"] == SNOMED else found["edition"]
    meant = (one for one in systems if pinned is None or matches(pinned, one.head.version))
    system = max(meant, key=lambda one: order(one.head.version), default=None)
    if not isinstance(system, ReferenceSets):
        return None
    rows = await system.mapped(found["refset"], codes, reverse=reverse)
    if rows is None:
        return None
    group = _group(found["refset"], system.head.version, rows)
    return ConceptMap(url, system.head.version, None, None, (group,))


def _group(refset: str, version: str | None, rows: Sequence[Mapped]) -> Group:
    elements: dict[str, list[Target]] = defaultdict(list)
    for one in rows:
        elements[one.source].append(_target(refset, one))
    inside = refset in ASSOCIATIONS or any("targetComponentId" in one.fields for one in rows)
    return Group(
        source=SNOMED,
        source_version=version,
        target=SNOMED if inside else TARGETS.get(refset),
        target_version=version if inside else None,
        elements={code: tuple(targets) for code, targets in elements.items()},
    )


def _target(refset: str, one: Mapped) -> Target:
    correlation = CORRELATIONS.get(one.fields.get("correlationId", ""), "relatedto")
    equivalence = ASSOCIATIONS.get(refset, correlation)
    return Target(one.target, equivalence if one.target else "unmatched", one.display)
