import pytest

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.condition import Named, Terms
from fhir_server.search.extract import Edge, extract
from fhir_server.search.parameter import parameter_id

from .matching import BASE, REGISTRY, Json, finds, query


def about(reference: str | None = None, **more: object) -> Json:
    subject = {**more} if reference is None else {"reference": reference, **more}
    return {"resourceType": "Observation", "subject": subject}


ONE = about("Patient/1")
OLD = about("Patient/1/_history/3")
FOREIGN = about("https://other.org/r4/Patient/1")
LOCAL = about(f"{BASE}/Patient/1")
LOGICAL = about(identifier={"system": "urn:mr", "value": "A12"})
GROUP = about("Group/1")
PROFILE = {"resourceType": "StructureDefinition", "baseDefinition": "http://x.org/sd|2.1.0"}
QUESTIONNAIRE = {
    "resourceType": "QuestionnaireResponse",
    "questionnaire": "http://x.org/Questionnaire/q|1.2",
}


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("subject=Patient/1", ONE, True),
        ("subject=Patient/2", ONE, False),
        ("subject=Group/1", ONE, False),
        ("subject=1", ONE, True),
        ("subject=1", GROUP, True),
        ("subject:Patient=1", ONE, True),
        ("subject:Patient=1", GROUP, False),
        ("subject:Group=1", GROUP, True),
        ("patient=1", ONE, True),
        ("patient=1", GROUP, False),
        ("patient=Group/1", GROUP, False),
        (f"subject={BASE}/Patient/1", ONE, True),
        ("subject=Patient/1", LOCAL, True),
        (f"subject={BASE}/Patient/1", LOCAL, True),
        ("subject=https://other.org/r4/Patient/1", FOREIGN, True),
        ("subject=https://other.org/r4/Patient/1", ONE, False),
        ("subject=Patient/1", FOREIGN, False),
        ("subject=Patient/1", OLD, True),
        ("subject=Patient/1/_history/3", OLD, True),
        ("subject=Patient/1/_history/2", OLD, False),
        ("subject=Patient/1/_history/3", ONE, False),
        ("subject=Patient/2,Patient/1", ONE, True),
        ("subject:identifier=urn:mr|A12", LOGICAL, True),
        ("subject:identifier=A12", LOGICAL, True),
        ("subject:identifier=urn:x|A12", LOGICAL, False),
        ("subject:identifier=urn:mr|", LOGICAL, True),
        ("subject:identifier=|A12", LOGICAL, False),
        ("subject:identifier=A12", ONE, False),
        ("subject:missing=true", about(extension=[]), True),
        ("subject:missing=false", LOGICAL, True),
        ("subject:missing=false", about(display="someone"), True),
        ("subject=urn:uuid:1", about("urn:uuid:1"), True),
        ("base=http://x.org/sd", PROFILE, True),
        ("base=http://x.org/sd|2.1.0", PROFILE, True),
        ("base=http://x.org/sd|2.1", PROFILE, False),
        ("base:below=http://x.org/sd|2", PROFILE, True),
        ("base:below=http://x.org/sd|2.1", PROFILE, True),
        ("base:below=http://x.org/sd|3", PROFILE, False),
        ("base:below=http://x.org/sd", PROFILE, True),
        ("questionnaire=http://x.org/Questionnaire/q", QUESTIONNAIRE, True),
        ("questionnaire=http://x.org/Questionnaire/q|1.2", QUESTIONNAIRE, True),
        ("questionnaire=http://x.org/Questionnaire/q|1.3", QUESTIONNAIRE, False),
        ("questionnaire=q", QUESTIONNAIRE, False),
    ],
)
def test_references(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


def test_a_bare_id_of_several_allowed_types_waits_to_be_told_apart() -> None:
    (several,) = query("Observation", "subject=1").conditions
    (one,) = query("Observation", "patient=1").conditions
    assert isinstance(several, Named)
    assert len(several.candidates) == 4  # Patient, Group, Device, Location
    assert isinstance(one, Terms)


@pytest.mark.parametrize(
    "text", ["subject=%23x", "subject:Patient=Patient/1", "subject:identifier=|"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        query("Observation", text)


@pytest.mark.parametrize("text", ["subject:Encounter=1", "patient:below=1", "subject:not=1"])
def test_modifiers_of_other_kinds_are_not_supported(text: str) -> None:
    with pytest.raises(NotSupported):
        query("Observation", text)


def test_resolving_uses_the_reference_its_type_or_the_contained_resource() -> None:
    declared = about(None, type="Patient", identifier={"value": "A12"})
    contained = {**about("#p"), "contained": [{"resourceType": "Patient", "id": "p"}]}
    assert finds("patient:missing=false", declared)
    assert finds("patient:missing=false", contained)
    assert finds("patient:missing=true", GROUP)


def test_local_references_are_edges_and_foreign_ones_are_not() -> None:
    subject, patient = (parameter_id("Observation", code) for code in ("subject", "patient"))
    type_id = REGISTRY.context.type_ids["Patient"]
    edges = extract(REGISTRY, "Observation", OLD).edges
    assert edges == tuple(sorted([Edge(subject, type_id, "1", 3), Edge(patient, type_id, "1", 3)]))
    assert extract(REGISTRY, "Observation", LOCAL).edges[0].target_id == "1"
    assert extract(REGISTRY, "Observation", FOREIGN).edges == ()


def test_the_inline_resource_of_a_bundle_is_indexed() -> None:
    header = {"resourceType": "MessageHeader", "id": "m"}
    bundle = {"resourceType": "Bundle", "type": "message", "entry": [{"resource": header}]}
    assert finds("message=MessageHeader/m", bundle)
    assert not finds("message=MessageHeader/n", bundle)
