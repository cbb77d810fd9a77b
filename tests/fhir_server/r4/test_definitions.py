import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.r4 import artefact
from fhir_server.r4.build.package import read
from fhir_server.r4.build.sections import CORE, sections
from fhir_server.r4.definitions import Binding, Element, load

GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"


START = """
from time import process_time
from fhir_server.r4.definitions import load
start = process_time()
found = load()
print(process_time() - start, len(found.resource_types))
"""


def test_loading_takes_less_than_300_ms() -> None:
    # In a process of its own, as a server does: among the objects of a thousand tests a look for
    # garbage takes longer than this.
    said = subprocess.run([sys.executable, "-c", START], capture_output=True, check=True).stdout
    seconds, types = said.split()
    assert float(seconds) < 0.3
    assert int(types) == len(load().resource_types)


def test_every_concrete_resource_type_has_its_alphabetical_number() -> None:
    definitions = load()
    assert len(definitions.resource_types) == 146
    assert list(definitions.resource_types) == sorted(definitions.resource_types)
    assert definitions.type_ids["Account"] == 1
    assert definitions.type_ids["VisionPrescription"] == 146
    assert {definitions.type_names[number]: number for number in range(1, 147)} == dict(
        definitions.type_ids
    )


def test_a_choice_has_one_member_for_each_type() -> None:
    observation = load().elements["Observation"]
    assert [name for name, element in observation.items() if element.choice == "value"] == [
        "valueQuantity",
        "valueCodeableConcept",
        "valueString",
        "valueBoolean",
        "valueInteger",
        "valueRange",
        "valueRatio",
        "valueSampledData",
        "valueTime",
        "valueDateTime",
        "valuePeriod",
    ]
    assert observation["valueQuantity"] == Element(
        name="valueQuantity",
        type="Quantity",
        min=0,
        max=1,
        is_summary=True,
        is_modifier=False,
        binding=None,
        path="Observation.value[x]",
        targets=(),
        choice="value",
    )


def test_elements_carry_cardinality_binding_and_flags() -> None:
    patient = load().elements["Patient"]
    assert patient["gender"] == Element(
        "gender", "code", 0, 1, True, False, Binding("required", GENDER), "Patient.gender", (), None
    )
    assert (patient["contact"].type, patient["contact"].max) == ("Patient.contact", None)
    assert patient["active"].is_modifier


def test_members_stand_in_the_order_of_the_definition() -> None:
    assert list(load().elements["Period"]) == ["id", "extension", "start", "end"]


def test_content_references_lead_to_the_named_backbone() -> None:
    elements = load().elements
    assert elements["Observation.component"]["referenceRange"].type == "Observation.referenceRange"
    assert elements["Questionnaire.item"]["item"].type == "Questionnaire.item"


def test_references_name_their_targets() -> None:
    elements = load().elements
    assert elements["Observation"]["subject"].targets == ("Patient", "Group", "Device", "Location")
    assert elements["Observation"]["focus"].targets == ("Resource",)
    assert elements["Questionnaire"]["derivedFrom"].targets == ("Questionnaire",)


def test_ids_and_urls_have_fhir_types() -> None:
    elements = load().elements
    assert elements["Patient"]["id"].type == "id"
    assert elements["Patient.contact"]["id"].type == "string"
    assert elements["Extension"]["url"].type == "uri"


def test_every_element_type_is_known() -> None:
    definitions = load()
    used = {e.type for members in definitions.elements.values() for e in members.values()}
    assert used - set(definitions.elements) == {
        *("base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id"),
        *("instant", "integer", "markdown", "oid", "positiveInt", "string", "time"),
        *("unsignedInt", "uri", "url", "uuid", "xhtml"),
    }


def test_traps_of_the_search_parameters_are_gone() -> None:
    parameters = load().search_parameters
    assert len(parameters) == 1385
    keys = [(base, p.code) for p in parameters for base in p.base]
    assert len(keys) == len(set(keys))
    without = {p.code for p in parameters if p.expression is None}
    assert without == {"_text", "_content", "_filter", "_query"}
    (identity,) = (p for p in parameters if p.code == "_id")
    assert (identity.url, identity.base) == (
        "http://hl7.org/fhir/SearchParameter/Resource-id",
        ("Resource",),
    )


def test_composites_have_their_components() -> None:
    (found,) = (p for p in load().search_parameters if p.code == "component-code-value-quantity")
    root = "http://hl7.org/fhir/SearchParameter/"
    assert found.component == (
        (f"{root}Observation-component-code", "code"),
        (f"{root}Observation-component-value-quantity", "value.as(Quantity)"),
    )


def test_compartments_have_the_members_of_the_specification() -> None:
    compartments = load().compartments
    assert {name: len(members) for name, members in compartments.items()} == {
        "Device": 32,
        "Encounter": 25,
        "Patient": 66,
        "Practitioner": 59,
        "RelatedPerson": 32,
    }
    assert compartments["Patient"]["Observation"] == ("subject", "performer")


def test_required_codes_have_their_systems() -> None:
    definitions = load()
    assert definitions.code_systems[GENDER] == {
        "http://hl7.org/fhir/administrative-gender": {"male", "female", "other", "unknown"}
    }
    required = {
        element.binding.value_set
        for members in definitions.elements.values()
        for element in members.values()
        if element.type == "code" and element.binding and element.binding.strength == "required"
    }
    assert required - set(definitions.code_systems) == {"http://hl7.org/fhir/ValueSet/mimetypes"}


def test_invariants_lie_ready() -> None:
    invariants = artefact.section("invariants")
    assert invariants["placed"]["Observation"] == ["obs-6", "obs-7"]
    severity, _, expression = invariants["rules"]["obs-6"]
    assert (severity, expression) == (
        "error",
        "dataAbsentReason.empty() or value.empty()",
    )


@pytest.mark.timeout(300)
def test_the_artefact_is_what_the_build_makes_of_the_official_packages(shared: Path) -> None:
    built = artefact.pack(sections(shared / "data" / "r4"))
    committed = (Path(artefact.__file__).parent / "data" / artefact.NAME).read_bytes()
    # Compared unpacked, as builds of zlib differ in the bytes that they choose.
    assert artefact.unpack(committed) == artefact.unpack(built)


def test_the_artefact_names_its_source(shared: Path) -> None:
    about = artefact.section("about")
    core = read(shared / "data" / "r4" / CORE)
    assert about["sources"][0] == ["hl7.fhir.r4.core", "4.0.1", core.sha256]
    assert about["licence"] == "CC0-1.0"
