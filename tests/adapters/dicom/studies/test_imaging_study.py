from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.dicom.studies.found import Found, Rules
from adapters.dicom.studies.imaging_study import imaging_study
from adapters.dicom.studies.series import Instance, merged

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
SUBJECT = {"reference": "Patient/1"}
FOUND = Found(SUBJECT)
RULES = Rules(ZoneInfo("Asia/Kolkata"), keep_study_id=True, max_shown=10)
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


def instance(uid: str, series: str = "1.2.1", sop_class: str = CT, **attributes: Any) -> Instance:
    listed = {k: v if isinstance(v, list) else [v] for k, v in attributes.items()}
    return Instance(uid, series, sop_class, {"Modality": ["CT"], **listed})


def made(
    *instances: Instance, rules: Rules = RULES, found: Found = FOUND, status: str = "available"
) -> dict[str, Any]:
    said = merged([one.attributes for one in instances])
    return imaging_study("1.2", said, instances, found, rules, status=status)


def test_the_least_study() -> None:
    assert made(instance("1.2.1.1")) == {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}],
        "status": "available",
        "modality": [{"system": DCM, "code": "CT"}],
        "subject": SUBJECT,
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [
            {
                "uid": "1.2.1",
                "modality": {"system": DCM, "code": "CT"},
                "numberOfInstances": 1,
                "instance": [
                    {
                        "uid": "1.2.1.1",
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CT}"},
                    }
                ],
            }
        ],
    }


def test_series_and_instances_come_in_the_order_of_their_numbers() -> None:
    study = made(
        instance("1.2.2.1", "1.2.2", SeriesNumber="2", InstanceNumber="1"),
        instance("1.2.1.10", "1.2.1", SeriesNumber="1", InstanceNumber="10"),
        instance("1.2.1.9", "1.2.1", SeriesNumber="1", InstanceNumber="9"),
        instance("1.2.1.0", "1.2.1", SeriesNumber="1"),
    )
    assert [s["uid"] for s in study["series"]] == ["1.2.1", "1.2.2"]
    uids = [one["uid"] for one in study["series"][0]["instance"]]
    assert uids == ["1.2.1.9", "1.2.1.10", "1.2.1.0"]


def test_the_order_of_arrival_does_not_change_what_is_listed() -> None:
    rows = [
        instance(f"1.2.{s}.{n}", f"1.2.{s}", SeriesNumber=str(s), InstanceNumber=str(n))
        for s in (1, 2)
        for n in (1, 2)
    ]
    assert made(*rows) == made(*reversed(rows))


def test_the_first_value_that_came_wins() -> None:
    study = made(
        instance("1.2.1.1"),
        instance("1.2.1.2", StudyDescription="first"),
        instance("1.2.1.3", StudyDescription="second"),
    )
    assert study["description"] == "first"


def test_identifiers_and_orders() -> None:
    issuer = {"UniversalEntityID": ["1.9"], "UniversalEntityIDType": ["ISO"]}
    study = made(
        instance(
            "1.2.1.1",
            AccessionNumber="A1",
            IssuerOfAccessionNumberSequence=[issuer],
            StudyID="S1",
            RequestAttributesSequence=[{"AccessionNumber": ["A2"]}, {"AccessionNumber": ["A1"]}],
        )
    )
    first = {"type": ACSN, "system": "urn:oid:1.9", "value": "A1"}
    assert study["identifier"][1:] == [first, {"value": "S1"}]
    assert study["basedOn"] == [
        {"type": "ServiceRequest", "identifier": first},
        {"type": "ServiceRequest", "identifier": {"type": ACSN, "value": "A2"}},
    ]


def test_the_study_id_is_kept_by_setting_only() -> None:
    rules = Rules(RULES.zone, keep_study_id=False, max_shown=10)
    assert len(made(instance("1.2.1.1", StudyID="S1"), rules=rules)["identifier"]) == 1


def test_only_acquired_modalities_are_modalities_of_the_study() -> None:
    study = made(
        instance("1.2.1.1"),
        Instance("1.2.2.1", "1.2.2", SR, {"Modality": ["SR"]}),
        Instance("1.2.3.1", "1.2.3", CT, {}),
    )
    assert study["modality"] == [{"system": DCM, "code": "CT"}]
    assert [s["modality"].get("code") for s in study["series"]] == ["CT", "SR", None]


@pytest.mark.parametrize(
    ("sent", "started"),
    [
        ({"StudyDate": "20240131"}, "2024-01-31"),
        ({"StudyDate": "20240131", "StudyTime": "1127"}, "2024-01-31T11:27:00+05:30"),
        (
            {"StudyDate": "20240131", "StudyTime": "1127", "TimezoneOffsetFromUTC": "-0500"},
            "2024-01-31T11:27:00-05:00",
        ),
    ],
)
def test_the_start_has_the_offset_that_was_sent(sent: dict[str, str], started: str) -> None:
    assert made(instance("1.2.1.1", **sent))["started"] == started


def test_a_series_starts_with_its_date_else_with_its_acquisition() -> None:
    study = made(
        instance("1.2.1.1", SeriesDate="20240131"),
        instance("1.2.2.1", "1.2.2", AcquisitionDate="20240201"),
    )
    assert [s["started"] for s in study["series"]] == ["2024-01-31", "2024-02-01"]


@pytest.mark.parametrize(
    ("moment", "started"),
    [
        ("20240201083000.25+0100", "2024-02-01T08:30:00.250+01:00"),
        ("20240201083000", "2024-02-01T08:30:00+05:30"),
        ("20240230", None),
    ],
    ids=["with an offset", "in the agreed zone", "of no day"],
)
def test_a_multi_frame_image_says_its_acquisition_at_once(moment: str, started: str | None) -> None:
    study = made(instance("1.2.1.1", AcquisitionDateTime=moment))
    assert study["series"][0].get("started") == started


@pytest.mark.parametrize(
    ("sent", "site"),
    [
        ("CHEST", {"system": SCT, "code": "816094009", "display": "CHEST"}),
        ("C-SPINE", {"system": SCT, "code": "122494005", "display": "C-SPINE"}),
        ("THORAX", {"system": SCT, "code": "816094009", "display": "THORAX"}),
        ("LEFT SOMETHING", {"display": "LEFT SOMETHING"}),
    ],
)
def test_body_parts(sent: str, site: dict[str, str]) -> None:
    assert made(instance("1.2.1.1", BodyPartExamined=sent))["series"][0]["bodySite"] == site


def test_a_coded_region_wins_over_the_body_part() -> None:
    region = {
        "CodeValue": ["39607008"],
        "CodingSchemeDesignator": ["SCT"],
        "CodeMeaning": ["Lung"],
    }
    study = made(instance("1.2.1.1", BodyPartExamined="CHEST", AnatomicRegionSequence=[region]))
    assert study["series"][0]["bodySite"] == {
        "system": SCT,
        "code": "39607008",
        "display": "Lung",
    }


@pytest.mark.parametrize(
    ("value", "site"),
    [
        ("T-D1100", {"system": SCT, "code": "69536005", "display": "Head"}),
        ("T-99999", {"display": "Head"}),
    ],
    ids=["by the table", "as text where no table knows it"],
)
def test_retired_ids_of_snomed_are_translated(value: str, site: dict[str, str]) -> None:
    code = {"CodeValue": [value], "CodingSchemeDesignator": ["SRT"], "CodeMeaning": ["Head"]}
    study = made(instance("1.2.1.1", ProcedureCodeSequence=[code], AnatomicRegionSequence=[code]))
    coded = {"coding": [site]} if "code" in site else {}
    assert study["procedureCode"] == [{**coded, "text": "Head"}]
    assert study["series"][0]["bodySite"] == site


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([{"Laterality": "L"}], "7771000"),
        ([{"ImageLaterality": "R"}], "24028007"),
        ([{"ImageLaterality": "R"}, {"ImageLaterality": "L"}], "51440002"),
        ([{"ImageLaterality": "R"}, {"ImageLaterality": "R"}], "24028007"),
        ([{"ImageLaterality": "R"}, {"ImageLaterality": "U"}], None),
        ([{"Laterality": "L", "ImageLaterality": "R"}], None),
        ([{"Laterality": "B", "ImageLaterality": "R"}], "51440002"),
        ([{"Laterality": "X"}], None),
    ],
    ids=[
        "of the series",
        "of its images",
        "of both sides",
        "of one side twice",
        "none of which is sure",
        "contradicted by the image",
        "a side of both",
        "unknown",
    ],
)
def test_a_series_has_the_side_of_all_its_images(
    sent: list[dict[str, str]], code: str | None
) -> None:
    study = made(*(instance(f"1.2.1.{n}", **one) for n, one in enumerate(sent)))
    assert study["series"][0].get("laterality", {}).get("code") == code


def test_a_name_is_not_given_the_code_of_another() -> None:
    code = {"CodeValue": ["7"], "CodingSchemeUID": ["1.7"], "CodeMeaning": ["Doctor"]}
    own = [{"PersonIdentificationCodeSequence": [code]}]
    study = made(
        instance("1.2.1.1", OperatorsName="B^A"),
        instance("1.2.1.2", OperatorsName="D^C", OperatorIdentificationSequence=own),
    )
    assert [one["actor"] for one in study["series"][0]["performer"]] == [{"display": "A B"}]


def test_codes_of_all_requests_are_codes_of_the_study() -> None:
    def request(value: str) -> list[dict[str, Any]]:
        code = {"CodeValue": [value], "CodingSchemeDesignator": ["LN"]}
        return [{"RequestedProcedureCodeSequence": [code]}]

    study = made(
        instance("1.2.1.1", RequestAttributesSequence=request("24627-2")),
        instance("1.2.2.1", "1.2.2", RequestAttributesSequence=request("24725-4")),
    )
    codes = [one["coding"][0]["code"] for one in study["procedureCode"]]
    assert codes == ["24627-2", "24725-4"]


def test_the_accession_number_of_an_unknown_issuer_says_so() -> None:
    issuer = [{"LocalNamespaceEntityID": ["ELSEWHERE"]}]
    study = made(instance("1.2.1.1", AccessionNumber="A1", IssuerOfAccessionNumberSequence=issuer))
    number = {"type": ACSN, "value": "A1", "assigner": {"display": "ELSEWHERE"}}
    assert study["identifier"][1] == number
    assert study["basedOn"] == [{"type": "ServiceRequest", "identifier": number}]


def test_people_are_named() -> None:
    study = made(
        instance(
            "1.2.1.1",
            ReferringPhysicianName="House^Gregory^^Dr.",
            NameOfPhysiciansReadingStudy=["A^B", "C^D"],
            PerformingPhysicianName="E^F",
            OperatorsName="G^H",
        )
    )
    assert study["referrer"] == {"display": "Dr. Gregory House"}
    assert study["interpreter"] == [{"display": "B A"}, {"display": "D C"}]
    performers = study["series"][0]["performer"]
    assert [(p["function"]["coding"][0]["code"], p["actor"]) for p in performers] == [
        ("PRF", {"display": "F E"}),
        ("SPRF", {"display": "H G"}),
    ]


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "ORIGINAL\\PRIMARY"),
        ({"DocumentTitle": "Report", "ImageType": ["ORIGINAL"]}, "Report"),
        ({"ConceptNameCodeSequence": [{"CodeMeaning": ["Findings"]}]}, "Findings"),
        ({"ContentLabel": "LABEL", "DocumentTitle": "Report"}, "LABEL"),
    ],
)
def test_titles(sent: dict[str, Any], title: str) -> None:
    [one] = made(instance("1.2.1.1", **sent))["series"][0]["instance"]
    assert one["title"] == title


@pytest.mark.parametrize("number", ["-1", "1.0", "", "99999999999", "x"])
def test_a_number_that_fhir_cannot_hold_is_left_out(number: str) -> None:
    [one] = made(instance("1.2.1.1", InstanceNumber=number))["series"][0]["instance"]
    assert "number" not in one


def test_a_study_with_too_many_instances_only_counts_them() -> None:
    study = made(*(instance(f"1.2.1.{n}") for n in range(11)))
    [series] = study["series"]
    assert (study["numberOfInstances"], series["numberOfInstances"]) == (11, 11)
    assert "instance" not in series


def test_control_characters_do_not_reach_the_resource() -> None:
    assert made(instance("1.2.1.1", StudyDescription="a\x00b\x1fc"))["description"] == "a b c"
