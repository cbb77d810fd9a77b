import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from adapters.dicom.documents import mapping, reading, rendering
from adapters.dicom.documents.draft import Surroundings
from adapters.dicom.documents.mapping import Mapped
from adapters.dicom.documents.report import status
from adapters.dicom.documents.tree import parse
from adapters.dicom.documents.values import agreed
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.r4 import definitions, json
from fhir_server.validation.structure import Validator
from terminology.ucum.unit import unit
from tests.adapters.dicom import files
from tests.adapters.dicom.documents import sr_samples as samples

Json = dict[str, Any]
EXPLICIT = str(ExplicitVRLittleEndian)
STUDY = {"reference": "ImagingStudy/study"}
PROCEDURE = {"reference": "Procedure/mpps"}
AROUND = Surroundings(
    subject={"reference": "Patient/patient"},
    zone=ZoneInfo("Asia/Kolkata"),
    received="2024-01-03T00:00:00.000+00:00",
    endpoint="http://archive/dicom-web",
    study=STUDY,
    procedures=(PROCEDURE,),
    modalities=("CT",),
)
FOREIGN = ("reportsi.dcm", "test-SR.dcm", "reportsi_with_empty_number_tags.dcm")
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "dl", "dt", "dd"),
    *("ul", "li", "b", "i", "p", "br", "div"),
}
ALL = (*samples.MADE, *FOREIGN)


def attributes(made: Dataset) -> Any:
    return reading.read(samples.encoded(made), EXPLICIT)


def sample(name: str) -> Any:
    if name in samples.MADE:
        return attributes(samples.MADE[name]())
    found = files.one(name)
    return reading.read(found.data_set, found.transfer_syntax_uid)


def mapped(made: Dataset) -> Mapped:
    return mapping.mapped(attributes(made), AROUND)


def resources(found: Mapped, kind: str) -> list[Json]:
    return [one.resource for one in found.resources if one.resource["resourceType"] == kind]


def report(found: Mapped) -> Json:
    return resources(found, "DiagnosticReport")[0]


def observed(found: Mapped, code: str) -> Json:
    """Return the only Observation of a code, or of a name without one."""
    [one] = [
        one
        for one in resources(found, "Observation")
        if code in {one["code"].get("text"), *(c["code"] for c in one["code"].get("coding", ()))}
    ]
    return one


def components(observation: Json) -> dict[str, Json]:
    return {one["code"]["text"]: one for one in observation["component"]}


class Ids(HTMLParser):
    """The ids of elements, and every name of an element."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]


def at(resource: Json, path: str) -> Any:
    """Return what lies at a path of the account."""
    found: Any = resource
    for name, _, number in re.findall(r"(\w+)(\[(\d+)\])?", path):
        found = found[name]
        if number:
            found = found[int(number)]
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_content_item_is_mapped_or_listed_and_rendered(name: str) -> None:
    document = sample(name)
    found = mapping.mapped(document, AROUND)
    places = [one.place for one in parse(document).walk()]
    assert [one.item.place for one in found.lines] == places
    there = {one.item.place for one in found.lines if one.paths}
    listed = [one["position"] for one in found.unmapped]
    assert sorted([*there, *listed]) == sorted(places)
    html = Ids()
    html.feed(rendering.html(document, parse(document)))
    assert html.ids == [f"item-{place}" for place in places]
    lines = rendering.plain(document, parse(document)).splitlines()
    shown = [line.split()[0] for line in lines if re.match(r"\s*[\d.]+(\s|$)", line)]
    assert shown == [place[2:] for place in places if place != "1"]


@pytest.mark.parametrize("name", ALL)
def test_each_place_of_the_account_is_in_the_resource(name: str) -> None:
    found = mapping.mapped(sample(name), AROUND)
    made = [one.resource for one in found.resources]
    by_name = dict(zip(mapping.numbered(made), made, strict=True))
    for line in found.lines:
        for path in line.paths:
            kind, _, inner = path.partition(".")
            if inner == "basedOn":
                continue
            assert at(by_name[kind], inner) not in (None, "", [], {}), path


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(definitions.load(), Callbacks(units=unit))


@pytest.mark.parametrize("name", ALL)
def test_every_resource_is_valid_r4(name: str, validator: Validator) -> None:
    for one in mapping.mapped(sample(name), AROUND).resources:
        raw = json.encode(one.resource)
        kind = one.resource["resourceType"]
        assert validator.validate(kind, raw, json.decode(raw)) == []


def test_dcmtk_sees_the_same_items(dcmtk: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(samples.file(samples.measurement_report()))
    done = subprocess.run(
        [dcmtk("dsrdump"), "+Pn", "-Ei", str(path)], capture_output=True, text=True, check=True
    )
    places = re.findall(r"^([\d.]+)  <", done.stdout, re.MULTILINE)
    assert places == [one.place for one in parse(sample("measurement report")).walk()]


BEFORE = Items([samples.related(samples.STUDY, samples.SERIES, "1.2.3")])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "final", id="complete, verified"),
        pytest.param({"VerificationFlag": "UNVERIFIED"}, "preliminary", id="unverified"),
        pytest.param({"CompletionFlag": "PARTIAL"}, "partial", id="partial"),
        pytest.param({"PreliminaryFlag": "PRELIMINARY"}, "preliminary", id="preliminary wins"),
        pytest.param({"PredecessorDocumentsSequence": BEFORE}, "amended", id="amendment"),
        pytest.param(
            {"PredecessorDocumentsSequence": BEFORE, "VerificationFlag": "UNVERIFIED"},
            "preliminary",
            id="amendment, unverified",
        ),
    ],
)
def test_status_is_that_of_the_flags(changes: Json, expected: str) -> None:
    assert status(attributes(samples.document(samples.SELECTION, **changes))) == expected


def test_a_report_says_what_its_header_says() -> None:
    found = report(mapped(samples.basic_report()))
    assert found["identifier"] == [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{samples.STUDY}.3"}
    ]
    assert [one["coding"][0]["code"] for one in found["category"]] == ["RAD", "CT"]
    assert [one["code"] for one in found["code"]["coding"]] == ["18782-3", "18748-4"]
    assert found["code"]["text"] == "Radiology Study observation: CT of chest"
    assert found["effectiveDateTime"] == "2024-01-02T11:12:13+05:30"
    assert found["issued"] == "2024-01-02T12:00:00+05:30"
    assert found["resultsInterpreter"] == [{"display": "First Reader"}]
    assert found["language"] == "en-US"
    assert found["conclusion"] == "Tumour likely\nBiopsy\nadvised"
    assert found["conclusionCode"][0]["coding"][0]["code"] == "363358000"
    assert found["imagingStudy"] == [STUDY]


def test_a_report_that_nobody_verified_is_issued_when_it_came() -> None:
    found = report(mapped(samples.ct_dose()))
    assert (found["status"], found["issued"]) == ("preliminary", AROUND.received)


def test_sections_are_the_text_and_escape_what_they_hold() -> None:
    div = report(mapped(samples.basic_report()))["text"]["div"]
    assert "<h2>History</h2><p><b>History</b>: Cough &lt;2 weeks&gt;</p>" in div
    assert "Mass &amp; effusion" in div
    assert "Biopsy<br/>advised" in div


def test_a_rendering_escapes_what_it_shows_and_has_no_script() -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=1>"
    made = samples.document(
        samples.container(
            samples.dcm("121070", attack),
            samples.text(samples.dcm("121071", attack), attack),
            relationship="",
        ),
        PatientName=attack,
    )
    document = attributes(made)
    found = report(mapping.mapped(document, AROUND))
    for shown in (rendering.html(document, parse(document)), found["text"]["div"]):
        html = Ids()
        html.feed(shown)
        assert html.names <= ELEMENTS
        assert "&lt;script&gt;" in shown


def test_key_images_are_media_at_the_archive() -> None:
    found = mapped(samples.basic_report())
    [media] = resources(found, "Media")
    url = f"http://archive/dicom-web/studies/{samples.STUDY}/series/{samples.STUDY}.8"
    assert media["content"]["url"] == f"{url}/instances/{samples.STUDY}.9"
    assert len(report(found)["media"]) == 1


def test_findings_are_observations_with_text_code_and_number() -> None:
    found = mapped(samples.basic_report())
    text, coded, number = resources(found, "Observation")
    assert text["valueString"] == "Mass & effusion"
    assert coded["valueCodeableConcept"]["coding"][0]["code"] == "4147007"
    assert number["valueQuantity"] == {
        "value": Decimal("1.50"),
        "unit": "centimeter",
        "system": "http://unitsofmeasure.org",
        "code": "cm",
    }
    for one in (text, coded, number):
        assert one["category"][0]["coding"][0]["code"] == "imaging"
        assert one["partOf"] == [PROCEDURE]
        assert one["subject"] == AROUND.subject


@pytest.mark.parametrize(
    ("section", "found_now"),
    [("121060", False), ("121062", False), ("121068", False), ("121070", True)],
    ids=["history", "request", "previous findings", "findings"],
)
def test_what_was_found_before_is_not_found_now(section: str, *, found_now: bool) -> None:
    root = samples.container(
        ("18782-3", "LN", "Radiology Study observation"),
        samples.container(
            samples.dcm(section, "Section"),
            samples.code(samples.dcm("121071", "Finding"), samples.sct("4147007", "Mass")),
            samples.num(samples.sct("81827009", "Diameter"), "31", samples.mm()),
            samples.text(samples.dcm("121073", "Impression"), "Tumour"),
        ),
        relationship="",
    )
    made = mapped(samples.document(root))
    assert [bool(resources(made, "Observation")), "conclusion" in report(made)] == [found_now] * 2
    assert [said in report(made)["text"]["div"] for said in ("Mass", "31 mm", "Tumour")] == [
        True
    ] * 3
    assert made.unmapped == []


def test_a_measurement_is_of_the_side_that_its_container_names() -> None:
    def side(code: str, meaning: str, value: str) -> samples.Node:
        return samples.container(
            samples.dcm("121070", "Findings"),
            samples.code(
                samples.sct("363698007", "Finding Site"),
                samples.sct("69105007", "Carotid artery"),
                samples.code(
                    samples.sct("272741003", "Laterality"),
                    samples.sct(code, meaning),
                    rel="HAS CONCEPT MOD",
                ),
                rel="HAS CONCEPT MOD",
            ),
            samples.container(
                samples.sct("12345", "Segment"),
                samples.num(("11726-7", "LN", "Peak velocity"), value, ("cm/s", "UCUM", "cm/s")),
                samples.num(("11653-3", "LN", "End velocity"), "9", ("cm/s", "UCUM", "cm/s")),
            ),
        )

    root = samples.container(
        ("P1", "99X", "Vascular report"),
        side("7771000", "Left", "80"),
        side("24028007", "Right", "240"),
        relationship="",
    )
    made = resources(mapped(samples.document(root)), "Observation")
    found = [(one["bodySite"]["text"], str(one["valueQuantity"]["value"])) for one in made]
    left, right = "Carotid artery (Left)", "Carotid artery (Right)"
    assert found == [(left, "80"), (left, "9"), (right, "240"), (right, "9")]


@pytest.mark.parametrize("at_root", [True, False], ids=["of the document", "of its container"])
def test_a_measurement_is_of_the_fetus_that_is_named(*, at_root: bool) -> None:
    subject = (
        samples.code(
            samples.dcm("121024", "Subject Class"),
            samples.dcm("121027", "Fetus"),
            rel="HAS OBS CONTEXT",
        ),
        samples.text(("11951-1", "LN", "Fetus ID"), "B", rel="HAS OBS CONTEXT"),
    )
    length = samples.num(("11963-6", "LN", "Femur Length"), "31", samples.mm())
    within = () if at_root else subject
    root = samples.container(
        samples.dcm("125000", "OB-GYN Ultrasound Procedure Report"),
        *(subject if at_root else ()),
        samples.container(samples.dcm("125002", "Fetal Biometry"), *within, length),
        relationship="",
    )
    [made] = resources(mapped(samples.document(root)), "Observation")
    assert [one["code"]["text"] for one in made["component"]] == ["Subject Class", "Fetus ID"]
    assert made["component"][1]["valueString"] == "B"


def test_a_measurement_group_holds_its_measurements() -> None:
    found = mapped(samples.measurement_report())
    group = observed(found, "49755003")
    assert group["valueCodeableConcept"]["coding"][0]["code"] == "27925004"
    assert group["bodySite"]["coding"][0]["code"] == "39607008"
    assert group["bodySite"]["text"] == "Lung (Left, Upper)"
    assert group["method"]["coding"][0]["code"] == "112022"
    assert group["identifier"][1:] == [
        {"value": "Lesion 1"},
        {"system": "urn:dicom:uid", "value": f"urn:oid:{samples.STUDY}.50"},
    ]
    assert len(group["hasMember"]) == 4
    [algorithm] = [one for one in resources(found, "Device") if "version" in one]
    assert algorithm["deviceName"] == [{"name": "Nodule Finder", "type": "model-name"}]
    assert algorithm["version"] == [{"value": "2.1"}]


def test_a_measurement_has_derivation_and_region() -> None:
    found = mapped(samples.measurement_report())
    length = next(o for o in resources(found, "Observation") if o["code"]["text"] == "Length")
    assert str(length["valueQuantity"]["value"]) == "12.50"
    assert components(length)["Derivation"]["valueCodeableConcept"]["text"] == "Mean"
    region, instance = length["derivedFrom"][0]["extension"]
    said = {one["url"]: one for one in region["extension"]}
    assert said["graphicData"]["valueString"] == "1.5 2.5 10 20.25"
    assert said["graphicType"]["valueCode"] == "POLYLINE"
    assert instance["extension"] == [
        {"url": "instance", "valueOid": f"urn:oid:{samples.STUDY}.9"},
        {"url": "frame", "valuePositiveInt": 2},
    ]


def test_qualitative_evaluations_are_members() -> None:
    found = mapped(samples.measurement_report())
    margin, remark = observed(found, "112233"), observed(found, "Remark")
    assert margin["valueCodeableConcept"]["coding"][0]["code"] == "129742005"
    assert remark["valueString"] == "seen before"


def test_retired_ids_of_snomed_are_those_of_today() -> None:
    found = mapped(samples.measurement_report())
    sites = [one["bodySite"] for one in resources(found, "Observation") if "bodySite" in one]
    liver = {"system": "http://snomed.info/sct", "code": "10200004", "display": "Liver"}
    assert {"coding": [liver], "text": "Liver"} in sites
    lengths = [one for one in resources(found, "Observation") if one["code"]["text"] == "Length"]
    assert [one["code"]["coding"][0]["code"] for one in lengths] == ["410668003"] * 2


def test_an_id_that_no_table_knows_stays_text() -> None:
    item = samples.num(("G-XXXX", "SRT", "Of old"), "1", samples.mm())
    root = samples.container(samples.dcm("121070", "Findings"), item, relationship="")
    [one] = resources(mapped(samples.document(root)), "Observation")
    assert one["code"] == {"text": "Of old"}


def test_agreed_local_schemes_have_their_system() -> None:
    document = agreed(sample("measurement report"), {"99LOCAL": "urn:example:local"})
    remark = observed(mapping.mapped(document, AROUND), "Remark")
    assert remark["code"]["coding"] == [
        {"system": "urn:example:local", "code": "99X", "display": "Remark"}
    ]
    assert "coding" not in observed(mapped(samples.measurement_report()), "Remark")["code"]


def test_the_codes_of_dose_are_what_the_settings_say() -> None:
    found = mapping.mapped(sample("ct dose"), replace(AROUND, dose_codes=("", "")))
    summary = observed(found, "113701")
    assert len(summary["code"]["coding"]) == 1
    assert observed(found, "113819")["identifier"][0]["system"] == "urn:dicom:uid"


UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("value", "units", "qualifier", "expected"),
    [
        pytest.param(
            "1.40", ("mGy.cm", "UCUM", "mGy.cm"), None,
            {"valueQuantity": {
                "value": Decimal("1.40"), "unit": "mGy.cm", "system": UCUM, "code": "mGy.cm"}},
            id="UCUM",
        ),
        pytest.param(
            "7", ("1", "UCUM", "no units"), None,
            {"valueQuantity": {
                "value": Decimal(7), "unit": "no units", "system": UCUM, "code": "1"}},
            id="no units",
        ),
        pytest.param(
            "7", ("cm", "99LOCAL", "centimetres"), None,
            {"valueQuantity": {"value": Decimal(7), "unit": "centimetres"}},
            id="a local scheme is text",
        ),
        pytest.param(
            "7", ("mGycm", "UCUM", "mGycm"), None,
            {"valueQuantity": {"value": Decimal(7), "unit": "mGycm"}},
            id="what is no unit is text",
        ),
        pytest.param("7", None, None, {"valueQuantity": {"value": Decimal(7)}}, id="no unit"),
        pytest.param(None, None, ("114000", "DCM", "Not a number"), "not-a-number", id="114000"),
        pytest.param(None, None, ("114001", "DCM", "-inf"), "negative-infinity", id="114001"),
        pytest.param(None, None, ("114002", "DCM", "+inf"), "positive-infinity", id="114002"),
        pytest.param(None, None, ("114006", "DCM", "failure"), "error", id="114006"),
        pytest.param(None, None, ("114007", "DCM", "not tried"), "not-performed", id="114007"),
        pytest.param(None, None, ("114010", "DCM", "unknown"), "unknown", id="114010"),
        pytest.param(None, None, ("114011", "DCM", "unclear"), "unknown", id="114011"),
        pytest.param(None, None, None, "unknown", id="nothing"),
    ],
)  # fmt: skip
def test_numbers_have_their_unit_or_say_why_there_is_none(
    value: str | None, units: samples.Code | None, qualifier: samples.Code | None, expected: Any
) -> None:
    name = ("81827009", "SCT", "Diameter")
    item = samples.num(name, value, units, qualifier=qualifier)
    root = samples.container(samples.dcm("121070", "Findings"), item, relationship="")
    [one] = resources(mapped(samples.document(root)), "Observation")
    said = {key: one[key] for key in ("valueQuantity", "dataAbsentReason") if key in one}
    if isinstance(expected, str):
        assert said["dataAbsentReason"]["coding"][0]["code"] == expected
        assert "valueQuantity" not in said
    else:
        assert said == expected


def test_accumulated_ct_dose_is_one_observation_a_figure() -> None:
    found = mapped(samples.ct_dose())
    [summary] = report(found)["result"]
    [root] = [one for one in found.resources if one.reference == summary]
    assert [one["code"] for one in root.resource["code"]["coding"]] == ["113701", "73569-6"]
    assert len(root.resource["hasMember"]) == 3
    total = observed(found, "113813")
    assert (str(total["valueQuantity"]["value"]), total["valueQuantity"]["code"]) == (
        "318.50",
        "mGy.cm",
    )
    assert total["partOf"] == [PROCEDURE]
    assert total["derivedFrom"] == [STUDY]


def test_a_ct_acquisition_is_known_by_its_event_and_tells_its_sources_apart() -> None:
    found = mapped(samples.ct_dose())
    event = observed(found, "113852")
    assert event["identifier"] == [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{samples.STUDY}.600"}
    ]
    assert event["bodySite"]["coding"][0]["code"] == "816094009"
    said = components(event)
    first, second = (f"CT X-Ray Source Parameters {number}: KVP" for number in (1, 2))
    assert said[first]["valueQuantity"]["value"] == 100
    assert said[second]["valueQuantity"]["value"] == 140
    assert said["Mean CTDIvol"]["valueQuantity"]["code"] == "mGy"
    assert said["Pitch Factor"]["valueQuantity"]["code"] == "{ratio}"
    assert said["CTDIw Phantom Type"]["valueCodeableConcept"]["coding"][0]["code"] == "113691"


def test_projection_dose_of_two_planes_is_one_figure_with_components() -> None:
    found = mapped(samples.projection_dose())
    total = observed(found, "113722")
    assert "valueQuantity" not in total
    said = components(total)
    assert str(said["Plane A"]["valueQuantity"]["value"]) == "0.00012"
    assert str(said["Plane B"]["valueQuantity"]["value"]) == "0.00034"
    assert said["Plane A"]["valueQuantity"]["code"] == "Gy.m2"
    events = [
        one for one in resources(found, "Observation") if one["code"]["text"] == "Irradiation Event"
    ]
    assert [one["effectiveDateTime"] for one in events] == [
        "2024-01-02T10:01:00+05:30",
        "2024-01-02T10:02:00+05:30",
    ]


def test_an_administration_lasts_from_start_to_stop() -> None:
    event = observed(mapped(samples.radiopharmaceutical_dose()), "113502")
    assert event["effectivePeriod"] == {
        "start": "2024-01-02T09:00:00+05:30",
        "end": "2024-01-02T09:01:00+05:30",
    }
    activity = components(event)["Administered activity"]["valueQuantity"]
    assert (str(activity["value"]), activity["code"]) == ("370.0", "MBq")


def test_an_event_that_is_told_twice_is_two_observations() -> None:
    made = samples.ct_dose()
    made.ContentSequence.append(made.ContentSequence[4])
    found = mapped(made)
    events = [
        one for one in resources(found, "Observation") if one["code"]["text"] == "Irradiation Event"
    ]
    assert [one["identifier"][0]["system"] for one in events] == [
        "urn:dicom:uid",
        "urn:sangam:dicom:content-item",
    ]
    assert len({one.full_url for one in found.resources}) == len(found.resources)


def test_observers_are_performers_and_devices() -> None:
    found = mapped(samples.measurement_report())
    assert report(found)["performer"] == [
        {"type": "Organization", "display": "Example Hospital"},
        {"type": "Practitioner", "display": "First Reader, Example Hospital"},
    ]
    device = next(one for one in found.resources if one.resource["resourceType"] == "Device")
    assert device.resource["serialNumber"] == "SN7"
    assert device.if_none_exist is not None
    untouched = [
        one
        for one in resources(found, "Observation")
        if one["code"].get("text") == "Sum of diameters"
    ]
    assert untouched[0]["device"] == device.reference


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        pytest.param({}, [], id="agrees"),
        pytest.param({"PatientName": "simulated^person"}, [], id="case does not count"),
        pytest.param({"PatientName": "Other^Person"}, ["PatientName differs"], id="name"),
        pytest.param({"PatientID": "SIM2"}, ["PatientID differs"], id="id"),
        pytest.param({"PatientSex": "M"}, ["PatientSex differs"], id="sex"),
    ],
)
def test_a_context_that_contradicts_the_header_is_flagged(changes: Json, flags: list[str]) -> None:
    made = samples.basic_report()
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    found = mapped(made)
    assert found.flags == flags
    tags = [one["code"] for one in report(found).get("meta", {}).get("tag", ())]
    assert tags == (["context-differs"] if flags else [])


def test_the_context_of_a_fetus_is_not_that_of_the_mother() -> None:
    made = samples.basic_report()
    fetus = samples.code(
        samples.dcm("121024", "Subject Class"),
        samples.dcm("121027", "Fetus"),
        rel="HAS OBS CONTEXT",
    )
    made.ContentSequence.insert(0, fetus.dataset())
    made.PatientName = "Mother^Of"
    assert mapped(made).flags == []


def test_key_objects_have_no_flags_and_are_final() -> None:
    found = report(mapped(samples.key_objects()))
    assert found["status"] == "final"
    assert len(found["media"]) == 1
    assert "result" not in found
