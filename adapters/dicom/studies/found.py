"""What the projection of a study refers to, as it was found in the FHIR server.

https://hl7.org/fhir/R4/references.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.codes import coding
from adapters.dicom.dataset.names import display

Json = dict[str, Any]

Token = tuple[str, str]
"""System and value of an identifier."""

PEOPLE = (
    ("ReferringPhysicianName", "ReferringPhysicianIdentificationSequence"),
    ("NameOfPhysiciansReadingStudy", "PhysiciansReadingStudyIdentificationSequence"),
    ("PerformingPhysicianName", "PerformingPhysicianIdentificationSequence"),
    ("OperatorsName", "OperatorIdentificationSequence"),
)
"""Attributes with names of people, and those that identify them, item by item."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to project: the zone of times without offset, what is shown, and local codes.

    `schemes` maps a designator such as 99LOCAL to its system, `issuers` a local name of an issuer;
    `laterality` is cid244 or r4.
    """

    zone: tzinfo
    keep_study_id: bool
    max_shown: int
    schemes: Mapping[str, str] = field(default_factory=dict)
    laterality: str = "cid244"
    issuers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The resources that a study is tied to.

    `orders` are its ServiceRequests, and of its patient; `people` and `devices` are literal
    references by identifier and by key, `location`, `endpoint` and `viewer` literal ones too.
    """

    subject: Json
    orders: tuple[Json, ...] = ()
    encounter: str | None = None
    procedures: tuple[str, ...] = ()
    people: Mapping[Token, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    endpoint: str | None = None
    viewer: str | None = None


def person_tokens(attributes: Attributes, schemes: Mapping[str, str]) -> set[Token]:
    """Return the identifiers of all people that are named with one."""
    return {
        token
        for _, identification in PEOPLE
        for item in items(attributes, identification)
        if (token := _token(item, schemes))
    }


def people(attributes: Attributes, pair: tuple[str, str], found: Found, rules: Rules) -> list[Json]:
    """Return a reference to each person that a pair of attributes names.

    The code of an item is that of the name at its place; who is unknown is told by it.
    """
    names = [str(value) for value in attributes.get(pair[0], ())]
    identified = items(attributes, pair[1])
    made = []
    for index in range(max(len(names), len(identified))):
        token = _token(identified[index], rules.schemes) if index < len(identified) else None
        name = display(text({"": [names[index]]}, "")) if index < len(names) else ""
        if one := _person(name, token, found):
            made.append(one)
    return made


def _person(name: str, token: Token | None, found: Found) -> Json:
    made: Json = {}
    if token and token in found.people:
        made["reference"] = found.people[token]
    elif token:
        made |= {"type": "Practitioner", "identifier": {"system": token[0], "value": token[1]}}
    if name:
        made["display"] = name
    return made


def _token(item: Attributes, schemes: Mapping[str, str]) -> Token | None:
    """Return the identifier of a person (PS3.3, Table 10-1)."""
    for code in items(item, "PersonIdentificationCodeSequence"):
        if coded := coding(code, schemes):
            return coded["system"], coded["code"]
    return None


def first(references: Sequence[Json]) -> Json | None:
    """Return the first reference, None without any."""
    return references[0] if references else None
