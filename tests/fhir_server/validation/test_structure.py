# ruff: noqa: E501  (one defect a line)
import json as standard_json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import MAX_ISSUES, Validator

VALIDATOR = Validator(load())
XHTML = "http://www.w3.org/1999/xhtml"
URN = "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"

PATIENT = """{
  "resourceType": "Patient", "id": "p1", "meta": {"versionId": "1", "profile": ["http://x/y"]},
  "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"},
  "contained": [{"resourceType": "Organization", "id": "o1", "name": "A"}],
  "active": true,
  "name": [{"use": "official", "family": "Rao", "given": ["Asha", null],
            "_given": [null, {"extension": [{"url": "http://x", "valueCode": "unknown"}]}]}],
  "telecom": [{"system": "phone", "value": "1", "rank": 1}],
  "gender": "female", "birthDate": "1980-02-29", "deceasedBoolean": false,
  "_birthDate": {"id": "b", "extension": [{"url": "http://x", "valueDateTime": "1980-02-29T10:00:00Z"}]},
  "multipleBirthInteger": 2,
  "photo": [{"contentType": "image/png", "data": "aGVs\\nbG8=", "size": 5}],
  "contact": [{"name": {"family": "Rao"}, "gender": "male"}],
  "communication": [{"language": {"text": "Hindi"}}],
  "managingOrganization": {"reference": "#o1"},
  "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]
}"""

OBSERVATION = """{
  "resourceType": "Observation", "status": "final", "code": {"text": "x"},
  "effectiveDateTime": "2021-02-28T23:59:60.5+05:30", "issued": "2021-02-28T10:00:00.000Z",
  "valueQuantity": {"value": 1.40, "unit": "mmol/L", "comparator": "<"},
  "component": [{"code": {"text": "y"}, "valueInteger": 3,
                 "referenceRange": [{"low": {"value": 1.0E+2}}]}]
}"""

BUNDLE = """{
  "resourceType": "Bundle", "type": "collection",
  "entry": [{"resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Bundle", "type": "collection", "entry": [
              {"resource": {"resourceType": "Patient", "active": true}}]}}]
}"""

PARAMETERS = """{
  "resourceType": "Parameters",
  "parameter": [{"name": "a", "part": [{"name": "b", "resource": {"resourceType": "Patient"}}]}]
}"""


def findings(data: Any, type_name: str | None = None) -> list[tuple[str, str | None]]:
    issues = VALIDATOR.validate(type_name or data["resourceType"], b"", data)
    assert {issue.severity for issue in issues} <= {"error"}
    return [(issue.code, issue.expression) for issue in issues]


def changed(text: str, change: Callable[[dict[str, Any]], object]) -> list[tuple[str, str | None]]:
    data = json.decode(text.encode())
    change(data)
    return findings(data)


def put(*steps: str | int, value: object) -> Callable[[dict[str, Any]], object]:
    def change(data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        data[steps[-1]] = value

    return change


def drop(*steps: str | int) -> Callable[[dict[str, Any]], object]:
    def change(data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        del data[steps[-1]]

    return change


@pytest.mark.parametrize("text", [PATIENT, OBSERVATION, BUNDLE, PARAMETERS])
def test_valid_resources_have_no_issues(text: str) -> None:
    assert findings(json.decode(text.encode())) == []


PATIENT_DEFECTS = [
    # wrong JSON types
    (put("active", value="true"), "value", "Patient.active"),
    (put("active", value=1), "value", "Patient.active"),
    (put("birthDate", value=1980), "value", "Patient.birthDate"),
    (put("gender", value=5), "value", "Patient.gender"),
    (put("multipleBirthInteger", value="2"), "value", "Patient.multipleBirth.ofType(integer)"),
    (put("telecom", 0, "rank", value="1"), "value", "Patient.telecom[0].rank"),
    (put("name", 0, "given", 0, value=7), "value", "Patient.name[0].given[0]"),
    # shapes
    (put("name", value={"family": "Rao"}), "structure", "Patient.name"),
    (put("gender", value=["female"]), "structure", "Patient.gender"),
    (put("gender", value={"code": "female"}), "structure", "Patient.gender"),
    (put("managingOrganization", value="Organization/1"), "structure", "Patient.managingOrganization"),
    (put("name", 0, value="Rao"), "structure", "Patient.name[0]"),
    (put("name", 0, value=None), "structure", "Patient.name[0]"),
    (put("contact", 0, "name", value=[{"family": "x"}]), "structure", "Patient.contact[0].name"),
    (put("active", value=None), "structure", "Patient.active"),
    (put("name", value=[]), "structure", "Patient.name"),
    (put("name", 0, value={}), "structure", "Patient.name[0]"),
    (put("meta", value={}), "structure", "Patient.meta"),
    (put("contact", 0, value={}), "structure", "Patient.contact[0]"),
    (put("_birthDate", value={}), "structure", "Patient.birthDate"),
    (put("_birthDate", value="x"), "structure", "Patient.birthDate"),
    (put("_birthDate", "extension", value=[]), "structure", "Patient.birthDate.extension"),
    (put("communication", 0, value={}), "structure", "Patient.communication[0]"),
    # members
    (put("colour", value="red"), "structure", "Patient.colour"),
    (put("contact", 0, "nickname", value="x"), "structure", "Patient.contact[0].nickname"),
    (put("contact", 0, "resourceType", value="x"), "structure", "Patient.contact[0].resourceType"),
    (put("name", 0, "Family", value="Rao"), "structure", "Patient.name[0].Family"),
    (put("_id", value={"id": "x"}), "structure", "Patient._id"),
    (put("deceased[x]", value=True), "structure", "Patient"),
    (put("Rao, Asha 1980", value=True), "structure", "Patient"),
    (put("deceasedString", value="x"), "structure", "Patient.deceasedString"),
    # required elements
    (drop("communication", 0, "language"), "structure", "Patient.communication[0]"),
    (put("communication", 0, value={"preferred": True}), "required", "Patient.communication[0].language"),
    (drop("link", 0, "type"), "required", "Patient.link[0].type"),
    (drop("link", 0, "other"), "required", "Patient.link[0].other"),
    (drop("text", "div"), "required", "Patient.text.div"),
    (drop("_birthDate", "extension", 0, "url"), "required", "Patient.birthDate.extension[0].url"),
    # codes
    (put("gender", value="FEMALE"), "code-invalid", "Patient.gender"),
    (put("name", 0, "use", value="nick"), "code-invalid", "Patient.name[0].use"),
    (put("contact", 0, "gender", value="f"), "code-invalid", "Patient.contact[0].gender"),
    (put("link", 0, "type", value="see also"), "code-invalid", "Patient.link[0].type"),
    (put("photo", 0, "contentType", value="png image"), "value", "Patient.photo[0].contentType"),
    # formats
    (put("id", value="a_b"), "value", "Patient.id"),
    (put("id", value="a" * 65), "value", "Patient.id"),
    (put("id", value="a\n"), "value", "Patient.id"),
    (put("birthDate", value="2021-02-30"), "value", "Patient.birthDate"),
    (put("birthDate", value="1900-02-29"), "value", "Patient.birthDate"),
    (put("birthDate", value="2021-13"), "value", "Patient.birthDate"),
    (put("birthDate", value="0000"), "value", "Patient.birthDate"),
    (put("birthDate", value="1980-2-3"), "value", "Patient.birthDate"),
    (put("birthDate", value="1980-02-03T10:00:00Z"), "value", "Patient.birthDate"),
    (put("birthDate", value=""), "value", "Patient.birthDate"),
    (put("name", 0, "family", value=""), "value", "Patient.name[0].family"),
    (put("name", 0, "family", value="a\x01b"), "value", "Patient.name[0].family"),
    (put("name", 0, "family", value="x" * 1_048_577), "too-long", "Patient.name[0].family"),
    (put("language", value=" en"), "value", "Patient.language"),
    (put("language", value="en  GB"), "value", "Patient.language"),
    (put("implicitRules", value="http://a b"), "value", "Patient.implicitRules"),
    (put("photo", 0, "data", value="aGVsbG8"), "value", "Patient.photo[0].data"),
    (put("photo", 0, "data", value="aGV%bG8="), "value", "Patient.photo[0].data"),
    (put("photo", 0, "size", value=-1), "value", "Patient.photo[0].size"),
    (put("telecom", 0, "rank", value=0), "value", "Patient.telecom[0].rank"),
    (put("multipleBirthInteger", value=2**31), "value", "Patient.multipleBirth.ofType(integer)"),
    (put("multipleBirthInteger", value=10**40), "value", "Patient.multipleBirth.ofType(integer)"),
    (put("multipleBirthInteger", value=Decimal("2.0")), "value", "Patient.multipleBirth.ofType(integer)"),
    (put("multipleBirthInteger", value=Decimal("2.5")), "value", "Patient.multipleBirth.ofType(integer)"),
    # choices
    (put("deceasedDateTime", value="2020"), "structure", "Patient.deceased"),
    (put("_deceasedDateTime", value={"id": "x"}), "structure", "Patient.deceased"),
    (put("_birthDate", "extension", 0, "valueCode", value="x"), "structure", "Patient.birthDate.extension[0].value"),
    # nulls beside extensions
    (drop("name", 0, "_given"), "structure", "Patient.name[0].given[1]"),
    (put("name", 0, "_given", value=[None, None]), "structure", "Patient.name[0].given[1]"),
    (put("name", 0, "_given", value=[None, {"id": "x"}, {"id": "y"}]), "structure", "Patient.name[0].given"),
    (drop("name", 0, "given"), "structure", "Patient.name[0].given[0]"),
    # contained
    (put("contained", 0, "gender", value="male"), "structure", "Patient.contained[0].gender"),
    (put("contained", 0, "resourceType", value="Hospital"), "structure", "Patient.contained[0].resourceType"),
    (drop("contained", 0, "resourceType"), "required", "Patient.contained[0].resourceType"),
    (put("contained", 0, "contained", value=[{"resourceType": "Patient", "id": "x"}]), "invariant", "Patient.contained[0].contained"),
    (lambda p: p["contained"].append({"resourceType": "Patient", "id": "o1"}), "duplicate", "Patient.contained[1].id"),
    # extensions
    (put("extension", value=[{"url": "http://x"}]), "invariant", "Patient.extension[0]"),
    (
        put("extension", value=[{"url": "http://x", "valueCode": "a", "extension": [{"url": "y", "valueCode": "a"}]}]),
        "invariant",
        "Patient.extension[0]",
    ),
    # narrative
    (put("text", "div", value="plain"), "invalid", "Patient.text.div"),
    (put("text", "div", value="<div>x</div>"), "invalid", "Patient.text.div"),
    (put("text", "div", value=f"<div xmlns='{XHTML}'><p>x</div>"), "invalid", "Patient.text.div"),
    (put("text", "div", value=f"<div xmlns='{XHTML}'><script>x</script></div>"), "security", "Patient.text.div"),
    (put("text", "div", value=f"<div xmlns='{XHTML}'><p onclick='x'>x</p></div>"), "security", "Patient.text.div"),
    (put("text", "div", value=f"<div xmlns='{XHTML}'><a href='javascript:x'>x</a></div>"), "security", "Patient.text.div"),
    (put("text", "status", value="ok"), "code-invalid", "Patient.text.status"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "place"), PATIENT_DEFECTS)
def test_each_defect_of_a_patient_is_one_issue_at_its_place(
    change: Callable[[dict[str, Any]], object], code: str, place: str
) -> None:
    assert changed(PATIENT, change) == [(code, place)]


OBSERVATION_DEFECTS = [
    (drop("status"), "required", "Observation.status"),
    (drop("code"), "required", "Observation.code"),
    (drop("component", 0, "code"), "required", "Observation.component[0].code"),
    (put("status", value="done"), "code-invalid", "Observation.status"),
    (put("valueString", value="x"), "structure", "Observation.value"),
    (put("valueQuantity", "value", value="1.40"), "value", "Observation.value.ofType(Quantity).value"),
    (put("valueQuantity", "comparator", value="="), "code-invalid", "Observation.value.ofType(Quantity).comparator"),
    (put("component", 0, "valueInteger", value=Decimal("1E+1")), "value", "Observation.component[0].value.ofType(integer)"),
    (put("component", 0, "referenceRange", 0, "low", "value", value="1"), "value", "Observation.component[0].referenceRange[0].low.value"),
    (put("effectiveDateTime", value="2021-02-28T10:00:00"), "value", "Observation.effective.ofType(dateTime)"),
    (put("effectiveDateTime", value="2021-02-28T10:00Z"), "value", "Observation.effective.ofType(dateTime)"),
    (put("effectiveDateTime", value="2021-02-28T24:00:00Z"), "value", "Observation.effective.ofType(dateTime)"),
    (put("effectiveDateTime", value="2021-02-28T10:00:00+14:30"), "value", "Observation.effective.ofType(dateTime)"),
    (put("effectiveDateTime", value="2021-02-29T10:00:00Z"), "value", "Observation.effective.ofType(dateTime)"),
    (put("issued", value="2021-02-28"), "value", "Observation.issued"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "place"), OBSERVATION_DEFECTS)
def test_each_defect_of_an_observation_is_one_issue_at_its_place(
    change: Callable[[dict[str, Any]], object], code: str, place: str
) -> None:
    assert changed(OBSERVATION, change) == [(code, place)]


def test_inline_resources_are_validated_wherever_they_stand() -> None:
    bad = {"resourceType": "Patient", "gender": "x"}
    bundle = json.decode(BUNDLE.encode())
    bundle["entry"][0]["resource"] = bad
    bundle["entry"][1]["resource"]["entry"][0]["resource"] = bad
    bundle["entry"][0]["response"] = {
        "status": "200",
        "outcome": {"resourceType": "OperationOutcome"},
    }
    bundle["entry"][1]["response"] = {"status": "200"}
    bundle["type"] = "batch-response"
    assert sorted(findings(bundle), key=str) == [
        ("code-invalid", "Bundle.entry[0].resource.gender"),
        ("code-invalid", "Bundle.entry[1].resource.entry[0].resource.gender"),
        ("required", "Bundle.entry[0].response.outcome.issue"),
    ]  # fmt: skip
    parameters = json.decode(PARAMETERS.encode())
    parameters["parameter"][0]["part"][0]["resource"] = bad
    assert findings(parameters) == [("code-invalid", "Parameters.parameter[0].part[0].resource.gender")]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        put("birthDate", value="1980"),
        put("birthDate", value="1980-12"),
        put("birthDate", value="2000-02-29"),
        put("deceasedBoolean", value=True),
        put("id", value="a" * 64),
        put("photo", 0, "data", value=" aGVs bG8= "),
        put("photo", 0, "contentType", value="application/fhir+json; fhirVersion=4.0"),
        put("implicitRules", value=URN),
        put("_gender", value={"extension": [{"url": "http://x", "valueCode": "a\u00a0b"}]}),
        put("name", 0, "family", value="  "),
        put("name", 0, "family", value="a\tb\r\nc"),
        put("text", "div", value=f'<div xmlns="{XHTML}">&nbsp;<!-- x --><a name="y" href="#x"/></div>'),
        put("link", 0, value={"other": {"reference": "Patient/x"}, "_type": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}}),
        put("name", 0, "_family", value={"extension": [{"url": "http://x", "valueString": "x"}]}),
    ],
)  # fmt: skip
def test_rare_forms_are_valid(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(PATIENT, change) == []


@pytest.mark.parametrize("data", [[], 1, None, "x", True, Decimal("1.5"), [{}]])
def test_what_is_no_object_is_one_issue(data: object) -> None:
    assert findings(data, "Patient") == [("structure", "Patient")]


def test_an_unknown_type_is_one_issue() -> None:
    assert findings({"resourceType": "Hospital"}) == [("structure", None)]
    assert findings({"resourceType": "DomainResource"}) == [("structure", None)]


def test_a_resource_must_be_of_the_type_asked_for() -> None:
    assert findings({"resourceType": "Patient"}, "Group") == [
        ("structure", "Group.resourceType"),
        ("required", "Group.type"),
        ("required", "Group.actual"),
    ]
    assert findings({}, "Patient") == [("structure", "Patient")]
    assert findings({"id": "x"}, "Patient") == [("required", "Patient.resourceType")]


def test_what_json_cannot_express_is_an_issue() -> None:
    assert findings({"resourceType": "Patient", "active": object()}) == [("structure", "Patient")]
    assert findings({"resourceType": "Patient", 1: 2}) == [("structure", "Patient")]


def test_the_number_of_issues_is_bounded() -> None:
    data = {"resourceType": "Patient", "name": [{"use": "x"}] * 5_000}
    issues = VALIDATOR.validate("Patient", b"", data)
    assert len(issues) == MAX_ISSUES + 1
    assert issues[-1].text == "Only the first 100 issues are listed"


def leaves(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(data, dict):
        return [leaf for name, value in data.items() for leaf in leaves(value, (*path, name))]
    if isinstance(data, list):
        return [leaf for i, value in enumerate(data) for leaf in leaves(value, (*path, i))]
    return [path]


@pytest.mark.parametrize("text", [PATIENT, OBSERVATION, BUNDLE, PARAMETERS])
def test_no_issue_quotes_a_value(text: str) -> None:
    marker = " secret\x01"
    data = standard_json.loads(text)
    for leaf in leaves(data):
        damaged = standard_json.loads(text)
        put(*leaf, value=marker)(damaged)
        put("secret " + str(leaf), value=marker)(damaged)
        issues = VALIDATOR.validate(data["resourceType"], b"", damaged)
        assert issues
        assert [issue for issue in issues if "secret" in f"{issue}"] == []


def test_what_a_number_breaks_is_not_told_as_of_a_text() -> None:
    data = {"resourceType": "Patient", "telecom": [{"system": "email", "value": "a", "rank": 0}]}
    found = VALIDATOR.judge("Patient", data).issues
    assert [one.text for one in found] == ["Not a valid positiveInt"]
