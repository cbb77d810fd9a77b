"""One defect of each class in a valid resource: found once, at its place, by its rule."""

import random
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.profiles.judging import validate_profiles
from fhir_server.profiles.profiles import Profiles
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from terminology.ucum.unit import unit

Json = dict[str, Any]
Found = tuple[str, str | None, str | None]

VALIDATOR = Validator(load(), Callbacks(units=unit))
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
UCUM = "http://unitsofmeasure.org"

PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"lastUpdated": "2020-01-01T00:00:00Z"},
    "language": "hi-IN",
    "text": {"status": "generated", "div": f"<div {XHTML}>x</div>"},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "A"}],
    "extension": [{"url": "http://x.test/e", "valueString": "x"}],
    "active": True,
    "name": [{"family": "Rao", "given": ["Asha"], "period": {"start": "2001", "end": "2002"}}],
    "telecom": [{"system": "phone", "value": "1", "rank": 1}],
    "gender": "female",
    "birthDate": "1980-02-29",
    "photo": [{"contentType": "image/png", "data": "aGVsbG8=", "url": "http://x.test/p"}],
    "contact": [{"name": {"family": "Rao"}}],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "hi"}]}}],
    "generalPractitioner": [{"reference": "Practitioner/d"}],
    "managingOrganization": {"reference": "#o"},
    "link": [{"other": {"reference": "Patient/q"}, "type": "seealso"}],
}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
    "subject": {"reference": "Patient/p"},
    "effectiveDateTime": "2021-02-28T10:00:00+05:30",
    "issued": "2021-02-28T10:00:00Z",
    "valueQuantity": {"value": Decimal("1.40"), "system": UCUM, "code": "mm[Hg]"},
    "component": [{"code": {"text": "y"}, "valueInteger": 3}],
}
CONDITION: Json = {
    "resourceType": "Condition",
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
    "subject": {"reference": "Patient/p"},
    "onsetAge": {"value": 3, "system": UCUM, "code": "a"},
}
BUNDLE: Json = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"fullUrl": "http://x.test/Patient/p", "resource": {"resourceType": "Patient", "id": "p"}},
        {
            "fullUrl": "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d",
            "resource": {
                "resourceType": "Basic",
                "code": {"text": "x"},
                "author": {"reference": "http://x.test/Patient/p"},
            },
        },
    ],
}
VALID = {one["resourceType"]: one for one in (PATIENT, OBSERVATION, CONDITION, BUNDLE)}


def put(*steps: str | int, value: object) -> Callable[[Json], None]:
    def change(data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        if isinstance(data, list) and steps[-1] == len(data):
            data.append(value)
        else:
            data[steps[-1]] = value

    return change


def drop(*steps: str | int) -> Callable[[Json], None]:
    def change(data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        del data[steps[-1]]

    return change


def div(inner: str) -> Callable[[Json], None]:
    return put("text", "div", value=f"<div {XHTML}>{inner}</div>")


def inner(resource: Json) -> Callable[[Json], None]:
    return put("contained", 0, value={"resourceType": "Organization", "id": "o", **resource})


P, O, C, B = "Patient", "Observation", "Condition", "Bundle"  # noqa: E741  (as types)

# Rule class: type, change, and what is found: code, place, key of the invariant.
MUTATIONS: dict[str, tuple[str, Callable[[Json], None], Found]] = {
    # The structure of JSON.
    "unknown member": (P, put("nam", value=1), ("structure", "Patient.nam", None)),
    "unknown member inside": (
        P,
        put("name", 0, "first", value="x"),
        ("structure", "Patient.name[0].first", None),
    ),
    "member of R4B": (P, put("_id", value={"id": "x"}), ("structure", "Patient._id", None)),
    "array for one value": (P, put("gender", value=["x"]), ("structure", "Patient.gender", None)),
    "one value for an array": (P, put("name", value={}), ("structure", "Patient.name", None)),
    "object for a primitive": (
        P,
        put("birthDate", value={"a": 1}),
        ("structure", "Patient.birthDate", None),
    ),
    "primitive for an object": (
        P,
        put("contact", 0, "name", value="x"),
        ("structure", "Patient.contact[0].name", None),
    ),
    "null": (P, put("active", value=None), ("structure", "Patient.active", None)),
    "empty array": (P, put("name", value=[]), ("structure", "Patient.name", None)),
    "empty object": (P, put("name", 0, value={}), ("structure", "Patient.name[0]", None)),
    "empty string": (
        P,
        put("name", 0, "family", value=""),
        ("value", "Patient.name[0].family", None),
    ),
    "two types of a choice": (
        O,
        put("valueString", value="x"),
        ("structure", "Observation.value", None),
    ),
    "element missing": (O, drop("status"), ("required", "Observation.status", None)),
    "element missing inside": (
        P,
        drop("link", 0, "type"),
        ("required", "Patient.link[0].type", None),
    ),
    "extension without url": (
        P,
        drop("extension", 0, "url"),
        ("required", "Patient.extension[0].url", None),
    ),
    "unknown resource type inside": (
        P,
        put("contained", 0, "resourceType", value="Nope"),
        ("structure", "Patient.contained[0].resourceType", None),
    ),
    "siblings of two lengths": (
        P,
        put("name", 0, "_given", value=[{"id": "a"}, {"id": "b"}]),
        ("structure", "Patient.name[0].given", None),
    ),
    "null without extensions": (
        P,
        put("name", 0, "given", value=["A", None]),
        ("structure", "Patient.name[0].given[1]", None),
    ),
    "empty sibling": (P, put("_birthDate", value={}), ("structure", "Patient.birthDate", None)),
    # Formats.
    "boolean as text": (P, put("active", value="true"), ("value", "Patient.active", None)),
    "number as text": (
        O,
        put("valueQuantity", "value", value="1"),
        ("value", "Observation.value.ofType(Quantity).value", None),
    ),
    "fraction of an integer": (
        O,
        put("component", 0, "valueInteger", value=Decimal("3.0")),
        ("value", "Observation.component[0].value.ofType(integer)", None),
    ),
    "zero of positiveInt": (
        P,
        put("telecom", 0, "rank", value=0),
        ("value", "Patient.telecom[0].rank", None),
    ),
    "integer too large": (
        O,
        put("component", 0, "valueInteger", value=2**31),
        ("value", "Observation.component[0].value.ofType(integer)", None),
    ),
    "day that no month has": (
        P,
        put("birthDate", value="1981-02-29"),
        ("value", "Patient.birthDate", None),
    ),
    "time without offset": (
        O,
        put("effectiveDateTime", value="2021-02-28T10:00:00"),
        ("value", "Observation.effective.ofType(dateTime)", None),
    ),
    "instant without time": (
        O,
        put("issued", value="2021-02-28"),
        ("value", "Observation.issued", None),
    ),
    "id too long": (P, put("id", value="a" * 65), ("value", "Patient.id", None)),
    "blank in a uri": (
        P,
        put("photo", 0, "url", value="http://x y"),
        ("value", "Patient.photo[0].url", None),
    ),
    "blanks in a code": (
        O,
        put("valueQuantity", "code", value=" mg"),
        ("value", "Observation.value.ofType(Quantity).code", None),
    ),
    "no base64": (P, put("photo", 0, "data", value="a"), ("value", "Patient.photo[0].data", None)),
    "control character": (
        P,
        put("name", 0, "family", value="a\x07"),
        ("value", "Patient.name[0].family", None),
    ),
    "text too long": (
        P,
        put("name", 0, "family", value="a" * 1_048_577),
        ("too-long", "Patient.name[0].family", None),
    ),
    # Codes.
    "code of no value set": (P, put("gender", value="f"), ("code-invalid", "Patient.gender", None)),
    "concept of no value set": (
        C,
        put("clinicalStatus", "coding", 0, "code", value="gone"),
        ("code-invalid", "Condition.clinicalStatus", None),
    ),
    "concept of another system": (
        C,
        put("clinicalStatus", "coding", 0, "system", value="urn:x"),
        ("code-invalid", "Condition.clinicalStatus", None),
    ),
    "text alone where a code is required": (
        C,
        put("clinicalStatus", value={"text": "x"}),
        ("code-invalid", "Condition.clinicalStatus", None),
    ),
    "no language tag": (P, put("language", value="h"), ("code-invalid", "Patient.language", None)),
    "no language tag in a concept": (
        P,
        put("communication", 0, "language", "coding", 0, "code", value="hindi language"),
        ("code-invalid", "Patient.communication[0].language", None),
    ),
    "no MIME type": (
        P,
        put("photo", 0, "contentType", value="png"),
        ("value", "Patient.photo[0].contentType", None),
    ),
    "age in no unit of time": (
        C,
        put("onsetAge", "code", value="kg"),
        ("code-invalid", "Condition.onset.ofType(Age).code", None),
    ),
    # Narrative.
    "script": (P, div("<script>x</script>"), ("security", "Patient.text.div", None)),
    "attribute that runs": (P, div('<p onclick="x">y</p>'), ("security", "Patient.text.div", None)),
    "link that runs": (
        P,
        div('<a href="javascript:x">y</a>'),
        ("security", "Patient.text.div", None),
    ),
    "no XML": (P, div("<p>"), ("invalid", "Patient.text.div", None)),
    "narrative without content": (P, div(" "), ("invariant", "Patient.text.div", "txt-2")),
    # What is contained.
    "contained in contained": (
        P,
        inner({"name": "A", "contained": [{"resourceType": "Basic", "code": {"text": "x"}}]}),
        ("invariant", "Patient.contained[0].contained", "dom-2"),
    ),
    "contained and unlinked": (
        P,
        put("managingOrganization", value={"display": "x"}),
        ("invariant", "Patient.contained[0]", "dom-3"),
    ),
    "contained without an id": (
        P,
        put("contained", 1, value={"resourceType": "Organization", "name": "B"}),
        ("invariant", "Patient.contained[1]", "dom-3"),
    ),
    "contained with a version": (
        P,
        inner({"name": "A", "meta": {"versionId": "1"}}),
        ("invariant", "Patient.contained[0].meta", "dom-4"),
    ),
    "contained with a label": (
        P,
        inner({"name": "A", "meta": {"security": [{"code": "R"}]}}),
        ("invariant", "Patient.contained[0].meta.security", "dom-5"),
    ),
    "two contained of one id": (
        P,
        put("contained", 1, value={"resourceType": "Organization", "id": "o", "name": "B"}),
        ("duplicate", "Patient.contained[1].id", None),
    ),
    # References.
    "contained resource that is not there": (
        P,
        put("generalPractitioner", 0, "reference", value="#none"),
        ("invariant", "Patient.generalPractitioner[0]", "ref-1"),
    ),
    "reference to no type": (
        P,
        put("generalPractitioner", 0, "reference", value="Nope/1"),
        ("invalid", "Patient.generalPractitioner[0].reference", None),
    ),
    "reference of too many steps": (
        P,
        put("generalPractitioner", 0, "reference", value="Practitioner/1/2"),
        ("invalid", "Patient.generalPractitioner[0].reference", None),
    ),
    "reference with no id": (
        P,
        put("generalPractitioner", 0, "reference", value="Practitioner/a_b"),
        ("invalid", "Patient.generalPractitioner[0].reference", None),
    ),
    "reference to no version": (
        P,
        put("generalPractitioner", 0, "reference", value="Practitioner/1/_history/"),
        ("invalid", "Patient.generalPractitioner[0].reference", None),
    ),
    "reference to another type": (
        O,
        put("subject", "reference", value="Practitioner/1"),
        ("invalid", "Observation.subject.reference", None),
    ),
    "absolute reference to another type": (
        O,
        put("subject", "reference", value="https://x.test/r4/Practitioner/1/_history/2"),
        ("invalid", "Observation.subject.reference", None),
    ),
    "reference to another type inside": (
        P,
        put("generalPractitioner", 0, value={"reference": "#"}),
        ("invalid", "Patient.generalPractitioner[0].reference", None),
    ),
    "reference and type at odds": (
        O,
        put("subject", "type", value="Group"),
        ("invalid", "Observation.subject.type", None),
    ),
    "type that is no target": (
        O,
        put("subject", value={"type": "Medication", "display": "x"}),
        ("invalid", "Observation.subject.type", None),
    ),
    # Invariants.
    "extension with both": (
        P,
        put("extension", 0, "extension", value=[{"url": "y", "valueString": "x"}]),
        ("invariant", "Patient.extension[0]", "ext-1"),
    ),
    "extension with nothing": (
        P,
        drop("extension", 0, "valueString"),
        ("invariant", "Patient.extension[0]", "ext-1"),
    ),
    "rule of a backbone": (
        P,
        put("contact", 0, value={"gender": "male"}),
        ("invariant", "Patient.contact[0]", "pat-1"),
    ),
    "rule of a resource": (
        O,
        put("dataAbsentReason", value={"text": "x"}),
        ("invariant", "Observation", "obs-6"),
    ),
    "rule over several elements": (
        O,
        put("component", 0, "code", value=deepcopy(OBSERVATION["code"])),
        ("invariant", "Observation", "obs-7"),
    ),
    "rule of a data type": (
        O,
        drop("valueQuantity", "system"),
        ("invariant", "Observation.value.ofType(Quantity)", "qty-3"),
    ),
    "period that ends before it starts": (
        P,
        put("name", 0, "period", "end", value="2000"),
        ("invariant", "Patient.name[0].period", "per-1"),
    ),
    "rule of a coded state": (
        C,
        put("abatementString", value="x"),
        ("invariant", "Condition", "con-4"),
    ),
    # Bundles.
    "two entries of one fullUrl": (
        B,
        put("entry", 1, value=deepcopy(BUNDLE["entry"][0])),
        ("invariant", "Bundle", "bdl-7"),
    ),
    "fullUrl of a version": (
        B,
        put("entry", 0, "fullUrl", value="http://x.test/Patient/p/_history/1"),
        ("invariant", "Bundle.entry[0]", "bdl-8"),
    ),
    "relative fullUrl": (
        B,
        put("entry", 0, "fullUrl", value="Patient/p"),
        ("value", "Bundle.entry[0].fullUrl", None),
    ),
    "fullUrl of another id": (
        B,
        put("entry", 0, "fullUrl", value="http://x.test/Patient/q"),
        ("invalid", "Bundle.entry[0].fullUrl", None),
    ),
    "fullUrl of another type": (
        B,
        put("entry", 0, "fullUrl", value="http://x.test/Group/p"),
        ("invalid", "Bundle.entry[0].fullUrl", None),
    ),
    "total of a collection": (B, put("total", value=1), ("invariant", "Bundle", "bdl-1")),
    "reference to another type in the Bundle": (
        B,
        put("entry", 1, "resource", "author", "reference", value=BUNDLE["entry"][1]["fullUrl"]),
        ("invalid", "Bundle.entry[1].resource.author.reference", None),
    ),
    "defect of an entry": (
        B,
        put("entry", 0, "resource", "birthDate", value="x"),
        ("value", "Bundle.entry[0].resource.birthDate", None),
    ),
}  # fmt: skip


def judged(data: Json) -> list[Found]:
    issues = VALIDATOR.validate(data["resourceType"], b"", data)
    return [(one.code, one.expression, one.rule) for one in issues]


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_without_a_defect_nothing_is_found(data: Json) -> None:
    assert judged(deepcopy(data)) == []


@pytest.mark.parametrize(("type_name", "change", "found"), MUTATIONS.values(), ids=MUTATIONS)
def test_defect_is_found(type_name: str, change: Callable[[Json], None], found: Found) -> None:
    data = deepcopy(VALID[type_name])
    change(data)
    assert judged(data) == [found]


def test_there_is_a_defect_of_each_of_sixty_classes() -> None:
    assert len(MUTATIONS) >= 60


ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    "",
    "x",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"id": 1},
    "#",
    "a/1",
]


def mutated(rng: random.Random) -> Json:
    """Return a resource with one to four members deleted, replaced or wrapped anywhere in it."""
    data = deepcopy(rng.choice(list(VALID.values())))
    for _ in range(rng.randint(1, 4)):
        place: Any = data
        key: Any = rng.choice([name for name in data if name != "resourceType"])
        while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.75:
            place = place[key]
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        chosen = rng.random()
        if chosen < 0.3 and (place is not data or len(data) > 2):
            del place[key]
        elif key != "resourceType":
            place[key] = deepcopy(rng.choice(ODD)) if chosen < 0.8 else [place[key]]
    return data


@pytest.mark.parametrize("seed", range(4))
def test_any_mutation_is_judged(seed: int) -> None:
    rng = random.Random(seed)
    profiles, sound = Profiles(load()), 0
    for _ in range(250):
        data = mutated(rng)
        found = VALIDATOR.judge(data["resourceType"], data, advice=True).issues
        assert all(one.text and one.severity and one.code for one in found)
        if not found:
            validate_profiles(profiles, data)
            sound += 1
    assert 0 < sound < 250
