from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patching import EXTENSION, PATIENT, changes, operation, parts, patched

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.patch import fhirpath_patch
from fhir_server.patch.document import require_same_identity
from fhir_server.r4 import json
from fhir_server.r4.definitions import load

NAME = PATIENT["name"][0]
OTHER = PATIENT["name"][1]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (
            operation("add", "Patient", name="gender", value={"valueCode": "male"}),
            {"gender": "male"},
        ),
        (
            operation("add", "Patient", name="gender", value={"valueString": "male"}),
            {"gender": "male"},
        ),
        (
            operation(
                "add",
                "Patient",
                name="maritalStatus",
                value={"valueCodeableConcept": {"text": "M"}},
            ),
            {"maritalStatus": {"text": "M"}},
        ),
        (
            operation("add", "Patient", name="multipleBirth", value={"valueInteger": 2}),
            {"multipleBirthInteger": 2},
        ),
        (
            operation(
                "add",
                "Patient",
                name="language",
                value={"valueCode": "en", "_valueCode": {"id": "l"}},
            ),
            {"language": "en", "_language": {"id": "l"}},
        ),
        (
            operation("add", "Patient.name[0]", name="given", value={"valueString": "D"}),
            {
                "name": [
                    {
                        **NAME,
                        "given": ["A", None, "C", "D"],
                        "_given": [*NAME["_given"], None],
                    },
                    OTHER,
                ]
            },
        ),
        (
            operation("add", "name[1]", name="given", value={"valueString": "D"}),
            {"name": [NAME, {"text": "B", "given": ["D"]}]},
        ),
        (
            operation(
                "add",
                "Patient.active",
                name="extension",
                value={"part": parts({"url": {"valueUri": "u"}})},
            ),
            {"_active": {"extension": [{"url": "u"}]}},
        ),
        (
            operation(
                "add",
                "Patient.name.given[2]",
                name="extension",
                value={"part": parts({"url": {"valueUri": "u"}, "value": {"valueCode": "c"}})},
            ),
            {
                "name": [
                    {**NAME, "_given": [*NAME["_given"][:2], {"extension": [EXTENSION]}]},
                    OTHER,
                ]
            },
        ),
        (
            operation(
                "add",
                "Patient",
                name="contact",
                value={
                    "part": [
                        *parts({"relationship": {"valueCodeableConcept": {"text": "r"}}}),
                        *parts({"relationship": {"valueCodeableConcept": {"text": "s"}}}),
                        *parts({"name": {"valueHumanName": {"text": "M"}}}),
                        *parts({"period": {"part": parts({"start": {"valueDateTime": "2000"}})}}),
                    ]
                },
            ),
            {
                "contact": [
                    {"name": {"text": "N"}},
                    {
                        "relationship": [{"text": "r"}, {"text": "s"}],
                        "name": {"text": "M"},
                        "period": {"start": "2000"},
                    },
                ]
            },
        ),
        (
            operation(
                "add",
                "Patient",
                name="contained",
                value={"resource": {"resourceType": "Group", "id": "g"}},
            ),
            {"contained": [*PATIENT["contained"], {"resourceType": "Group", "id": "g"}]},
        ),
        (
            operation(
                "add",
                "Patient.contained.where(id = 'o')",
                name="alias",
                value={"valueString": "P"},
            ),
            {"contained": [{**PATIENT["contained"][0], "alias": ["P"]}]},
        ),
    ],
)
def test_add(op: dict[str, Any], expected: dict[str, Any]) -> None:
    assert changes(op) == expected


@pytest.mark.parametrize("index", [0, 1, 2])
def test_insert(index: int) -> None:
    new = {"system": "n"}
    expected = list(PATIENT["telecom"])
    expected.insert(index, new)
    op = operation("insert", "Patient.telecom", index=index, value={"valueContactPoint": new})
    assert changes(op) == {"telecom": expected}


def test_insert_into_a_list_that_is_not_there() -> None:
    op = operation("insert", "Patient.photo", index=0, value={"valueAttachment": {"url": "u"}})
    assert changes(op) == {"photo": [{"url": "u"}]}


def test_insert_moves_ids_and_extensions_of_primitives_along() -> None:
    op = operation("insert", "Patient.name[0].given", index=1, value={"valueString": "X"})
    assert changes(op)["name"][0] == {
        **NAME,
        "given": ["A", "X", None, "C"],
        "_given": [{"id": "a"}, None, {"extension": [EXTENSION]}, None],
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Patient.active", {"active": None}),
        ("Patient.birthDate", {"birthDate": None, "_birthDate": None}),
        ("Patient.birthDate.id", {"_birthDate": {"extension": [EXTENSION]}}),
        ("Patient.deceased", {"deceasedDateTime": None}),
        ("Patient.deceased.ofType(dateTime)", {"deceasedDateTime": None}),
        ("Patient.deceased.ofType(boolean)", {}),
        ("Patient.gender", {}),
        ("Patient.photo[3].url", {}),
        ("Patient.identifier[1]", {"identifier": PATIENT["identifier"][::2]}),
        ("Patient.identifier.where(value = '2')", {"identifier": PATIENT["identifier"][::2]}),
        (
            "Patient.identifier.where(system = 's' and use = 'official').value",
            {
                "identifier": [
                    PATIENT["identifier"][0],
                    {"system": "s", "use": "official"},
                    PATIENT["identifier"][2],
                ]
            },
        ),
        (
            "Patient.identifier.where(use = 'official')[1]",
            {"identifier": PATIENT["identifier"][:2]},
        ),
        ("Patient.identifier.last()", {"identifier": PATIENT["identifier"][:2]}),
        ("Patient.identifier.first()", {"identifier": PATIENT["identifier"][1:]}),
        ("Patient.extension('v')", {"extension": [EXTENSION]}),
        ("Patient.extension('w')", {}),
        ("Patient.telecom.where(rank = 2.0)", {"telecom": PATIENT["telecom"][:1]}),
        ("Patient.contact[0].name.text", {"contact": None}),
        (
            "Patient.name[0].given[1]",
            {"name": [{**NAME, "given": ["A", "C"], "_given": [{"id": "a"}, None]}, OTHER]},
        ),
        (
            "Patient.name[0].given[1].extension",
            {"name": [{**NAME, "given": ["A", "C"], "_given": [{"id": "a"}, None]}, OTHER]},
        ),
        (
            "Patient.name.given.where($this = 'A')",
            {
                "name": [
                    {**NAME, "given": [None, "C"], "_given": [{"extension": [EXTENSION]}, None]},
                    OTHER,
                ]
            },
        ),
        ("Patient.birthDate.extension('u')", {"_birthDate": {"id": "b"}}),
        ("Patient.name[1].text", {"name": [NAME]}),
        ("Patient.contained.ofType(Organization)", {"contained": None}),
        ("Patient.contained.ofType(Patient)", {}),
        ("Patient.contained[0].name", {"contained": [{"resourceType": "Organization", "id": "o"}]}),
    ],
)
def test_delete(path: str, expected: dict[str, Any]) -> None:
    assert changes(operation("delete", path)) == expected


@pytest.mark.parametrize(
    "criterion",
    [
        "birthDate = @2000-01-01",
        "birthDate = '2000-01-01'",
        "active = true",
        "deceased = @2020-01-01T08:00:00Z",
        "name[0].given.first() = 'A'",
        "telecom.where(rank = 1).value = 'x'",
    ],
)
def test_criteria_that_hold(criterion: str) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"fullUrl": "urn:x"}]}
    op = operation("delete", f"Bundle.entry.resource.where({criterion})")
    assert changes(op, document=bundle) == {"entry": [{"fullUrl": "urn:x"}]}


@pytest.mark.parametrize(
    "criterion",
    [
        "active = 'true'",
        "active = 1",
        "birthDate = @2000-01",
        "deceased = @2020-01-01T10:00:00Z",
        "telecom.rank = 1",
        "gender = 'male'",
        "telecom[0].rank = true",
        "telecom[0].rank = '1'",
    ],
)
def test_criteria_that_do_not_hold(criterion: str) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": PATIENT}]}
    assert changes(operation("delete", f"entry.resource.where({criterion})"), document=bundle) == {}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("Patient.active", {"valueBoolean": False}, {"active": False}),
        ("Patient.birthDate", {"valueDate": "1999"}, {"birthDate": "1999", "_birthDate": None}),
        (
            "Patient.birthDate",
            {"_valueDate": {"extension": [EXTENSION]}},
            {"birthDate": None, "_birthDate": {"extension": [EXTENSION]}},
        ),
        (
            "Patient.birthDate.id",
            {"valueString": "c"},
            {"_birthDate": {**PATIENT["_birthDate"], "id": "c"}},
        ),
        ("Patient.text.div", {"valueString": "<b/>"}, {"text": {"status": "empty", "div": "<b/>"}}),
        (
            "Patient.deceased",
            {"valueBoolean": True},
            {"deceasedDateTime": None, "deceasedBoolean": True},
        ),
        (
            "Patient.deceased.ofType(dateTime)",
            {"valueDateTime": "2021"},
            {"deceasedDateTime": "2021"},
        ),
        (
            "Patient.name[0].given[0]",
            {"valueString": "Z"},
            {
                "name": [
                    {**NAME, "given": ["Z", None, "C"], "_given": [None, *NAME["_given"][1:]]},
                    OTHER,
                ]
            },
        ),
        ("Patient.name[1]", {"valueHumanName": {"text": "Q"}}, {"name": [NAME, {"text": "Q"}]}),
        (
            "Patient.telecom.last().rank",
            {"valuePositiveInt": 7},
            {"telecom": [PATIENT["telecom"][0], {"rank": 7, "value": "y"}]},
        ),
        (
            "Patient.contact",
            {"part": parts({"gender": {"valueCode": "male"}})},
            {"contact": [{"gender": "male"}]},
        ),
        (
            "Patient.extension('v').value",
            {"valueBoolean": True},
            {"extension": [EXTENSION, {"url": "v", "valueBoolean": True}]},
        ),
    ],
)
def test_replace(path: str, value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert changes(operation("replace", path, value=value)) == expected


def test_move_takes_ids_and_extensions_along() -> None:
    op = operation("move", "Patient.name[0].given", source=0, destination=2)
    assert changes(op)["name"][0] == {
        **NAME,
        "given": [None, "C", "A"],
        "_given": [{"extension": [EXTENSION]}, None, {"id": "a"}],
    }


def test_operations_run_in_order() -> None:
    assert changes(
        operation("delete", "Patient.telecom[0]"),
        operation("delete", "Patient.telecom[0]"),
        operation("add", "Patient", name="telecom", value={"valueContactPoint": {"value": "z"}}),
        operation("replace", "Patient.telecom.value", value="zz"),
    ) == {"telecom": [{"value": "zz"}]}


def test_values_of_the_patch_are_not_changed_by_later_operations() -> None:
    added = operation("add", "Patient", name="photo", value={"valueAttachment": {"url": "u"}})
    later = operation("replace", "Patient.photo.url", value={"valueUrl": "v"})
    assert patched(added, later)["photo"] == [{"url": "v"}]
    assert added["part"][3]["valueAttachment"] == {"url": "u"}


def test_a_patch_without_operations_changes_nothing() -> None:
    assert fhirpath_patch.apply(load(), "Patient", PATIENT, {"resourceType": "Parameters"}) == (
        PATIENT
    )


def test_numbers_keep_their_literal() -> None:
    raw = b'{"resourceType":"Observation","valueQuantity":{"value":0.0000000100},"component":[{"va'
    raw += b'lueQuantity":{"value":1.0e2}}]}'
    op = json.decode_keeping(
        b'{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path",'
        b'"valueString":"Observation.component.value.value"},{"name":"value","valueDecimal":2.50E1'
        b"}]}"
    )
    assert json.encode(patched(op, document=json.decode_keeping(raw))) == raw.replace(
        b"1.0e2", b"2.50E1"
    )


@pytest.mark.parametrize("name", ["id", "resourceType"])
def test_identity_must_not_change(name: str) -> None:
    require_same_identity(PATIENT, {**PATIENT, "active": False})
    for after in ({**PATIENT, name: "x"}, {n: v for n, v in PATIENT.items() if n != name}):
        with pytest.raises(Unprocessable):
            require_same_identity(PATIENT, after)


PATHS = st.lists(
    st.sampled_from(
        [
            *("Patient", "name", "given", "[0]", "[1]", "extension", "extension('u')", "value"),
            *("first()", "last()", "where(use = 'official')", "ofType(string)", "id", "contained"),
            *("contact", "birthDate", "deceased", "text", "div", "where($this = 'A')", "url"),
        ]
    ),
    min_size=1,
    max_size=5,
).map(lambda steps: ".".join(steps).replace(".[", "["))
VALUES = st.sampled_from(
    [
        {"valueString": "x"},
        {"valueCode": "x", "_valueCode": {"id": "i"}},
        {"_valueString": {"extension": [EXTENSION]}},
        {"valueHumanName": {"given": ["x"]}},
        {"valueHumanName": "ill"},
        {"valueString": {"ill": 1}},
        {"valueBoolean": True},
        {"part": [{"name": "url", "valueUri": "u"}]},
        {"part": [{"name": "name", "valueHumanName": {"text": "x"}}]},
        {"resource": {"resourceType": "Patient", "name": "ill"}},
        {"resource": "ill"},
        {},
    ]
)
NUMBERS = st.integers(-1, 3)
RANDOM = st.one_of(
    st.builds(
        lambda path, name, value: operation("add", path, name=name, value=value),
        PATHS,
        st.sampled_from(["name", "given", "extension", "id", "value", "contact", "contained"]),
        VALUES,
    ),
    st.builds(
        lambda path, index, value: operation("insert", path, index=index, value=value),
        PATHS,
        NUMBERS,
        VALUES,
    ),
    st.builds(lambda path, value: operation("replace", path, value=value), PATHS, VALUES),
    st.builds(lambda path: operation("delete", path), PATHS),
    st.builds(
        lambda path, source, destination: operation(
            "move", path, source=source, destination=destination
        ),
        PATHS,
        NUMBERS,
        NUMBERS,
    ),
    st.fixed_dictionaries({"name": st.just("operation"), "part": st.none() | VALUES}),
    st.none(),
)


@given(st.lists(RANDOM, max_size=6))
def test_any_patch_gives_a_resource_or_a_refusal(operations: list[Any]) -> None:
    try:
        result = patched(*operations)
    except BadRequest:
        result = PATIENT
    assert result["resourceType"] == "Patient"
