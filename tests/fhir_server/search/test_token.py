import pytest

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.extract import extract
from fhir_server.search.token import identifier_term

from .matching import REGISTRY, Json, finds, query

LOINC = "http://loinc.org"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
STATUS = "http://hl7.org/fhir/observation-status"


def coded(*codings: Json, **more: object) -> Json:
    return {"resourceType": "Observation", "code": {"coding": list(codings), **more}}


def coding(system: str | None, code: str) -> Json:
    return {"code": code} if system is None else {"system": system, "code": code}


PULSE = coded(coding(LOINC, "8867-4"), coding("urn:local", "PuLs"))
BARE = coded(coding(None, "8867-4"))
COMPONENT = {
    "resourceType": "Observation",
    "component": [{"code": {"coding": [coding("s", "x")]}}],
}
TAGGED = {"resourceType": "Patient", "meta": {"tag": [coding("urn:t", "x")]}}
ATTACHED: Json = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "image/PNG", "language": "en-IN"}}],
}
CLASS: Json = {"resourceType": "Encounter", "class": coding(ACT, "AMB")}
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "Ab.1",
    "active": True,
    "gender": "female",
    "telecom": [
        {"system": "phone", "value": "+91 (98) 123-45"},
        {"system": "email", "value": "Anna@Example.org"},
    ],
    "identifier": [
        {"system": "urn:mr", "value": "A12", "type": {"coding": [coding(V2, "MR")]}},
        {"system": "urn:other", "value": "B34"},
    ],
}


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("code=8867-4", PULSE, True),
        ("code=8867-4", BARE, True),
        ("code=8867", PULSE, False),
        (f"code={LOINC}|8867-4", PULSE, True),
        (f"code={LOINC}|8867-4", BARE, False),
        ("code=urn:local|8867-4", PULSE, False),
        ("code=|8867-4", BARE, True),
        ("code=|8867-4", PULSE, False),
        (f"code={LOINC}|", PULSE, True),
        (f"code={LOINC}|", BARE, False),
        ("code=urn:other|", PULSE, False),
        (f"code={LOINC.upper()}|8867-4", PULSE, False),
        ("code=puls", PULSE, True),
        ("code=PULS", PULSE, True),
        ("code=urn:local|PULS", PULSE, True),
        ("code=x,8867-4", PULSE, True),
        ("code=8867-4&code=puls", PULSE, True),
        ("code=8867-4&code=x", PULSE, False),
        ("class=AMB", CLASS, True),
        ("class=amb", CLASS, False),
        (f"class={ACT}|amb", CLASS, False),
        (f"class={ACT}|AMB", CLASS, True),
        ("class=AMB", {"resourceType": "Encounter", "class": coding("urn:x", "amb")}, True),
        ("class=amb", {"resourceType": "Encounter", "class": coding("urn:x", "AMB")}, True),
        ("status=final", {"resourceType": "Observation", "status": "final"}, True),
        ("status=FINAL", {"resourceType": "Observation", "status": "final"}, False),
        ("status=|final", {"resourceType": "Observation", "status": "final"}, True),
        (f"status={STATUS}|final", {"resourceType": "Observation", "status": "final"}, True),
        (f"status={STATUS}|final", {"resourceType": "Observation", "status": "amended"}, False),
        (f"status={STATUS}|", {"resourceType": "Observation", "status": "final"}, True),
        ("status=urn:x|final", {"resourceType": "Observation", "status": "final"}, False),
        # The system of these codes is not known, so their case does not count.
        ("contenttype=IMAGE/png", ATTACHED, True),
        ("contenttype=|image/PNG", ATTACHED, True),
        ("contenttype=image/jpeg", ATTACHED, False),
        ("language=EN-in", ATTACHED, True),
        ("language=en", ATTACHED, False),
        # A text has no system, which can be said of it too.
        ("version=1.0-a", {"resourceType": "ValueSet", "version": "1.0-A"}, True),
        ("version=|1.0-a", {"resourceType": "ValueSet", "version": "1.0-A"}, True),
        ("version=urn:x|1.0-a", {"resourceType": "ValueSet", "version": "1.0-A"}, False),
        ("code:not=x", PULSE, True),
        ("code:not=8867-4", PULSE, False),
        ("code:not=x,puls", PULSE, False),
        ("code:not=x", {"resourceType": "Observation"}, True),
        ("code:missing=true", {"resourceType": "Observation"}, True),
        ("code:missing=true", coded(text="Pulse"), False),
        ("code:missing=false", PULSE, True),
        ("combo-code=puls", PULSE, True),
        ("combo-code:not=puls", PULSE, False),
        ("combo-code=x", COMPONENT, True),
        ("component-code=puls", PULSE, False),
        ("identifier=A12", PATIENT, True),
        ("identifier=a12", PATIENT, True),
        ("identifier=urn:mr|A12", PATIENT, True),
        ("identifier=urn:other|A12", PATIENT, False),
        ("identifier=urn:mr|B34", PATIENT, False),
        ("identifier=|A12", PATIENT, False),
        (f"identifier:of-type={V2}|MR|A12", PATIENT, True),
        (f"identifier:of-type={V2}|MR|B34", PATIENT, False),
        (f"identifier:of-type={V2}|SS|A12", PATIENT, False),
        ("phone=%2B91 98 123 45", PATIENT, True),
        ("phone=%2B919812345", PATIENT, True),
        ("telecom=anna@example.org", PATIENT, True),
        ("email=anna@example.org", PATIENT, True),
        ("phone=anna@example.org", PATIENT, False),
        ("active=true", PATIENT, True),
        ("active=false", PATIENT, False),
        ("active=false", {"resourceType": "Patient"}, False),
        ("active=false", {"resourceType": "Patient", "active": False}, True),
        ("active:missing=false", {"resourceType": "Patient", "active": False}, True),
        ("deceased=false", PATIENT, True),
        ("deceased=true", {"resourceType": "Patient", "deceasedDateTime": "2020"}, True),
        ("deceased=true", {"resourceType": "Patient", "deceasedBoolean": True}, True),
        ("deceased=false", {"resourceType": "Patient", "deceasedBoolean": False}, True),
        ("gender=female", PATIENT, True),
        ("gender=female,male", PATIENT, True),
        ("_id=Ab.1", PATIENT, True),
        ("_id=ab.1", PATIENT, False),
        ("_id=x,Ab.1", PATIENT, True),
        ("_tag=urn:t|x", TAGGED, True),
        ("_security=x", TAGGED, False),
        (r"code=a\|b", coded(coding("s", "a|b")), True),
        (r"code=s|a\,b", coded(coding("s", "a,b")), True),
    ],
)  # fmt: skip
def test_tokens(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


@pytest.mark.parametrize(
    "text",
    [
        "phone=x|1",
        "active=x|true",
        "code=a|b|c",
        "code=|",
        r"code=a\b",
        "code=a,,b",
        "identifier:of-type=a|b",
        "code:missing=maybe",
    ],
)
def test_forms_that_a_parameter_has_not_are_refused(text: str) -> None:
    name = text.partition("=")[0]
    type_name = "Observation" if name.startswith("code") else "Patient"
    with pytest.raises(BadRequest) as refused:
        query(type_name, text)
    assert refused.value.issues[0].code == "value"
    assert refused.value.issues[0].expression == name


@pytest.mark.parametrize("modifier", ["exact", "contains", "of-type", "Patient"])
def test_a_modifier_that_is_not_offered_is_refused_by_name(modifier: str) -> None:
    with pytest.raises(NotSupported) as refused:
        query("Observation", f"code:{modifier}=a|b|c")
    assert refused.value.issues[0].expression == f"code:{modifier}"
    assert refused.value.status == 400


def test_identifier_term_is_what_an_identifier_is_indexed_under() -> None:
    terms = extract(REGISTRY, "Patient", PATIENT).terms
    assert identifier_term(REGISTRY, "Patient", "urn:mr", "A12") in terms
    assert identifier_term(REGISTRY, "Patient", "urn:mr", "B34") not in terms


DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "text/xml; charset=utf-8"}}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contenttype=text/xml", False),
        ("contenttype=text/xml; charset=utf-8", True),
        ("contenttype:below=text/xml", True),
        ("contenttype:below=TEXT/XML", True),
        ("contenttype:below=text/xml; charset=utf-8", True),
        ("contenttype:below=text/plain,text/xml", True),
        ("contenttype:below=text/x", False),
        ("contenttype:below=text/xml2", False),
        ("contenttype:below=charset/utf-8", False),
    ],
)
def test_a_media_type_is_below_itself_without_parameters(text: str, *, expected: bool) -> None:
    assert finds(text, DOCUMENT) is expected


def test_a_media_type_has_a_subtype_and_nothing_above_it() -> None:
    with pytest.raises(BadRequest) as refused:
        query("DocumentReference", "contenttype:below=text")
    assert refused.value.issues[0].code == "value"
    with pytest.raises(NotSupported):
        query("DocumentReference", "contenttype:above=text/xml")
