from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.dicom.mpps import follow_up, orders
from adapters.dicom.mpps.content import instances
from adapters.dicom.mpps.procedure import (
    Found,
    is_station,
    procedure,
    station,
    status,
    study_attributes,
)

DELHI = ZoneInfo("Asia/Kolkata")
SYSTEM = "urn:sangam:ae-title"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SERIES = {"PerformedSeriesSequence": [{"SeriesInstanceUID": ["1.2"]}]}


def made(attributes: dict[str, Any], state: str = "COMPLETED", **found: Any) -> dict[str, Any]:
    known = Found({"reference": "Patient/1"}, DELHI, **found)
    return procedure("1.2.3", state, attributes, known, withdrawn=False)


def code(value: str, scheme: str = "DCM", meaning: str = "meaning") -> dict[str, list[str]]:
    return {"CodeValue": [value], "CodingSchemeDesignator": [scheme], "CodeMeaning": [meaning]}


@pytest.mark.parametrize(
    ("state", "attributes", "withdrawn", "expected"),
    [
        pytest.param("IN PROGRESS", {}, False, "in-progress", id="in progress"),
        pytest.param("COMPLETED", SERIES, False, "completed", id="completed"),
        pytest.param("DISCONTINUED", SERIES, False, "stopped", id="broken off"),
        pytest.param("DISCONTINUED", {}, False, "not-done", id="not begun"),
        pytest.param("DISCONTINUED", SERIES, True, "entered-in-error", id="wrong entry"),
    ],
)
def test_a_state_is_a_status(
    state: str, attributes: dict[str, Any], *, withdrawn: bool, expected: str
) -> None:
    assert status(state, attributes, withdrawn=withdrawn) == expected


SCHEDULED = {"RequestedProcedureCodeSequence": [code("R1", "LN", "requested")]}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param(
            {
                "ProcedureCodeSequence": [code("P1")],
                "PerformedProtocolCodeSequence": [code("Q1")],
                "ScheduledStepAttributesSequence": [SCHEDULED],
            },
            {"coding": [{"system": DCM, "code": "P1", "display": "meaning"}], "text": "meaning"},
            id="procedure",
        ),
        pytest.param(
            {
                "PerformedProtocolCodeSequence": [code("Q1")],
                "ScheduledStepAttributesSequence": [SCHEDULED],
                "PerformedProcedureStepDescription": ["CT chest"],
            },
            {"coding": [{"system": DCM, "code": "Q1", "display": "meaning"}], "text": "CT chest"},
            id="protocol, with a description",
        ),
        pytest.param(
            {"ScheduledStepAttributesSequence": [SCHEDULED]},
            {
                "coding": [{"system": "http://loinc.org", "code": "R1", "display": "requested"}],
                "text": "requested",
            },
            id="requested",
        ),
        pytest.param({"Modality": ["CT"]}, {"coding": [{"system": DCM, "code": "CT"}]}, id="none"),
    ],
)
def test_what_was_done_is_told_by_the_best_code(
    attributes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert made(attributes)["code"] == expected


def test_times_have_the_offset_that_was_sent_else_the_agreed_one() -> None:
    told = {
        "PerformedProcedureStepStartDate": ["20240105"],
        "PerformedProcedureStepStartTime": ["081000"],
        "PerformedProcedureStepEndDate": ["20240105"],
    }
    assert made(told)["performedPeriod"] == {
        "start": "2024-01-05T08:10:00+05:30",
        "end": "2024-01-05",
    }
    east = {**told, "TimezoneOffsetFromUTC": ["+0900"]}
    assert made(east)["performedPeriod"]["start"] == "2024-01-05T08:10:00+09:00"


def test_who_did_it_is_named_once() -> None:
    series = {"PerformingPhysicianName": ["Rao^Asha"], "OperatorsName": ["Devi^Sita", "B^C"]}
    found = made({"PerformedSeriesSequence": [series, series]})["performer"]
    assert [(one["function"]["coding"][0]["code"], one["actor"]["display"]) for one in found] == [
        ("PRF", "Asha Rao"),
        ("SPRF", "Sita Devi"),
        ("SPRF", "C B"),
    ]


def test_the_station_took_part_and_was_used() -> None:
    named = station(
        {"PerformedStationAETitle": ["CT1"], "PerformedStationName": ["Room 1"]}, SYSTEM
    )
    assert named == {
        "type": "Device",
        "identifier": {"type": {"text": "DICOM AE title"}, "system": SYSTEM, "value": "CT1"},
        "display": "Room 1",
    }
    found = made({}, device=named)
    assert found["usedReference"] == [named]
    assert [one["actor"] for one in found["performer"]] == [named]
    assert station({}, SYSTEM) is None


def test_a_device_is_a_station_by_system_or_type() -> None:
    title = {"system": SYSTEM, "value": "CT1"}
    assert is_station({"identifier": [{"system": SYSTEM, "value": "CT1"}]}, title)
    assert is_station({"identifier": [{"type": {"text": "DICOM AE Title"}, "value": "CT1"}]}, title)
    assert not is_station({"identifier": [{"system": "urn:serial", "value": "CT1"}]}, title)


def test_a_reason_is_told_only_of_what_was_discontinued() -> None:
    keyword = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    attributes = {keyword: [code("110513")], "CommentsOnThePerformedProcedureStep": ["moved"]}
    found = made(attributes, "DISCONTINUED")
    assert found["statusReason"]["coding"][0]["code"] == "110513"
    assert found["note"] == [{"text": "moved"}]
    assert "statusReason" not in made(attributes, "COMPLETED")


def test_all_references_of_a_series_are_its_instances() -> None:
    def references(*uids: str) -> list[dict[str, list[str]]]:
        return [{"ReferencedSOPInstanceUID": [uid]} for uid in uids]

    series = {
        "SeriesInstanceUID": ["1.2"],
        "ReferencedImageSequence": references("1.2.1", "1.2.2"),
        "ReferencedNonImageCompositeSOPInstanceSequence": references("1.2.3", "1.2.1"),
    }
    found = instances({"PerformedSeriesSequence": [series]})
    assert found == [("1.2", "1.2.1"), ("1.2", "1.2.2"), ("1.2", "1.2.3")]


def test_a_study_is_told_what_the_step_knows_of_it() -> None:
    issuer = [{"UniversalEntityID": ["1.2"], "UniversalEntityIDType": ["ISO"]}]
    scheduled = {"AccessionNumber": ["A1"], "IssuerOfAccessionNumberSequence": issuer}
    found = study_attributes(
        {
            "PatientID": ["P1"],
            "Modality": ["CT"],
            "PerformedProcedureStepStartDate": ["20240105"],
            "ScheduledStepAttributesSequence": [{}, scheduled],
            "PerformedStationAETitle": ["CT1"],
        }
    )
    assert found == {
        "PatientID": ["P1"],
        "Modality": ["CT"],
        "AccessionNumber": ["A1"],
        "IssuerOfAccessionNumberSequence": issuer,
        "StudyDate": ["20240105"],
        "StudyTime": [""],
    }


def identifier(value: str, kind: str = "", system: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"value": value}
    if kind:
        found["type"] = {"coding": [{"system": V2_0203, "code": kind}]}
    if system:
        found["system"] = system
    return found


def order(id_: str, *identifiers: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "ServiceRequest", "id": id_, "identifier": list(identifiers)}


UID = identifier("urn:oid:1.2.3", system="urn:dicom:uid")
ISSUER = {
    "IssuerOfAccessionNumberSequence": [
        {"UniversalEntityID": ["1.9"], "UniversalEntityIDType": ["ISO"]}
    ]
}


@pytest.mark.parametrize(
    ("item", "candidates", "expected"),
    [
        pytest.param(
            {"StudyInstanceUID": ["1.2.3"], "AccessionNumber": ["A1"]},
            [order("1", identifier("A1", "ACSN")), order("2", UID)],
            ["2"],
            id="the study UID goes before the accession number",
        ),
        pytest.param(
            {"AccessionNumber": ["A1"]},
            [order("1", identifier("A1", "ACSN")), order("2", identifier("A1", "PLAC"))],
            ["1"],
            id="an accession number is of its type",
        ),
        pytest.param(
            {"AccessionNumber": ["A1"]},
            [order("1", identifier("A1", "ACSN")), order("2", identifier("A1", "ACSN"))],
            [],
            id="without issuer it must be one order's",
        ),
        pytest.param(
            {"AccessionNumber": ["A1"], **ISSUER},
            [
                order("1", identifier("A1", "ACSN", "urn:oid:1.8")),
                order("2", identifier("A1", "ACSN", "urn:oid:1.9")),
            ],
            ["2"],
            id="with issuer it is its issuer's",
        ),
        pytest.param(
            {
                "AccessionNumber": ["A1"],
                "IssuerOfAccessionNumberSequence": [{"LocalNamespaceEntityID": ["ELSEWHERE"]}],
            },
            [order("1", identifier("A1", "ACSN"))],
            [],
            id="of an unknown issuer it is nobody's",
        ),
        pytest.param(
            {"StudyInstanceUID": ["1.2.3"], "RequestedProcedureID": ["R2"]},
            [order("1", UID, identifier("R1")), order("2", UID, identifier("R2"))],
            ["2"],
            id="of several of a study, that of the procedure",
        ),
        pytest.param(
            {"FillerOrderNumberImagingServiceRequest": ["F1"]},
            [order("1", identifier("F1", "FILL")), order("2", identifier("F1", "PLAC"))],
            ["1"],
            id="filler number",
        ),
        pytest.param({}, [order("1", identifier("", "ACSN"))], [], id="nothing said"),
    ],
)
def test_a_step_means_its_order(
    item: dict[str, Any], candidates: list[dict[str, Any]], expected: list[str]
) -> None:
    attributes = {"ScheduledStepAttributesSequence": [item]}
    assert [one["id"] for one in orders.meant(attributes, candidates)] == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "IN PROGRESS"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
        (["COMPLETED", ""], "IN PROGRESS"),
        (["COMPLETED", "DISCONTINUED"], "IN PROGRESS"),
        (["DISCONTINUED"], "DISCONTINUED"),
        (["DISCONTINUED", "IN PROGRESS"], "IN PROGRESS"),
    ],
)
def test_an_order_is_as_far_as_all_its_steps(states: list[str], expected: str) -> None:
    assert follow_up.together(states) == expected


def test_what_was_broken_off_and_repeated_is_done() -> None:
    assert follow_up.attempted(["DISCONTINUED", "COMPLETED"]) == "COMPLETED"
    assert follow_up.attempted(["DISCONTINUED", "IN PROGRESS"]) == "IN PROGRESS"
    assert follow_up.attempted(["DISCONTINUED"]) == "DISCONTINUED"


REASON = {"text": "equipment"}


@pytest.mark.parametrize(
    ("before", "state", "withdrawn", "expected"),
    [
        ("requested", "IN PROGRESS", False, {"status": "in-progress"}),
        ("in-progress", "IN PROGRESS", False, None),
        ("in-progress", "COMPLETED", False, {"status": "completed"}),
        ("requested", "COMPLETED", False, {"status": "completed"}),
        ("in-progress", "DISCONTINUED", False, {"status": "failed", "businessStatus": REASON}),
        ("in-progress", "DISCONTINUED", True, {"status": "ready"}),
        ("cancelled", "COMPLETED", False, None),
        ("completed", "DISCONTINUED", False, None),
    ],
)
def test_a_task_goes_on_and_never_back(
    before: str, state: str, *, withdrawn: bool, expected: dict[str, Any] | None
) -> None:
    assert follow_up.task({"status": before}, state, REASON, withdrawn=withdrawn) == expected


@pytest.mark.parametrize("before", ["cancelled", "noshow", "fulfilled", "entered-in-error"])
def test_an_appointment_that_ended_stays(before: str) -> None:
    assert follow_up.appointment({"status": before}) is None


@pytest.mark.parametrize("before", ["draft", "on-hold", "revoked", "entered-in-error"])
def test_only_an_active_order_is_completed(before: str) -> None:
    assert follow_up.request({"status": before}, "COMPLETED") is None
    assert follow_up.request({"status": "active"}, "COMPLETED") == {"status": "completed"}
    assert follow_up.request({"status": "active"}, "DISCONTINUED") is None


def test_the_task_to_match_a_study_is_left_alone() -> None:
    assert not follow_up.fulfils({"code": {"coding": [{"code": "match-imaging-study"}]}})
    assert follow_up.fulfils({"code": {"coding": [{"code": "fulfill"}]}})
    assert follow_up.fulfils({})


def test_only_what_differs_is_written() -> None:
    own = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    before = {"identifier": [own, {"value": "other"}], "status": "in-progress", "note": []}
    made_now = {"identifier": [own], "status": "completed"}
    assert follow_up.differences(before, made_now) == {"status": "completed"}
    assert follow_up.differences({}, made_now) == made_now
