"""PID, PD1, NK1, AL1, IAM, DG1, PR1 and IN1, field by field."""

from typing import Any

import pytest

from adapters.hl7.mapping.transform import transform
from tests.adapters.hl7.mapping.telling import (
    DOCTOR,
    HEADER,
    V3,
    at,
    check,
    concept,
    extension,
    said,
    segment,
)
from tests.adapters.hl7.reading import CODES, EXT, IDS, THO, message, profile, resources

PATIENT: list[tuple[str, str, Any]] = [
    ("f2=X9", "identifier.1.value", "X9"),
    ("f4=X8^^^OLD", "identifier.1", {"system": f"{IDS}/OLD", "value": "X8"}),
    ("f5=Rao&van&Rao&de&Das^Asha^K^Jr^Dr^MD^L", "name.0.prefix", ["Dr"]),
    ("f5=Rao^Asha^K^Jr^Dr^MD^L", "name.0", {
        "family": "Rao", "given": ["Asha", "K"], "prefix": ["Dr"], "suffix": ["Jr", "MD"],
        "use": "official"}),
    ("f5=Rao^^^^^^^^^2020&2021", "name.0.period", {"start": "2020", "end": "2021"}),
    ("f5=Rao^Asha^^^^^^^^^^^^^Ashi", "name.1", {"use": "nickname", "given": ["Ashi"]}),
    ("f6=Das", "extension", extension(f"{EXT}/patient-mothersMaidenName", valueString="Das")),
    ("f7=19800102", "birthDate", "1980-01-02"),
    ("f7=198001020304", "_birthDate.extension", extension(
        f"{EXT}/patient-birthTime", valueDateTime="1980-01-02T03:04:00+05:30")),
    ("f8=A", "gender", "other"),
    ("f9=Old^Name", "name.0.family", "Old"),
    ("f11=1 Road&X&2^Flat 3^Pune^MH^411001^IN^BI^^Haveli", "address.0.line",
     ["1 Road", "X", "2", "Flat 3"]),
    ("f11=1 Road^^Pune^MH^411001^IN^BI^^Haveli", "address.0.use", "billing"),
    ("f11=1 Road^^Pune^^^^^^^^^2020&2021", "address.0.period", {"start": "2020", "end": "2021"}),
    ("f11=1 Road^^Pune;f12=Haveli", "address.0.district", "Haveli"),
    ("f11=1 Road^^Pune~2 Road;f12=Haveli", "address.2", {"district": "Haveli"}),
    ("f13=12345", "telecom.0", {"system": "phone", "value": "12345", "use": "home"}),
    ("f13=^ASN^PH^^^^9", "telecom.0.use", None),
    ("f14=^^Internet^a@b.c", "telecom.0",
     {"system": "email", "value": "a@b.c", "use": "work"}),
    ("f14=^^CP^^91^20^555^7", "telecom.0.value", "+91 20 555 X7"),
    ("f14=^^CP^^91^20^555^7", "telecom.0.use", "mobile"),
    ("f40=555", "telecom.0", {"system": "phone", "value": "555"}),
    ("f15=hi", "communication.0.language.coding.0",
     {"system": "urn:ietf:bcp:47", "code": "hi"}),
    ("f16=M", "maritalStatus",
     concept(f"{V3}MaritalStatus", "M", (f"{THO}/v2-0002", "M"))),
    ("f17=HIN", "extension", extension(
        f"{EXT}/patient-religion",
        valueCodeableConcept=concept(
            f"{V3}ReligiousAffiliation", "1020", (f"{THO}/v2-0006", "HIN")))),
    ("f19=123", "identifier.1", {
        "type": concept(f"{THO}/v2-0203", "SB"), "system": f"{IDS}/PID-19", "value": "123"}),
    ("f20=D9^MH^2030", "identifier.1", {
        "type": concept(f"{THO}/v2-0203", "DL"), "system": f"{IDS}/PID-20-MH", "value": "D9",
        "period": {"end": "2030"}}),
    ("f23=Pune", "extension",
     extension(f"{EXT}/patient-birthPlace", valueAddress={"text": "Pune"})),
    ("f24=Y", "multipleBirthBoolean", True),
    ("f24=Y;f25=2", "multipleBirthInteger", 2),
    ("f26=IN", "extension", extension(f"{EXT}/patient-citizenship", extension=extension(
        "code", valueCodeableConcept=concept(f"{CODES}/PID-26", "IN")))),
    ("f28=IN", "extension.0.url", f"{EXT}/patient-nationality"),
    ("f29=20260101", "deceasedDateTime", "2026-01-01"),
    ("f30=Y", "deceasedBoolean", True),
    ("f35=CAN;f36=LAB", "extension.0.extension.1.url", "breed"),
    ("f39=X", "extension.0.url", f"{EXT}/patient-citizenship"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "path", "expected"), PATIENT)
def test_every_field_of_pid(fields: str, path: str, expected: Any) -> None:
    pairs = dict(part.split("=", 1) for part in fields.split(";"))
    found = said(segment("PID", **{"f3": "P1^^^HOSP^MR"} | pairs))
    assert at(resources(found, "Patient")[0], path) == expected


def test_race_and_ethnicity_are_in_the_extensions_of_the_realm() -> None:
    pid = segment("PID", f3="P1", f10="2106-3", f22="H")
    urls = {"race_extension": "http://r/race", "ethnicity_extension": "http://r/ethnicity"}
    (patient,) = resources(said(pid, **urls), "Patient")
    assert [one["url"] for one in patient["extension"]] == list(urls.values())
    assert "extension" not in resources(said(pid), "Patient")[0]


def test_social_security_number_has_the_type_of_the_realm() -> None:
    (patient,) = resources(said(segment("PID", f3="P1", f19="1"), ssn_type="SS"), "Patient")
    assert patient["identifier"][1]["type"] == concept(f"{THO}/v2-0203", "SS")


def test_account_mother_and_last_update_are_resources_of_their_own() -> None:
    pid = segment("PID", f3="P1", f18="A1^^^HOSP", f21="M1^^^HOSP", f33="20260101", f34="HOSP")
    found = said(pid)
    patient = next(w for w in found.writes if w.resource["resourceType"] == "Patient")
    (account,) = resources(found, "Account")
    assert (account["status"], account["subject"]) == ("active", [{"reference": patient.full_url}])
    (mother,) = resources(found, "RelatedPerson")
    assert mother["relationship"] == [concept(f"{V3}RoleCode", "MTH")]
    assert mother["identifier"][0]["value"] == "M1"
    (provenance,) = resources(found, "Provenance")
    assert provenance["occurredDateTime"] == "2026-01-01"
    assert provenance["activity"] == concept(f"{V3}DataOperation", "UPDATE")
    (encounter,) = resources(found, "Encounter")
    assert len(encounter["account"]) == 1


def test_pd1() -> None:
    pd1 = segment("PD1", f3="PHC^^5", f4=DOCTOR, f6="H", f7="Y", f14="Temple")
    found = said(pd1)
    (patient,) = resources(found, "Patient")
    written_ = {w.resource["resourceType"]: w.full_url for w in found.writes}
    assert patient["generalPractitioner"] == [
        {"reference": written_["Organization"]}, {"reference": written_["Practitioner"]},
    ]  # fmt: skip
    assert [one["url"].rpartition("/")[2] for one in patient["extension"]] == [
        *("patient-disability", "patient-congregation")
    ]
    (will,) = resources(found, "Observation")
    assert will["code"]["coding"][0]["code"] == "75320-2"
    assert will["valueCodeableConcept"] == concept(f"{THO}/v2-0315", "Y")


NK1 = {
    "f2": "Rao^Ravi", "f4": "1 Road^^Pune", "f5": "5", "f6": "6", "f7": "C", "f8": "2020",
    "f9": "2021", "f13": "ACME^^9", "f15": "M", "f16": "19790101", "f20": "hi",
    "f30": "Boss^B", "f31": "7", "f32": "2 Road", "f33": "K1^^^HOSP", "f40": "8",
}  # fmt: skip


def test_employer_is_a_contact_of_the_patient() -> None:
    found = said(segment("NK1", f3="EMR", **NK1))
    (patient,) = resources(found, "Patient")
    (contact,) = patient["contact"]
    assert contact["relationship"] == [
        concept(f"{THO}/v2-0131", "E", (f"{THO}/v2-0063", "EMR")),
        concept(f"{THO}/v2-0131", "C"),
    ]
    assert [one["value"] for one in contact["telecom"]] == ["5", "6", "8"]
    assert contact["telecom"][1]["use"] == "work"
    assert contact["period"] == {"start": "2020", "end": "2021"}
    assert (contact["gender"], contact["name"]["family"]) == ("male", "Rao")
    (organization,) = resources(found, "Organization")
    assert organization["contact"][0]["name"]["family"] == "Boss"
    assert resources(found, "RelatedPerson") == []


def test_spouse_is_a_related_person() -> None:
    found = said(segment("NK1", f3="SPO", **NK1))
    (person,) = resources(found, "RelatedPerson")
    assert person["relationship"][0] == concept(f"{V3}RoleCode", "SPS", (f"{THO}/v2-0063", "SPO"))
    assert [one["value"] for one in person["telecom"]] == ["5", "6", "7", "8"]
    assert [one["family"] for one in person["name"]] == ["Rao", "Boss"]
    assert (person["gender"], person["birthDate"]) == ("male", "1979-01-01")
    assert person["communication"][0]["language"]["coding"][0]["code"] == "hi"
    assert person["identifier"][0]["value"] == "K1"
    assert "contact" not in resources(found, "Patient")[0]


@pytest.mark.parametrize(
    ("mode", "contacts", "related"), [("contact", 1, 0), ("related", 0, 1), ("both", 1, 1)]
)
def test_setting_tells_what_next_of_kin_become(mode: str, contacts: int, related: int) -> None:
    found = said(segment("NK1", f2="Rao^Ravi", f3="SPO"), nk1_contact=mode)
    assert len(resources(found, "Patient")[0].get("contact", [])) == contacts
    assert len(resources(found, "RelatedPerson")) == related


def alternate(table: str, code: str) -> list[dict[str, Any]]:
    return extension(
        f"{EXT}/alternate-codes", valueCodeableConcept=concept(f"{THO}/v2-{table}", code)
    )


@pytest.mark.parametrize(
    ("code", "category", "kind"),
    [("DA", ["medication"], "allergy"), ("FA", ["food"], "allergy"),
     ("EA", ["environment"], "allergy"), ("PA", ["environment"], "allergy"),
     ("LA", ["environment"], "allergy"), ("AA", ["biologic"], "allergy"),
     ("MA", None, "allergy"), ("MC", None, None)],
)  # fmt: skip
def test_category_of_an_allergy(code: str, category: Any, kind: str | None) -> None:
    (allergy,) = resources(said(f"AL1|1|{code}|PEN"), "AllergyIntolerance")
    assert (allergy.get("category"), allergy.get("type")) == (category, kind)
    assert allergy["_category"][0]["extension"] == alternate("0127", code)


@pytest.mark.parametrize(("code", "criticality"), [("SV", "high"), ("MI", "low"), ("MO", None)])
def test_severity_is_the_criticality(code: str, criticality: str | None) -> None:
    (allergy,) = resources(said(f"AL1|1|DA|PEN|{code}|Rash"), "AllergyIntolerance")
    assert allergy.get("criticality") == criticality
    assert allergy["_criticality"]["extension"] == alternate("0128", code)
    assert allergy["reaction"] == [{"manifestation": [{"text": "Rash"}]}]


@pytest.mark.parametrize(
    ("code", "severity"), [("SV", "severe"), ("MO", "moderate"), ("MI", "mild")]
)
def test_severity_is_that_of_the_reaction_where_the_setting_says_so(
    code: str, severity: str
) -> None:
    found = said(f"AL1|1|DA|PEN|{code}", allergy_severity="reaction")
    (allergy,) = resources(found, "AllergyIntolerance")
    assert allergy["reaction"][0]["severity"] == severity
    assert "criticality" not in allergy


def test_iam() -> None:
    iam = segment("IAM", f2="FA", f3="NUT", f4="SV", f5="Hives", f7="AI1^HIS", f11="2019",
                  f13="20200101", f14="Rao^Asha", f15="SEL", f17="I",
                  f27="91935009^Nut^SCT")  # fmt: skip
    found = said(iam)
    write = next(w for w in found.writes if w.resource["resourceType"] == "AllergyIntolerance")
    allergy = write.resource
    assert write.identity == (f"{IDS}/HIS|AI1",)
    assert allergy["clinicalStatus"]["coding"][0]["code"] == "inactive"
    assert [one["code"] for one in allergy["code"]["coding"]] == ["NUT", "91935009"]
    assert (allergy["onsetDateTime"], allergy["recordedDate"]) == ("2019", "2020-01-01")
    assert allergy["recorder"]["display"] == "Asha Rao"


def test_allergy_that_is_withdrawn_has_no_clinical_status() -> None:
    found = said(segment("IAM", f3="NUT", f6="D"))
    write = next(w for w in found.writes if w.resource["resourceType"] == "AllergyIntolerance")
    assert "clinicalStatus" not in write.resource
    assert write.cleared == {"clinicalStatus"}
    assert write.resource["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_dg1() -> None:
    dg1 = segment("DG1", f3="J45^^I10", f4="Asthma", f5="20250101", f6="A", f15="1", f16=DOCTOR,
                  f19="20260101", f20="D1^HIS", f22="D0^HIS")  # fmt: skip
    found = said(dg1)
    (condition,) = resources(found, "Condition")
    assert condition["code"]["text"] == "Asthma"
    assert (condition["onsetDateTime"], condition["recordedDate"]) == ("2025-01-01", "2026-01-01")
    assert condition["extension"][1]["valueReference"]["identifier"]["value"] == "D0"
    assert "clinicalStatus" not in condition
    (encounter,) = resources(found, "Encounter")
    (diagnosis,) = encounter["diagnosis"]
    assert diagnosis["use"] == concept(f"{THO}/diagnosis-role", "AD", (f"{THO}/v2-0052", "A"))
    assert diagnosis["rank"] == 1


def test_diagnosis_that_is_withdrawn_is_entered_in_error() -> None:
    (condition,) = resources(said(segment("DG1", f3="J45", f21="D")), "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"f5": "20260101"}, "performedDateTime", "2026-01-01"),
        ({"f5": "20260101", "f7": "30"}, "performedDateTime", "2026-01-01"),
        ({"f5": "202601011000", "f7": "30"}, "performedPeriod", {
            "start": "2026-01-01T10:00:00+05:30", "end": "2026-01-01T10:30:00+05:30"}),
        ({"f5": "20260101"}, "status", "completed"),
        ({"f5": "20270101"}, "status", "unknown"),
        ({}, "status", "unknown"),
        ({"f20": "D"}, "status", "entered-in-error"),
        ({"f16": "M1~M2"}, "code", {"coding": [
            {"system": f"{CODES}/PR1-3", "code": "47.0:M1:M2"}]}),
        ({"f4": "Cut"}, "code", {"coding": [
            {"system": f"{CODES}/PR1-3", "code": "47.0"}], "text": "Cut"}),
        ({"f6": "D"}, "category", concept(f"{THO}/v2-0230", "D")),
        ({"f15": "J45^Asthma^I10"}, "reasonCode", [{"coding": [
            {"system": "http://hl7.org/fhir/sid/icd-10", "code": "J45", "display": "Asthma"}]}]),
        ({"f25": "X1^HIS"}, "partOf", [
            {"type": "Procedure", "identifier": {"system": f"{IDS}/HIS", "value": "X1"}}]),
    ],
)  # fmt: skip
def test_every_field_of_pr1(fields: dict[str, str], name: str, expected: Any) -> None:
    (procedure,) = resources(said(segment("PR1", **{"f3": "47.0"} | fields)), "Procedure")
    if name == "performedPeriod":
        procedure[name].pop("_start")
    assert procedure[name] == expected


@pytest.mark.parametrize(("number", "code"), [(8, "88189002"), (11, "304292004"), (12, None)])
def test_performers_of_a_procedure(number: int, code: str | None) -> None:
    (procedure,) = resources(said(segment("PR1", f3="X", **{f"f{number}": DOCTOR})), "Procedure")
    assert at(procedure, "performer.0.function.coding.0.code") == code


IN1 = {
    "f2": "PLAN", "f3": "INS1^^^HOSP", "f4": "Star^^9", "f5": "3 Road^^Pune^^^^H",
    "f10": "G1^^^X", "f11": "ACME", "f12": "2025", "f13": "2026", "f15": "PPO",
    "f16": "Rao^Ravi", "f17": "SPO", "f36": "POL1", "f49": "S1^^^HOSP",
}  # fmt: skip


def test_in1() -> None:
    found = said(segment("IN1", **IN1))
    (coverage,) = resources(found, "Coverage")
    urls = {w.full_url: w.resource for w in found.writes}
    assert [one["value"] for one in coverage["identifier"][:2]] == ["PLAN", "POL1"]
    assert urls[coverage["payor"][0]["reference"]]["name"] == "Star"
    assert "use" not in urls[coverage["payor"][0]["reference"]]["address"][0]
    assert urls[coverage["policyHolder"]["reference"]]["identifier"][1]["value"] == "G1"
    assert urls[coverage["subscriber"]["reference"]]["name"][0]["family"] == "Rao"
    assert coverage["period"] == {"start": "2025", "end": "2026"}
    assert coverage["relationship"]["coding"][0]["code"] == "SPS"
    assert coverage["subscriberId"] == "S1"
    assert (coverage["status"], coverage["type"]["coding"][0]["code"]) == ("active", "PPO")


def test_insured_patient_is_the_subscriber() -> None:
    found = said(segment("IN1", f2="PLAN", f3="INS1", f17="SEL", f36="POL1"))
    (coverage,) = resources(found, "Coverage")
    assert coverage["subscriber"] == coverage["beneficiary"]
    assert coverage["subscriberId"] == "POL1"
    (company,) = resources(found, "Organization")
    assert company["identifier"][0]["value"] == "INS1"


def test_organization_keeps_its_check_digit() -> None:
    (clinic,) = resources(said(segment("PD1", f3="PHC^^5^3^M10^NS^XX")), "Organization")
    assert clinic["identifier"] == [{
        "type": concept(f"{THO}/v2-0203", "XX"), "system": f"{IDS}/NS", "value": "5",
        "extension": [
            {"url": f"{EXT}/identifier-checkDigit", "valueString": "3"},
            {"url": f"{EXT}/namingsystem-checkDigit", "valueString": "M10"},
        ],
    }]  # fmt: skip


def test_result_creates_kin_and_account_and_leaves_the_patient() -> None:
    header = HEADER.replace("ADT^A01^ADT_A01", "ORU^R01")
    told = message(
        segment("PID", f3="P1", f18="A1"), segment("PD1", f14="Temple"),
        "NK1|1|Rao^Ravi|SPO", "PV1|1|I|W1^R1" + "|" * 16 + "V1", segment("PV2", f3="Pain"),
        "OBR|1||F1|X", "OBX|1|NM|A||1", header=header,
    )  # fmt: skip
    found = transform(told, profile())
    check(told, found)
    methods = {w.resource["resourceType"]: w.method for w in found.writes}
    assert (methods["Patient"], methods["Encounter"], methods["Account"]) == ("POST",) * 3
    assert methods["RelatedPerson"] == "PUT"
    (encounter,) = resources(found, "Encounter")
    assert encounter["reasonCode"] == [{"coding": [{"system": f"{CODES}/PV2-3", "code": "Pain"}]}]
    assert encounter["location"][0]["location"]["display"] == "W1, R1"


def test_group_number_of_type_sn_is_the_subscriber_s() -> None:
    found = said(segment("IN1", f2="PLAN", f3="INS1", f10="S9^^^HOSP^SN", f36="POL1"))
    assert resources(found, "Coverage")[0]["subscriberId"] == "S9"


def keys(kind: str, *segments: str) -> list[tuple[str, ...]]:
    return [w.identity for w in said(*segments).writes if w.resource["resourceType"] == kind]


@pytest.mark.parametrize(
    ("kind", "first", "again", "other"),
    [
        ("AllergyIntolerance", "AL1|1|DA|PEN^Penicillin^L|MI", "AL1|9||PEN^Pen^L|SV|Rash",
         "AL1|1|DA|ASA^Aspirin^L"),
        ("AllergyIntolerance", "AL1|1|DA|^Penicillin", "IAM|1||^Penicillin", "AL1|1|DA|^Aspirin"),
        ("AllergyIntolerance", "AL1|1|DA|||Rash", "AL1|2|DA||SV|Rash", "AL1|1|DA|||Hives"),
        ("RelatedPerson", "NK1|1|Rao^Ravi|SPO", "NK1|2|Rao^Ravi^K|SPO||5", "NK1|1|Rao^Ravi|BRO"),
        ("Condition", "DG1|1||J45^^I10|||A", "DG1|2||J45^Asthma^I10|||F", "DG1|1||J46^^I10"),
        ("Procedure", "PR1|1||X^^L||20260101", "PR1|7||X^Y^L||20260101|D", "PR1|1||X^^L||20260102"),
        ("Coverage", segment("IN1", f2="P", f3="I", f36="1"),
         segment("IN1", f1="2", f2="P", f3="I", f15="PPO", f36="1"),
         segment("IN1", f2="P", f3="I", f36="2")),
    ],
)  # fmt: skip
def test_what_comes_again_is_found_by_its_key(
    kind: str, first: str, again: str, other: str
) -> None:
    assert keys(kind, first) == keys(kind, again) != keys(kind, other)


def test_key_is_that_of_the_patient() -> None:
    allergy = "AL1|1|DA|PEN"
    mine, yours = (keys("AllergyIntolerance", f"PID|1||{p}", allergy) for p in ("P1", "P2"))
    assert mine != yours
    assert keys("AllergyIntolerance", "PID|1||P1~P9", allergy) == mine


GT1 = {
    "f2": "G9^^^HOSP^XX",
    "f3": "Rao^Ravi",
    "f5": "1 Lane^^Pune",
    "f6": "^PRN^PH^^91^20^7654321",
    "f8": "19780203",
    "f9": "M",
    "f11": "SPO",
    "f12": "123",
    "f13": "20260101",
}


def test_guarantor_is_a_related_person_of_the_account() -> None:
    found = said(segment("PID", f3="P1^^^H^MR", f18="A1^^^H"), segment("GT1", **GT1))
    (account,), (person,) = resources(found, "Account"), resources(found, "RelatedPerson")
    url = next(one.full_url for one in found.writes if one.resource is person)
    (write,) = [one for one in found.writes if one.resource is account]
    assert (write.method, write.identity) == ("PUT", (f"{IDS}/H|A1",))
    assert account["guarantor"] == [
        {"party": {"reference": url}, "period": {"start": "2026-01-01"}}
    ]
    assert person["name"] == [{"family": "Rao", "given": ["Ravi"]}]
    assert [one["value"] for one in person["identifier"][:2]] == ["G9", "123"]
    assert (person["gender"], person["birthDate"]) == ("male", "1978-02-03")
    assert person["telecom"][0]["use"] == "home"
    assert person["address"] == [{"line": ["1 Lane"], "city": "Pune"}]
    assert not [at for at, _ in found.unmapped if at.startswith("GT1") and "-1[" not in at]


def test_spouse_who_is_next_of_kin_guarantor_and_insured_is_one_person() -> None:
    found = said(
        segment("NK1", f2="Rao^Ravi", f3="SPO"),
        segment("GT1", f3="Rao^Ravi", f11="SPO"),
        segment("IN1", f2="PLAN", f16="Rao^Ravi", f17="SPO"),
    )
    assert len(resources(found, "RelatedPerson")) == 1


@pytest.mark.parametrize(
    ("gt1", "kind"),
    [
        pytest.param(segment("GT1", f3="Rao^Asha", f11="SEL"), "Patient", id="self"),
        pytest.param(segment("GT1", f21="Works Ltd"), "Organization", id="employer"),
    ],
)
def test_guarantor_may_be_the_patient_or_an_organization(gt1: str, kind: str) -> None:
    found = said(gt1)
    (account,) = resources(found, "Account")
    party = account["guarantor"][0]["party"]["reference"]
    assert next(w.resource["resourceType"] for w in found.writes if w.full_url == party) == kind


def test_guarantor_who_is_not_named_makes_no_account() -> None:
    assert resources(said(segment("GT1", f11="SPO")), "Account") == []


def test_second_insurance_segment_is_of_the_first_before_it() -> None:
    found = said(
        segment("IN1", f2="PLAN", f16="Rao^Ravi", f17="SPO"),
        segment("IN2", f2="123", f6="M-1", f61="MEM-1^^^PAY", f63="^PRN^PH^^91^20^7654321"),
        segment("IN1", f2="OTHER"),
    )
    first, second = resources(found, "Coverage")
    (person,) = resources(found, "RelatedPerson")
    told = [(one["value"], one["type"]["coding"][0]["code"]) for one in first["identifier"][1:3]]
    assert told == [("M-1", "MC"), ("MEM-1", "MB")]
    assert [one["value"] for one in second["identifier"] if "key" not in one["system"]] == ["OTHER"]
    assert person["identifier"][0]["value"] == "123"
    assert person["telecom"][0]["use"] == "home"
