from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.datatypes.ed import attachment
from tests.adapters.hl7.reading import (
    CODES,
    EXT,
    IDS,
    KEY,
    MSH,
    PID,
    THO,
    mapped,
    observation,
    resources,
)

OBR = "OBR|1|O1|F1|PANEL^Panel^L|||20260101120000"


def one(type_name: str, *segments: str, **said: Any) -> dict[str, Any]:
    found = resources(mapped(*segments, **said), type_name)
    assert len(found) == 1
    return found[0]


def alternate(table: str, code: str) -> dict[str, Any]:
    original = {"coding": [{"system": f"{THO}/v2-{table}", "code": code}]}
    url = f"{EXT}/alternate-codes"
    return {"extension": [{"url": url, "valueCodeableConcept": original}]}


def test_result_becomes_patient_order_observation_and_report() -> None:
    found = mapped(PID, "ORC|RE", OBR, "OBX|1|NM|GLU^Glucose||5.10|mmol/L|3.9-6.1|H|||F")
    patient, order, result, report = (write.resource for write in found.writes)
    assert [w.method for w in found.writes] == ["POST", "PUT", "PUT", "PUT"]
    references = {w.resource["resourceType"]: w.full_url for w in found.writes}
    unit = {"unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}
    mr = {"coding": [{"system": f"{THO}/v2-0203", "code": "MR"}]}
    assert patient == {
        "resourceType": "Patient",
        "identifier": [{"type": mr, "system": f"{IDS}/HOSP", "value": "P1"}],
    }
    assert order["status"] == "completed"
    assert result == {
        "resourceType": "Observation",
        "status": "final",
        "_status": alternate("0085", "F"),
        "category": [{"coding": [{"system": f"{THO}/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": f"{CODES}/OBX-3", "code": "GLU", "display": "Glucose"}]},
        "subject": {"reference": references["Patient"]},
        "basedOn": [{"reference": references["ServiceRequest"]}],
        "effectiveDateTime": "2026-01-01T12:00:00+05:30",
        "valueQuantity": {"value": Decimal("5.10"), **unit},
        "interpretation": [
            {"coding": [{"system": f"{THO}/v3-ObservationInterpretation", "code": "H"}]}
        ],
        "referenceRange": [
            {
                "low": {"value": Decimal("3.9"), **unit},
                "high": {"value": Decimal("6.1"), **unit},
                "text": "3.9-6.1",
            }
        ],
        "identifier": [{"system": KEY, "value": result["identifier"][0]["value"]}],
    }
    assert report["status"] == "final"
    assert report["result"] == [{"reference": references["Observation"]}]
    assert [(i["system"], i["value"]) for i in report["identifier"][:2]] == [
        (f"{IDS}/placer", "O1"),
        (f"{IDS}/filler", "F1"),
    ]


@pytest.mark.parametrize(
    ("code", "status", "absent"),
    [
        ("A", "amended", "unknown"), ("B", "amended", "unknown"), ("C", "corrected", "unknown"),
        ("D", "entered-in-error", None), ("W", "entered-in-error", None),
        ("F", "final", "unknown"), ("I", "registered", None), ("O", "registered", None),
        ("N", "unknown", "not-asked"), ("P", "preliminary", None), ("R", "preliminary", None),
        ("S", "preliminary", None), ("U", "final", "unknown"), ("V", "final", "unknown"),
        ("X", "cancelled", "not-performed"), ("q", "unknown", None),
    ],
)  # fmt: skip
def test_every_result_status(code: str, status: str, absent: str | None) -> None:
    found = observation(f"OBX|1|NM|GLU||||||||{code}")
    assert (found["status"], found["_status"]) == (status, alternate("0085", code))
    reason = found.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code")
    assert reason == absent


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("10^5", {"valueString": "10^5 CFU/mL"}),
        ("5&4", {"valueString": "5&4 CFU/mL"}),
        ("5^^", {"valueQuantity": {"value": Decimal(5), "unit": "CFU/mL"}}),
    ],
)
def test_number_of_several_parts_is_not_its_first(sent: str, value: dict[str, Any]) -> None:
    found = observation(f"OBX|1|NM|GLU||{sent}|CFU/mL|||||F")
    assert {name: said for name, said in found.items() if name.startswith("value")} == value


@pytest.mark.parametrize("sent", ["<10^5", "3.5^5.1", "<5&6"])
def test_reference_range_is_text_and_never_its_first_part(sent: str) -> None:
    found = observation(f"OBX|1|NM|GLU||7|CFU/mL|{sent}||||F")
    assert found["referenceRange"] == [{"text": sent}]
    assert "interpretation" not in found


def test_reason_of_absence_is_not_beside_a_value() -> None:
    assert "dataAbsentReason" not in observation("OBX|1|NM|GLU||5||||||X")


@pytest.mark.parametrize(
    ("code", "status"),
    [("O", "registered"), ("I", "registered"), ("S", "registered"), ("P", "preliminary"),
     ("C", "corrected"), ("R", "partial"), ("F", "final"), ("X", "cancelled"), ("A", "partial"),
     ("M", "preliminary"), ("N", "registered")],
)  # fmt: skip
def test_every_report_status(code: str, status: str) -> None:
    report = one("DiagnosticReport", PID, "OBR|1||F1|X" + "|" * 21 + code, "OBX|1|NM|G||1")
    assert (report["status"], report["_status"]) == (status, alternate("0123", code))


@pytest.mark.parametrize("code", ["Y", "Z"])
def test_status_without_meaning_is_refused(code: str) -> None:
    with pytest.raises(Refusal) as refused:
        mapped(PID, "OBR|1||F1|X" + "|" * 21 + code)
    assert refused.value.reason == "UNMAPPABLE_STATUS"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [("FF", "final"), ("FP", "preliminary"), ("FI", "registered"), ("FC", "final"),
     ("CC", "corrected"), ("F", "final"), ("FN", "unknown"), ("", "unknown")],
)  # fmt: skip
def test_report_without_status_is_as_its_lowest_result(statuses: str, expected: str) -> None:
    results = [f"OBX|{n}|NM|T{n}||1||||||{code}" for n, code in enumerate(statuses)]
    assert one("DiagnosticReport", PID, OBR, *results)["status"] == expected


def test_result_without_status_is_as_its_report() -> None:
    obr = "OBR|1||F1|X" + "|" * 21 + "R"
    assert one("Observation", PID, obr, "OBX|1|NM|G||1")["status"] == "preliminary"


VALUES = [
    ("NM||1.40|g/L", "valueQuantity", {
        "value": Decimal("1.40"), "unit": "g/L", "system": "http://unitsofmeasure.org",
        "code": "g/L"}),
    ("NM||<0.5", "valueQuantity", {"value": Decimal("0.5"), "comparator": "<"}),
    ("NM||NEG|mg/dL", "valueString", "NEG"),
    ("NM||1,5|mmol/L", "valueString", "1,5 mmol/L"),
    ("SN||>^100|U/L", "valueQuantity", {
        "value": Decimal(100), "comparator": ">", "unit": "U/L",
        "system": "http://unitsofmeasure.org", "code": "U/L"}),
    ("SN||<>^5|U/L", "valueString", "<> 5 U/L"),
    ("SN||^2^+", "valueString", "2 +"),
    ("SN||^1^:^128", "valueRatio", {
        "extension": [{"url": f"{EXT}/originalText", "valueString": "1 : 128"}],
        "numerator": {"value": Decimal(1)}, "denominator": {"value": Decimal(128)}}),
    ("ST||POSITIVE", "valueString", "POSITIVE"),
    ("ST||5.4|mmol/L", "valueString", "5.4 mmol/L"),
    ("ST||a^b&c", "valueString", "a^b&c"),
    ("TX||one~two", "valueString", "one\ntwo"),
    ("FT||one\\.br\\two", "valueString", "one\ntwo"),
    ("||12 ok", "valueString", "12 ok"),
    ("CE||260415000^Not detected^SCT", "valueCodeableConcept", {"coding": [
        {"system": "http://snomed.info/sct", "code": "260415000", "display": "Not detected"}]}),
    ("CWE||^free text", "valueCodeableConcept", {"text": "free text"}),
    ("IS||Y", "valueCodeableConcept",
     {"coding": [{"system": f"{CODES}/OBX-5", "code": "Y"}]}),
    ("DT||20260102", "valueDateTime", "2026-01-02"),
    ("TS||20260102030405", "valueDateTime", "2026-01-02T03:04:05+05:30"),
    ("DTM||soon", "valueString", "soon"),
    ("TM||0304", "valueTime", "03:04:00"),
    ("DR||20260101^20260102", "valuePeriod", {"start": "2026-01-01", "end": "2026-01-02"}),
    ("NR||1^2|g/L", "valueRange", {
        "low": {"value": Decimal(1), "unit": "g/L", "system": "http://unitsofmeasure.org",
                "code": "g/L"},
        "high": {"value": Decimal(2), "unit": "g/L", "system": "http://unitsofmeasure.org",
                 "code": "g/L"}}),
    ("VR||3^5", "valueString", "3-5"),
    ("NA||1^2^^4|mV", "valueSampledData", {
        "origin": {"value": 0, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"},
        "_period": {"extension": [
            {"url": f"{EXT}/data-absent-reason", "valueCode": "unknown"}]},
        "dimensions": 1, "data": "1 2 E 4"}),
    ("XPN||Rao^Asha", "valueString", "Rao Asha"),
    ("ZZ||a^b", "valueString", "a b"),
]  # fmt: skip


@pytest.mark.parametrize(("rest", "name", "expected"), VALUES)
def test_every_value_type(rest: str, name: str, expected: object) -> None:
    kind, _, value = rest.partition("||")
    found = observation(f"OBX|1|{kind}|T||{value}")
    assert {k: v for k, v in found.items() if k.startswith("value")} == {name: expected}


def test_repeated_numbers_are_components() -> None:
    found = observation("OBX|1|NM|BP^Pressure||120~80|mm[Hg]|||||F")
    assert [c["valueQuantity"]["value"] for c in found["component"]] == [120, 80]
    assert all(c["code"] == found["code"] for c in found["component"])


def test_value_under_an_empty_code_is_kept() -> None:
    found = observation("OBX|1|ST|||seen||||||F")
    assert (found["code"], found["valueString"]) == ({"text": "unspecified"}, "seen")


def test_document_is_in_report_observation_and_reference_and_its_bytes_in_a_binary() -> None:
    found = mapped(PID, OBR, "OBX|1|ED|PDF||^TEXT^PDF^Base64^JVBERi0xLjQK||||||F")
    (content,) = found.binaries
    data = attachment(b"%PDF-1.4\n", "application/pdf").pop("data")
    assert content.resource == {
        "resourceType": "Binary",
        "id": content.resource["id"],
        "contentType": "application/pdf",
        "data": data,
    }
    expected = attachment(b"%PDF-1.4\n", "application/pdf")
    del expected["data"]
    expected["url"] = f"Binary/{content.resource['id']}"
    (report,) = resources(found, "DiagnosticReport")
    (document,) = resources(found, "DocumentReference")
    extension = resources(found, "Observation")[0]["extension"][0]
    assert report["presentedForm"] == [expected]
    assert extension["valueAttachment"] == expected
    assert document["content"] == [{"attachment": expected}]
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    assert document["context"] == {"related": [{"reference": urls["DiagnosticReport"]}]}
    assert document["subject"] == {"reference": urls["Patient"]}
    assert (document["status"], document["docStatus"]) == ("current", "final")
    assert content.owner == urls["DiagnosticReport"]


def test_equal_documents_of_two_results_are_two() -> None:
    lines = [f"OBX|{n}|ED|D{n}||^TEXT^PDF^Base64^JVBERi0xLjQK||||||F" for n in (1, 2)]
    assert len({c.resource["id"] for c in mapped(PID, OBR, *lines).binaries}) == 2


def test_link_to_a_document_is_kept_and_not_followed() -> None:
    found = mapped(PID, OBR, "OBX|1|RP|IMG||http://pacs/1^^TEXT^PDF||||||F")
    expected = {"url": "http://pacs/1", "contentType": "application/pdf"}
    assert found.binaries == ()
    assert resources(found, "DocumentReference")[0]["content"] == [{"attachment": expected}]


PIECES = [f"OBX|{n}|ED|PDF||^TEXT^PDF^Base64^{part}||||||F" for n, part in
          enumerate(("JVBE", "Ri0x", "LjQK"), 1)]  # fmt: skip


def test_base64_in_pieces_is_one_document_where_that_is_agreed() -> None:
    found = mapped(PID, OBR, *PIECES, ed_join=True)
    (content,) = found.binaries
    assert content.resource["data"] == "JVBERi0xLjQK"
    assert len(resources(found, "Observation")) == 1
    assert len(mapped(PID, OBR, *PIECES).binaries) == 3


def test_lines_of_text_are_one_result_where_that_is_agreed() -> None:
    lines = ["OBX|1|TX|GROSS||first~line||||||F", "OBX|2|TX|GROSS||second||||||F",
             "OBX|3|TX|MICRO||third||||||F"]  # fmt: skip
    joined = resources(mapped(PID, OBR, *lines, join_text_obx=True), "Observation")
    assert [o["valueString"] for o in joined] == ["first\nline\nsecond", "third"]
    assert len(resources(mapped(PID, OBR, *lines), "Observation")) == 3


@pytest.mark.parametrize(
    ("value", "reference", "code"),
    [
        ("5.2", "3.5-5.1", "H"), ("5.1", "3.5-5.1", "N"), ("3.5", "3.5-5.1", "N"),
        ("3.4", "3.5-5.1", "L"), ("5", "<5", "H"), ("5", "<=5", "N"), ("4.9", "<5", "N"),
        ("60", ">60", "L"), ("61", ">60", "N"), (">5.1", "3.5-5.1", "H"), (">5", "3.5-5.1", None),
        ("<3.5", "3.5-5.1", "L"), ("<4", "3.5-5.1", None), ("<5", "<5", "N"), ("<6", "<5", None),
        ("5", "negative", None), ("NEG", "3.5-5.1", None),
    ],
)  # fmt: skip
def test_interpretation_is_computed_where_the_laboratory_gives_none(
    value: str, reference: str, code: str | None
) -> None:
    found = observation(f"OBX|1|NM|K||{value}|mmol/L|{reference}||||F")
    system = f"{THO}/v3-ObservationInterpretation"
    coding = {"system": system, "code": code, "userSelected": False}
    expected = [{"coding": [coding], "text": "Computed from the reference range"}]
    assert found.get("interpretation") == (expected if code else None)


@pytest.mark.parametrize("flag", ["N", '""'])
def test_interpretation_of_the_laboratory_stands(flag: str) -> None:
    found = observation(f"OBX|1|NM|K||9|mmol/L|3.5-5.1|{flag}|||F")
    codings = [c["coding"][0]["code"] for c in found.get("interpretation", ())]
    assert codings == [code for code in [flag] if code == "N"]


@pytest.mark.parametrize(
    ("kind", "sent", "said", "member", "value"),
    [
        ("", "5.10", {"infer_type": True}, "valueQuantity", Decimal("5.10")),
        ("", "<5", {"infer_type": True}, "valueQuantity", Decimal(5)),
        ("", "5.10", {}, "valueString", "5.10 g/L"),
        ("", "seen", {"infer_type": True}, "valueString", "seen"),
        ("NM", "1,40", {"decimal_comma": True}, "valueQuantity", Decimal("1.40")),
        ("NM", "1,40", {}, "valueString", "1,40 g/L"),
        ("NM", "1,234.5", {"decimal_comma": True}, "valueString", "1,234.5 g/L"),
    ],
)
def test_types_and_marks_that_are_agreed(
    kind: str, sent: str, said: dict[str, Any], member: str, value: Any
) -> None:
    found = observation(f"OBX|1|{kind}|T||{sent}|g/L|||||F", **said)[member]
    assert (found["value"] if member == "valueQuantity" else found) == value


@pytest.mark.parametrize(
    ("kind", "sent", "member", "value"),
    [
        ("TS", "2026010203", "valueDateTime", "2026-01-02T03:00:00+05:30"),
        ("DTM", "202601020304", "valueDateTime", "2026-01-02T03:04:00+05:30"),
        ("TM", "0304", "valueTime", "03:04:00"),
    ],
)
def test_time_that_was_filled_keeps_its_text(kind: str, sent: str, member: str, value: str) -> None:
    found = observation(f"OBX|1|{kind}|T||{sent}||||||F")
    assert found[member] == value
    assert found[f"_{member}"]["extension"][0]["valueString"] == sent
    whole = {"valueDateTime": "20260102030405", "valueTime": "030405"}[member]
    assert f"_{member}" not in observation(f"OBX|1|{kind}|T||{whole}||||||F")


def test_flags() -> None:
    found = observation("OBX|1|NM|T||1|||H~QCF~zz~A^Abnormal^HL70078|||F")
    v3, v2 = f"{THO}/v3-ObservationInterpretation", f"{THO}/v2-0078"
    assert found["interpretation"] == [
        {"coding": [{"system": v3, "code": "H"}]},
        {"coding": [{"system": v2, "code": "QCF"}]},
        {"coding": [{"system": f"{CODES}/0078", "code": "zz"}]},
        {
            "coding": [
                {"system": v3, "code": "A"},
                {"system": v2, "code": "A", "display": "Abnormal"},
            ]
        },
    ]


def test_notes_are_annotations() -> None:
    found = observation("OBX|1|NM|T||1", "NTE|1||line one~line two", "NTE|2||more")
    assert found["note"] == [{"text": "line one\nline two"}, {"text": "more"}]


def test_note_of_an_order_is_the_last_result_of_its_report() -> None:
    found = mapped(PID, OBR, "NTE|1||clotted", "OBX|1|NM|T||1||||||F")
    comment = resources(found, "Observation")[-1]
    assert comment["valueString"] == "clotted"
    assert comment["code"]["coding"][0]["code"] == "48767-8"
    result = resources(found, "DiagnosticReport")[0]["result"]
    urls = {w.full_url: w.resource for w in found.writes}
    assert [urls[r["reference"]].get("valueString") for r in result] == [None, "clotted"]


def test_note_of_a_patient_is_in_no_report() -> None:
    found = mapped(PID, "NTE|1||fasting", OBR, "OBX|1|NM|T||1||||||F")
    comment = resources(found, "Observation")[0]
    assert (comment["valueString"], comment["status"]) == ("fasting", "final")
    assert len(resources(found, "DiagnosticReport")[0]["result"]) == 1


def test_specimen_of_spm() -> None:
    spm = "SPM|1|PL1&HIS^FI1&LIS||BLD^^HL70487|||VENIP|||||5^mL|||||202601011150|20260101121500"
    specimen = one("Specimen", PID, OBR, spm, "OBX|1|NM|T||1")
    assert [i["value"] for i in specimen["identifier"][:2]] == ["PL1", "FI1"]
    assert specimen["type"] == {"coding": [{"system": f"{THO}/v2-0487", "code": "BLD"}]}
    assert specimen["collection"] == {
        "method": {"coding": [{"system": f"{THO}/v2-0488", "code": "VENIP"}]},
        "quantity": {
            "value": Decimal(5), "unit": "mL", "system": "http://unitsofmeasure.org",
            "code": "mL",
        },
        "collectedDateTime": "2026-01-01T11:50:00+05:30",
    }  # fmt: skip
    assert specimen["receivedTime"] == "2026-01-01T12:15:00+05:30"


def test_specimen_of_obr_alone() -> None:
    obr = "OBR|1||F1|X|||20260101|||||||20260101120000|BLD&Blood&HL70487"
    found = mapped(PID, obr, "OBX|1|NM|T||1")
    specimen = resources(found, "Specimen")[0]
    assert specimen["type"]["coding"][0] == {
        "system": f"{THO}/v2-0487", "code": "BLD", "display": "Blood",
    }  # fmt: skip
    assert specimen["collection"] == {"collectedDateTime": "2026-01-01"}
    url = next(w.full_url for w in found.writes if w.resource is specimen)
    assert resources(found, "Observation")[0]["specimen"] == {"reference": url}


def test_obr_that_says_nothing_of_a_specimen_makes_none() -> None:
    assert resources(mapped(PID, OBR, "OBX|1|NM|T||1"), "Specimen") == []


def test_observation_on_a_specimen_has_it_as_focus() -> None:
    found = mapped(PID, OBR, "OBX|1|NM|T||1", "SPM|1|S1", "OBX|1|NM|VOL||3")
    url = next(w.full_url for w in found.writes if w.resource["resourceType"] == "Specimen")
    first, second = resources(found, "Observation")
    assert ("focus" in first, second["focus"]) == (False, [{"reference": url}])
    assert len(resources(found, "DiagnosticReport")[0]["result"]) == 2


def test_specimen_that_is_described_twice_is_one() -> None:
    found = mapped(PID, OBR, "SPM|1|S1||BLD", "OBR|2|O1|F2|Y", "SPM|1|S1||BLD")
    assert len(resources(found, "Specimen")) == 1
    assert ("SPM[2]-4[1].1.1", "duplicate_of") in found.unmapped


def test_placer_number_of_several_codes_names_an_order_for_each() -> None:
    found = mapped(PID, "OBR|1|O1|F1|X", "OBX|1|NM|T||1", "OBR|2|O1|F2|Y", "OBX|1|NM|T||2")
    assert [r["code"]["coding"][0]["code"] for r in resources(found, "ServiceRequest")] == [
        "X",
        "Y",
    ]
    assert len(resources(found, "Observation")) == 2


def test_order_is_found_by_its_placer_number() -> None:
    found = mapped(PID, OBR)
    order = next(w for w in found.writes if w.resource["resourceType"] == "ServiceRequest")
    assert (order.method, order.identity) == ("PUT", (f"{IDS}/placer|O1",))


def test_result_without_numbers_makes_no_order() -> None:
    assert resources(mapped(PID, "OBR|1|||X", "OBX|1|NM|T||1"), "ServiceRequest") == []


def test_orders_from_results_can_be_off() -> None:
    found = mapped(PID, OBR, "OBX|1|NM|T||1", orders_from_results=False)
    assert resources(found, "ServiceRequest") == []
    assert "basedOn" not in resources(found, "Observation")[0]


def test_differing_numbers_of_orc_and_obr_are_both_kept() -> None:
    order = one("ServiceRequest", PID, "ORC|RE|O1|F1", "OBR|1|O2|F1|X")
    assert [i["value"] for i in order["identifier"]] == ["O1", "O2", "F1"]


def test_two_equal_orders_in_a_message_are_two_reports() -> None:
    found = mapped(PID, OBR, "OBX|1|NM|A||1", OBR, "OBX|1|NM|A||2")
    assert len(resources(found, "DiagnosticReport")) == 2
    assert len(resources(found, "Observation")) == 2


@pytest.mark.parametrize(
    "pid", ["PID|1", "PID|1||", 'PID|1||""', "PID|1||^^^HOSP", "PID|1||A1^^^H^AN"]
)
def test_patient_without_identification_is_refused(pid: str) -> None:
    with pytest.raises(Refusal) as refused:
        mapped(pid, OBR, "OBX|1|NM|A||1")
    assert refused.value.reason == "NO_PATIENT_ID"


def test_patient_is_found_by_any_of_its_identifiers() -> None:
    found = mapped("PID|1|X9|P1^^^H^MR~N1^^^N&1.2.3&ISO^NI~A1^^^H^AN||Rao", OBR)
    assert found.writes[0].identity == (f"{IDS}/H|P1", "urn:oid:1.2.3|N1")
    assert [i["value"] for i in found.writes[0].resource["identifier"]] == [
        *("P1", "N1", "A1", "X9")
    ]


def test_old_senders_identify_by_pid_2() -> None:
    found = mapped("PID|1|X9|||Rao", OBR)
    assert found.writes[0].identity == (f"{IDS}/patient|X9",)


def test_patient_demographics() -> None:
    pid = (
        "PID|1||P1||Rao^Asha||19800102|F||2106-3|1 Road^^Pune|Haveli|^PRN^PH^^^^5||EN|M|HIN"
        "||||||Pune|||||||N"
    )
    patient = one("Patient", pid, OBR)
    assert patient["name"] == [{"family": "Rao", "given": ["Asha"]}]
    assert (patient["birthDate"], patient["gender"]) == ("1980-01-02", "female")
    assert patient["address"] == [{"line": ["1 Road"], "city": "Pune", "district": "Haveli"}]
    assert patient["maritalStatus"]["coding"][0] == {
        "system": f"{THO}/v3-MaritalStatus", "code": "M",
    }  # fmt: skip
    religion = next(e for e in patient["extension"] if e["url"].endswith("religion"))
    assert religion["valueCodeableConcept"]["coding"][0]["code"] == "1020"
    assert patient["deceasedBoolean"] is False
    assert patient["telecom"][0]["use"] == "home"


def test_unknown_gender_keeps_its_code() -> None:
    patient = one("Patient", "PID|1||P1|||||Q", OBR)
    assert (patient["gender"], patient["_gender"]) == ("unknown", alternate("0001", "Q"))


def test_time_of_birth_is_an_extension() -> None:
    patient = one("Patient", "PID|1||P1||||198001020304", OBR)
    assert patient["birthDate"] == "1980-01-02"
    assert patient["_birthDate"]["extension"][0]["valueDateTime"] == "1980-01-02T03:04:00+05:30"


def test_numbered_visit_is_a_resource_of_its_own() -> None:
    found = mapped(PID, "PV1|1|I" + "|" * 17 + "V1", OBR, "OBX|1|NM|A||1")
    visit = next(w for w in found.writes if w.resource["resourceType"] == "Encounter")
    assert (visit.method, visit.identity) == ("POST", (f"{IDS}/visit|V1",))
    assert visit.resource["class"] == {"system": f"{THO}/v3-ActCode", "code": "IMP"}
    assert resources(found, "Observation")[0]["encounter"] == {"reference": visit.full_url}


def test_visit_without_number_is_contained_in_the_report() -> None:
    found = mapped(PID, "PV1|1|O", OBR, "OBX|1|NM|A||1")
    report = resources(found, "DiagnosticReport")[0]
    assert report["encounter"] == {"reference": "#visit"}
    assert report["contained"][0]["class"]["code"] == "AMB"
    assert "encounter" not in resources(found, "Observation")[0]


def test_visit_without_number_can_be_left_out() -> None:
    found = mapped(PID, "PV1|1|O", OBR, encounter_without_number="skip")
    assert "encounter" not in resources(found, "DiagnosticReport")[0]
    assert ("PV1[1]-2[1].1.1", "profile_ignored") in found.unmapped


def test_observer_is_a_role_of_a_practitioner() -> None:
    obx = "OBX|1|NM|A||1" + "|" * 11 + "77^Iyer^Ravi^^^^^^HR"
    found = mapped(PID, OBR, obx, obx.replace("|A|", "|B|"))
    person = next(w for w in found.writes if w.resource["resourceType"] == "Practitioner")
    role = next(w for w in found.writes if w.resource["resourceType"] == "PractitionerRole")
    assert person.identity == (f"{IDS}/HR|77",)
    assert role.resource["practitioner"] == {"reference": person.full_url}
    assert [o["performer"] for o in resources(found, "Observation")] == [
        [{"reference": role.full_url}]
    ] * 2


def test_observer_without_number_is_contained() -> None:
    found = observation("OBX|1|NM|A||1" + "|" * 11 + "^Iyer^Ravi")
    assert found["performer"] == [{"reference": "#person1"}]
    assert found["contained"][0]["name"] == [{"family": "Iyer", "given": ["Ravi"]}]


def test_end_without_start_is_a_period() -> None:
    found = observation("OBX|1|NM|A||1")
    assert "effectiveDateTime" not in found
    report = one("DiagnosticReport", PID, "OBR|1||F1|X||||20260101120000", "OBX|1|NM|A||1")
    assert report["effectivePeriod"] == {"end": "2026-01-01T12:00:00+05:30"}


def test_equal_start_and_end_are_a_moment() -> None:
    obr = "OBR|1||F1|X|||20260101120000|20260101120000"
    assert one("DiagnosticReport", PID, obr)["effectiveDateTime"] == "2026-01-01T12:00:00+05:30"


def test_end_before_start_is_listed() -> None:
    found = mapped(PID, "OBR|1||F1|X|||20260102|20260101")
    assert resources(found, "DiagnosticReport")[0]["effectiveDateTime"] == "2026-01-02"
    assert ("OBR[1]-8[1].1.1", "invalid_value") in found.unmapped


def test_date_without_time_is_not_issued() -> None:
    report = one("DiagnosticReport", PID, "OBR|1||F1|X" + "|" * 18 + "20260102")
    assert "issued" not in report


def test_question_of_an_order_is_no_result() -> None:
    found = mapped(PID, OBR, "OBX|1|ST|Q1||yes" + "|" * 24 + "QST", "OBX|2|NM|A||1")
    urls = {w.resource.get("valueString"): w.full_url for w in found.writes}
    assert resources(found, "ServiceRequest")[0]["supportingInfo"] == [{"reference": urls["yes"]}]
    assert len(resources(found, "DiagnosticReport")[0]["result"]) == 1


def test_offset_of_the_header_is_that_of_the_message() -> None:
    header = MSH.replace("+0530", "-0300")
    report = resources(mapped(PID, OBR, header=header), "DiagnosticReport")[0]
    assert report["effectiveDateTime"] == "2026-01-01T12:00:00-03:00"


def test_message_type_that_is_not_mapped_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        mapped(PID, header=MSH.replace("ORU^R01", "BAR^P01"))
    assert refused.value.reason == "UNSUPPORTED_MESSAGE"
