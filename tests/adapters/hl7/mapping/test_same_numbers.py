"""What is said twice under one number: one resource, and nothing that it lacks counts as mapped."""

from adapters.hl7.mapping.transform import Mapped, transform
from tests.adapters.hl7.mapping.telling import check
from tests.adapters.hl7.reading import PID, mapped, message, profile, resources

ORDER = ("OBR|1||F1|CULTURE", "OBX|1|ST|T1||x||||||F")


def said(*segments: str) -> Mapped:
    told = message(PID, *segments)
    found = transform(told, profile())
    check(told, found)
    return found


def test_isolate_with_the_number_of_its_specimen_is_a_specimen_of_its_own() -> None:
    found = said(*ORDER, "SPM|1|S1||119297000^Blood^SCT", "SPM|2|S1||119303007^Isolate^SCT^ISLT")
    blood, isolate = resources(found, "Specimen")
    (url,) = [w.full_url for w in found.writes if w.resource == blood]
    assert isolate["type"]["coding"][0]["code"] == "119303007"
    assert isolate["parent"] == [{"reference": url}]
    assert "parent" not in blood


def test_specimen_of_another_type_under_one_number_has_no_parent() -> None:
    found = said(*ORDER, "SPM|1|S1||BLD", "SPM|2|S1||UR")
    types = [one["type"]["coding"][0]["code"] for one in resources(found, "Specimen")]
    assert types == ["BLD", "UR"]
    assert not any("parent" in one for one in resources(found, "Specimen"))


def test_specimen_said_again_is_one_and_what_differs_is_no_duplicate() -> None:
    found = said(*ORDER, "SPM|1|S1||BLD||||ARM", "SPM|2|S1||BLD||||LEG")
    assert len(resources(found, "Specimen")) == 1
    reasons = dict(found.unmapped)
    assert reasons["SPM[2]-4[1].1.1"] == "duplicate_of"
    assert reasons["SPM[2]-8[1].1.1"] == "condition_false"


def test_name_of_somebody_who_was_named_otherwise_before_is_listed() -> None:
    found = said("OBR|1||F1|A||||||||||||7^Iyer^Ravi", "OBR|2||F2|B||||||||||||7^Menon^Ravi")
    (person,) = resources(found, "Practitioner")
    assert person["name"] == [{"family": "Iyer", "given": ["Ravi"]}]
    reasons = dict(found.unmapped)
    assert reasons["OBR[2]-16[1].2.1"] == "condition_false"
    assert "OBR[2]-16[1].3.1" not in reasons


def test_second_address_of_a_laboratory_is_kept() -> None:
    laboratory = "Lab^^^^^A^XX^^^L1"
    found = said(
        "OBR|1||F1|A",
        f"OBX|1|ST|T1||x||||||F||||||||||||{laboratory}|1 Main^^Pune",
        f"OBX|2|ST|T2||x||||||F||||||||||||{laboratory}|2 Side^^Delhi",
    )
    (organization,) = resources(found, "Organization")
    assert [one["city"] for one in organization["address"]] == ["Pune", "Delhi"]


def test_order_of_a_number_and_code_that_was_told_lists_what_differs() -> None:
    found = said(
        "ORC|RE|P1|F1", "OBR|1|P1|F1|A|||||||||HURRY", "ORC|RE|P1|F2", "OBR|2|P1|F2|A|||||||||CALM"
    )
    assert len(resources(found, "ServiceRequest")) == 1
    assert dict(found.unmapped)["OBR[2]-13[1].1.1"] == "condition_false"


def test_report_has_group_number_and_confidentiality_of_its_order() -> None:
    found = mapped(PID, "ORC|RE|P1|F1|G1^HIS" + "|" * 24 + "R", "OBR|1|P1|F1|A")
    (report,) = resources(found, "DiagnosticReport")
    values = [(one["value"], one.get("type", {}).get("coding")) for one in report["identifier"]]
    assert "G1" in [value for value, _ in values]
    assert [one["code"] for one in report["meta"]["security"]] == ["R"]
