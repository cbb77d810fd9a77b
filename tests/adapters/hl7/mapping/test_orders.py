"""OML and ORM: each field of ORC, OBR, TQ1, SPM and SAC, and the statuses of an order."""

from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.segments import order_status
from tests.adapters.hl7.fields import dig, extension, header, segment
from tests.adapters.hl7.reading import CODES, EXT, IDS, PID, THO, mapped, resources

OML = header("OML^O21")
ACTIVE = (
    *("AF", "CA", "NW", "OK", "PR", "PY", "RL", "RO", "RQ", "HD", "CH", "MC", "NA", "OE", "OP"),
    *("OR", "PA", "RF", "RR", "SN", "XO", "XR", "XX"),
)
KEEPING = ("CP", "DE", "LI", "SR", "SS", "UC", "UD", "UF", "UH", "UM", "UN", "UR", "UX", "SC", "??")
PERSON = "9^Doc^Cy^^^Dr^^^HOSP"


def of(kind: str, *segments: str) -> dict[str, Any]:
    """Return the one resource of a type that a message becomes."""
    (found,) = resources(mapped(PID, *segments, header=OML), kind)
    return found


def request(
    orc: dict[str, str] | None = None, obr: dict[str, str] | None = None, *more: str
) -> Any:
    """Return the ServiceRequest of an order with these fields."""
    first = segment("ORC", **{"f1": "NW", "f2": "O1^HIS", **(orc or {})})
    second = segment("OBR", **{"f1": "1", "f4": "GLU^Glucose^L", **(obr or {})})
    return of("ServiceRequest", first, second, *more)


def typed(code: str, system: str, value: str) -> dict[str, Any]:
    kind = {"coding": [{"system": f"{THO}/v2-0203", "code": code}]}
    return {"type": kind, "system": f"{IDS}/{system}", "value": value}


@pytest.mark.parametrize(
    ("orc", "path", "expected"),
    [
        ({}, "identifier", [typed("PLAC", "HIS", "O1")]),
        ({"f3": "F1^LIS"}, "identifier.1", typed("FILL", "LIS", "F1")),
        ({"f4": "G1^HIS"}, "requisition", typed("PGN", "HIS", "G1")),
        ({"f4": "G1&HIS^G2&LIS"}, "requisition", typed("PGN", "HIS", "G1")),
        ({"f4": "G1&HIS^G2&LIS"}, "identifier.1", typed("FGN", "LIS", "G2")),
        ({"f33": "A1^^^HIS"}, "identifier.1", typed("PLAC", "HIS", "A1")),
        ({"f38": "G3^LIS"}, "identifier.1", typed("FGN", "LIS", "G3")),
        ({"f8": "P1&HIS^P2&LIS"}, "basedOn.0.identifier", typed("PLAC", "HIS", "P1")),
        ({"f8": "P1&HIS^P2&LIS"}, "basedOn.1.identifier", typed("FILL", "LIS", "P2")),
        ({"f9": "20260101100000"}, "authoredOn", "2026-01-01T10:00:00+05:30"),
        ({"f1": "XO", "f9": "20260101100000"}, "authoredOn", None),
        ({"f28": "R"}, "meta.security.0", {"system": f"{THO}/v3-Confidentiality", "code": "R"}),
        ({"f28": "UWM"}, "meta.security.0", {"system": f"{THO}/v2-0177", "code": "UWM"}),
        ({"f29": "I"}, "locationCode.0.coding.0.code", "HOSP"),
        ({"f29": "I"}, "locationCode.0.coding.1.code", "I"),
        ({"f7": "5&mL^Q6H"}, "quantityQuantity.value", Decimal(5)),
        ({"f7": "^Q6H"}, "occurrenceTiming.code.coding.0.code", "Q6H"),
        ({"f7": "^^D10"}, "occurrenceTiming.repeat.boundsDuration.code", "d"),
        ({"f7": "^^X3"}, "occurrenceTiming.repeat.count", 3),
        ({"f7": "^^^20260101"}, "occurrenceTiming.repeat.boundsPeriod", {"start": "2026-01-01"}),
        ({"f7": "^^^^^S"}, "priority", "stat"),
        ({"f7": "^^^^^^^with food"}, "note", [{"text": "with food"}]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_orc_field_of_a_request(orc: dict[str, str], path: str, expected: Any) -> None:
    assert dig(request(orc), path) == expected


@pytest.mark.parametrize(
    ("obr", "path", "expected"),
    [
        ({"f2": "O9^HIS"}, "identifier.1", typed("PLAC", "HIS", "O9")),
        ({"f3": "F9^LIS"}, "identifier.1", typed("FILL", "LIS", "F9")),
        ({"f53": "A9^^^HIS"}, "identifier.1", typed("PLAC", "HIS", "A9")),
        ({}, "code.coding.0", {"system": f"{CODES}/OBR-4", "code": "GLU", "display": "Glucose"}),
        ({"f4": ""}, "code", {"text": "unspecified"}),
        ({"f5": "S"}, "priority", "stat"),
        ({"f5": "A"}, "priority", "asap"),
        ({"f5": "R"}, "priority", "routine"),
        ({"f5": "P"}, "priority", None),
        ({"f5": "P"}, "_priority.extension.0.valueCodeableConcept.coding.0.code", "P"),
        ({"f6": "20260102080000"}, "occurrenceDateTime", "2026-01-02T08:00:00+05:30"),
        ({"f7": "20260102080000"}, "effectiveDateTime", None),
        ({"f11": "A"}, "orderDetail", [{"text": "add-on"}]),
        ({"f11": "A"}, "intent", "order"),
        ({"f11": "G"}, "intent", "reflex-order"),
        ({"f11": "L"}, "intent", "order"),
        ({"f16": PERSON}, "requester.reference", "Practitioner"),
        ({"f27": "^Q1D"}, "occurrenceTiming.code.coding.0.code", "QD"),
        ({"f29": "P1&HIS"}, "basedOn.0.identifier", typed("PLAC", "HIS", "P1")),
        ({"f54": "P1&HIS"}, "basedOn.0.identifier", typed("PLAC", "HIS", "P1")),
        ({"f31": "R1^Why^L"}, "reasonCode.0.coding.0.display", "Why"),
        ({"f46": "X^x^L"}, "orderDetail.0.coding.0.code", "X"),
        ({"f47": "Y^y^L"}, "orderDetail.0.coding.0.code", "Y"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_obr_field_of_a_request(obr: dict[str, str], path: str, expected: Any) -> None:
    found = mapped(
        PID,
        segment("ORC", f1="NW", f2="O1^HIS"),
        segment("OBR", **{"f1": "1", "f4": "GLU^Glucose^L", **obr}),
        header=OML,
    )
    (asked,) = resources(found, "ServiceRequest")
    said = dig(asked, path)
    if path.endswith("reference"):
        kinds = {write.full_url: write.resource["resourceType"] for write in found.writes}
        said = kinds[said]
    assert said == expected


def test_control_of_an_order_is_a_business_event() -> None:
    (event,) = extension(request({"f9": "20260101100000"}), "businessEvent")
    value, date = event["extension"]
    code = {"coding": [{"system": f"{THO}/v2-0119", "code": "NW"}]}
    assert value == {"url": "value", "valueCodeableConcept": code}
    assert date == {"url": "date", "valueDateTime": "2026-01-01T10:00:00+05:30"}


def test_orderer_has_role_facility_address_and_telecom() -> None:
    orc = segment(
        "ORC",
        f1="NW",
        f2="O1",
        f12=PERSON,
        f14="555^^PH",
        f16="R^reason^L",
        f21="Clinic^^^^^HOSP^XX^^^C1",
        f22="St 1^^Town^^^^H",
        f23="556^PRN^PH",
        f24="Road 5^^Town",
    )
    found = mapped(PID, orc, "OBR|1||| GLU", header=OML)
    by_url = {write.full_url: write.resource for write in found.writes}
    (asked,) = resources(found, "ServiceRequest")
    role = by_url[asked["requester"]["reference"]]
    person = by_url[role["practitioner"]["reference"]]
    place = by_url[role["organization"]["reference"]]
    assert (person["name"][0]["family"], person["address"][0]["line"]) == ("Doc", ["Road 5"])
    assert place["name"] == "Clinic"
    # org-2 and org-3: nothing of an organization is of a home.
    assert [one.get("use") for one in (*place["address"], *place["telecom"])] == [None, "work"]
    (phone,) = extension(asked, "servicerequest-order-callback-phone-number")
    assert phone["valueContactPoint"] == {"system": "phone", "value": "555"}
    (reason,) = extension(asked, "request-statusReason")
    assert reason["valueCodeableConcept"]["coding"][0]["code"] == "R"


def test_clinical_information_is_supporting_and_fasting_is_the_specimens() -> None:
    found = mapped(
        PID,
        segment("ORC", f1="NW", f2="O1"),
        segment("OBR", f4="GLU", f13="F^Fasting^HL70916~D^Diabetes^L", f15="BLD"),
        header=OML,
    )
    (asked,) = resources(found, "ServiceRequest")
    (info,) = extension(asked, "ServiceRequest.supportingInfo")
    (concept,) = info["extension"]
    assert concept["valueCodeableConcept"]["coding"][0]["display"] == "Diabetes"
    (specimen,) = resources(found, "Specimen")
    fasting = specimen["collection"]["fastingStatusCodeableConcept"]
    assert fasting["coding"][0] == {"system": f"{THO}/v2-0916", "code": "F", "display": "Fasting"}


def test_diagnosis_note_and_observation_belong_to_the_order() -> None:
    found = mapped(
        PID,
        "ORC|NW|O1",
        "OBR|1|||GLU",
        "NTE|1||please",
        "DG1|1||E11^Diabetes^I10",
        "OBX|1|NM|WT^Weight||70|kg|||||F",
        header=OML,
    )
    by_url = {write.full_url: write.resource["resourceType"] for write in found.writes}
    (asked,) = resources(found, "ServiceRequest")
    assert asked["note"] == [{"text": "please"}]
    assert [by_url[one["reference"]] for one in asked["reasonReference"]] == ["Condition"]
    assert [by_url[one["reference"]] for one in asked["supportingInfo"]] == ["Observation"]
    assert resources(found, "DiagnosticReport") == []


@pytest.mark.parametrize(
    ("tq1", "path", "expected"),
    [
        ({"f2": "2^mL"}, "quantityQuantity.unit", "mL"),
        ({"f3": "BID"}, "occurrenceTiming.code.coding.0.system", f"{THO}/v3-GTSAbbreviation"),
        ({"f3": "Q3J2"}, "occurrenceTiming.code.coding.0.system", f"{THO}/v2-0335"),
        ({"f3": "whenever"}, "occurrenceTiming.code", {"text": "whenever"}),
        ({"f3": "^^^^6^h"}, "occurrenceTiming.repeat", {"period": Decimal(6), "periodUnit": "h"}),
        ({"f3": "^DW^2^4"}, "occurrenceTiming.repeat.dayOfWeek", ["tue", "wed", "thu"]),
        ({"f3": "^DW^6^1"}, "occurrenceTiming.repeat.dayOfWeek", ["sat", "sun", "mon"]),
        ({"f3": "^^^^^^^AC^30^min"}, "occurrenceTiming.repeat", {"when": ["AC"], "offset": 30}),
        ({"f3": "^^^^^^^C^30^min"}, "occurrenceTiming.repeat", {"when": ["C"]}),
        ({"f4": "0800~2000"}, "occurrenceTiming.repeat.timeOfDay", ["08:00:00", "20:00:00"]),
        ({"f6": "10^d"}, "occurrenceTiming.repeat.boundsDuration.value", Decimal(10)),
        (
            {"f6": "10^d", "f7": "20260101"},
            "occurrenceTiming.repeat.boundsPeriod",
            {"start": "2026-01-01", "end": "2026-01-11"},
        ),
        (
            {"f6": "2^h", "f8": "20260101100000"},
            "occurrenceTiming.repeat.boundsPeriod",
            {"end": "2026-01-01T10:00:00+05:30", "start": "2026-01-01T08:00:00+05:30"},
        ),
        (
            {"f7": "20260101", "f8": "202602"},
            "occurrenceTiming.repeat.boundsPeriod",
            {"start": "2026-01-01", "end": "2026-02"},
        ),
        (
            {"f7": "20260102", "f8": "20260101"},
            "occurrenceTiming.repeat.boundsPeriod",
            {"start": "2026-01-02"},
        ),
        ({"f9": "A"}, "priority", "asap"),
        ({"f9": "PRN"}, "_priority.extension.0.valueCodeableConcept.coding.0.code", "PRN"),
        ({"f11": "with food"}, "note", [{"text": "with food"}]),
        (
            {"f13": "30^min"},
            "occurrenceTiming.repeat",
            {"duration": Decimal(30), "durationUnit": "min"},
        ),
        ({"f14": "10"}, "occurrenceTiming.repeat", {"count": 10}),
        ({"f14": "ten"}, "occurrenceTiming", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_tq1_field_of_a_request(tq1: dict[str, str], path: str, expected: Any) -> None:
    assert dig(
        of("ServiceRequest", "ORC|NW|O1", segment("TQ1", f1="1", **tq1), "OBR|1|||G"), path
    ) == (expected)


def test_timing_takes_the_place_of_a_requested_time() -> None:
    found = mapped(PID, "ORC|NW|O1", "TQ1|1||BID", "OBR|1|||G||20260101", header=OML)
    (asked,) = resources(found, "ServiceRequest")
    assert ("occurrenceTiming" in asked, "occurrenceDateTime" in asked) == (True, False)
    assert ("OBR[1]-6[1].1.1", "condition_false") in found.unmapped


@pytest.mark.parametrize(
    ("spm", "path", "expected"),
    [
        ({"f2": "S1&HIS^S2&LIS"}, "identifier.0", typed("PLAC", "HIS", "S1")),
        ({"f2": "S1&HIS^S2&LIS"}, "identifier.1", typed("FILL", "LIS", "S2")),
        ({"f3": "S0&HIS"}, "parent.0.identifier", typed("PLAC", "HIS", "S0")),
        ({"f4": "SER^Serum^HL70487"}, "type.coding.0.system", f"{THO}/v2-0487"),
        ({"f6": "EDTA"}, "container.0.additiveCodeableConcept.coding.0.code", "EDTA"),
        ({"f7": "BIO"}, "collection.method.coding.0.code", "129314006"),
        ({"f8": "ARM"}, "collection.bodySite.coding.0.code", "ARM"),
        ({"f12": "5^mL"}, "collection.quantity.code", "mL"),
        ({"f14": "cloudy"}, "note", [{"text": "cloudy"}]),
        ({"f17": "20260101"}, "collection.collectedDateTime", "2026-01-01"),
        (
            {"f17": "20260101^20260102"},
            "collection.collectedPeriod",
            {"start": "2026-01-01", "end": "2026-01-02"},
        ),
        ({"f18": "20260103"}, "receivedTime", "2026-01-03"),
        ({"f20": "Y"}, "status", "available"),
        ({"f20": "N"}, "status", "unavailable"),
        ({"f20": "Y", "f21": "EX"}, "status", "unsatisfactory"),
        ({"f21": "EX"}, "condition.0.coding.0.system", f"{THO}/v2-0490"),
        ({"f24": "AUT"}, "condition.0.coding.0.system", f"{THO}/v2-0493"),
        ({"f27": "T^Tube^L"}, "container.0.type.coding.0.display", "Tube"),
        ({"f30": "A1^^^LIS"}, "accessionIdentifier", {"system": f"{IDS}/LIS", "value": "A1"}),
        ({"f31": "X1^^^LIS"}, "identifier.0", {"system": f"{IDS}/LIS", "value": "X1"}),
        ({"f32": "SH1^LIS"}, "identifier.0", typed("SHIP", "LIS", "SH1")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_spm_field_of_an_order(spm: dict[str, str], path: str, expected: Any) -> None:
    assert dig(of("Specimen", "ORC|NW|O1", "OBR|1|||G", segment("SPM", f1="1", **spm)), path) == (
        expected
    )


@pytest.mark.parametrize(
    ("sac", "path", "expected"),
    [
        ({"f1": "E1^LIS"}, "identifier.0", typed("ACSN", "LIS", "E1")),
        ({"f2": "A1^LIS"}, "accessionIdentifier", {"system": f"{IDS}/LIS", "value": "A1"}),
        ({"f3": "C1^LIS"}, "container.0.identifier.0.value", "C1"),
        ({"f4": "C0^LIS"}, "container.0.identifier.0.value", "C0"),
        ({"f21": "10", "f24": "mL"}, "container.0.capacity.code", "mL"),
        ({"f22": "5", "f24": "mL"}, "container.0.specimenQuantity.value", Decimal(5)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sac_field_of_an_order(sac: dict[str, str], path: str, expected: Any) -> None:
    segments = ("ORC|NW|O1", "OBR|1|||G", "SPM|1", segment("SAC", **sac))
    assert dig(of("Specimen", *segments), path) == expected


@pytest.mark.parametrize(
    ("obr", "path", "expected"),
    [
        ({"f7": "20260101", "f9": "5^mL"}, "collection.collectedDateTime", None),
        ({"f9": "5^mL"}, "collection.quantity.value", Decimal(5)),
        ({"f14": "20260101"}, "receivedTime", "2026-01-01"),
        ({"f15": "BLD&Blood"}, "type.coding.0.code", "BLD"),
        ({"f15": "^EDTA"}, "container.0.additiveCodeableConcept.coding.0.code", "EDTA"),
        ({"f15": "^^cloudy"}, "note", [{"text": "cloudy"}]),
        ({"f15": "^^^ARM"}, "collection.bodySite.coding.0.code", "ARM"),
        ({"f15": "^^^^^HEM"}, "condition.0.coding.0.code", "HEM"),
        ({"f39": "^hard to get"}, "note", [{"text": "hard to get"}]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_obr_field_of_the_specimen(obr: dict[str, str], path: str, expected: Any) -> None:
    found = of("Specimen", "ORC|NW|O1", segment("OBR", f4="G", **obr))
    assert dig(found, path) == expected


def test_container_names_a_specimen_without_a_number_of_its_own() -> None:
    one, other = (
        mapped(PID, f"ORC|NW|{number}", "OBR|1|||G", "SPM|1", "SAC|||C1^LIS", header=OML)
        for number in ("O1", "O2")
    )
    identities = [
        write.identity
        for found in (one, other)
        for write in found.writes
        if write.resource["resourceType"] == "Specimen"
    ]
    assert identities[0] == identities[1]


def test_orders_of_one_specimen_share_it() -> None:
    found = mapped(
        PID,
        "SPM|1|S1",
        "SAC|||C1",
        "ORC|NW|O1",
        "OBR|1|||A",
        "ORC|NW|O2",
        "OBR|2|||B",
        "SPM|2|S2",
        "ORC|NW|O3",
        "OBR|1|||A",
        header=header("OML^O33"),
    )
    urls = [w.full_url for w in found.writes if w.resource["resourceType"] == "Specimen"]
    asked = [
        [one["reference"] for one in order["specimen"]]
        for order in resources(found, "ServiceRequest")
    ]
    assert asked == [[urls[0]], [urls[0]], [urls[1]]]


@pytest.mark.parametrize(
    ("control", "status"),
    [
        *(
            (code, "active")
            for code in [
                "AF",
                "CA",
                "NW",
                "OK",
                "PR",
                "PY",
                "RL",
                "RO",
                "RQ",
                "HD",
                "CH",
                "MC",
                "NA",
                "OE",
                "OP",
                "OR",
            ]
        ),
        *((code, "active") for code in ACTIVE),
        *((code, "revoked") for code in ["CR", "DC", "DF", "DR", "OC", "OD", "RP", "RU", "UA"]),
        *((code, "on-hold") for code in ["HR", "OH"]),
        *((code, "completed") for code in ["FU", "CN", "OF"]),
        *(
            (code, "unknown")
            for code in [
                "CP",
                "DE",
                "LI",
                "SR",
                "SS",
                "UC",
                "UD",
                "UF",
                "UH",
                "UM",
                "UN",
                "UR",
                "UX",
                "SC",
                "??",
            ]
        ),
    ],
)
def test_status_of_a_new_order_by_its_control(control: str, status: str) -> None:
    assert request({"f1": control})["status"] == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("A", "active"), ("CA", "revoked"), ("CM", "completed"), ("DC", "revoked"),
        ("ER", "entered-in-error"), ("HD", "on-hold"), ("IP", "active"), ("RP", "revoked"),
        ("SC", "active"),
    ],
)  # fmt: skip
def test_order_status_goes_before_its_control(code: str, status: str) -> None:
    found = request({"f1": "OH", "f5": code})
    assert found["status"] == status
    kept = found["_status"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert kept == {"system": f"{THO}/v2-0038", "code": code}


@pytest.mark.parametrize(
    ("control", "result", "status"),
    [
        ("RE", "F", "completed"), ("RE", "C", "completed"), ("RE", "X", "revoked"),
        ("RE", "P", "active"), ("SC", "F", "completed"), ("SC", "P", "active"),
    ],
)  # fmt: skip
def test_result_status_tells_of_the_order(control: str, result: str, status: str) -> None:
    assert request({"f1": control}, {"f25": result})["status"] == status


@pytest.mark.parametrize(
    ("control", "stored", "expected"),
    [
        ("NW", "completed", "completed"),
        ("NW", "revoked", "revoked"),
        ("NW", "on-hold", "active"),
        ("DC", "active", "revoked"),
        ("CA", "on-hold", "on-hold"),
        *(
            (code, "on-hold", "on-hold")
            for code in ["CP", "DE", "LI", "SC", "SR", "SS", "UC", "UD", "UX"]
        ),
        ("XO", "entered-in-error", "entered-in-error"),
    ],
)
def test_status_of_a_stored_order(control: str, stored: str, expected: str) -> None:
    found = mapped(PID, segment("ORC", f1=control, f2="O1"), "OBR|1|||G", header=OML)
    (write,) = (w for w in found.writes if w.resource["resourceType"] == "ServiceRequest")
    assert write.effect is not None
    assert write.effect({"status": stored}, write.resource)["status"] == expected


def test_result_ends_a_stored_order_and_changes_nothing_else() -> None:
    stored = {"resourceType": "ServiceRequest", "status": "active", "note": [{"text": "kept"}]}
    said = {**stored, "status": "completed", "note": [], "supportingInfo": [{"reference": "x"}]}
    assert order_status.answered(stored, said) == {
        **stored,
        "status": "completed",
        "supportingInfo": [{"reference": "x"}],
    }


@pytest.mark.parametrize(
    ("control", "activity"),
    [("NW", "CREATE"), ("SC", "UPDATE"), ("XO", "UPDATE"), ("OC", "CANCEL"), ("CA", "CANCEL")],
)
def test_provenance_tells_what_was_done(control: str, activity: str) -> None:
    coding = {"system": f"{THO}/v3-DataOperation", "code": activity}
    found = of("Provenance", f"ORC|{control}|O1", "OBR|1|||G")
    assert found["activity"] == {"coding": [coding]}


def test_provenance_tells_who_did_it_when_and_where() -> None:
    orc = segment(
        "ORC",
        f1="NW",
        f2="O1",
        f9="20260101100000",
        f10="1^En^A^^^^^^H",
        f11="2^Ve^B^^^^^^H",
        f12="3^Or^C^^^^^^H",
        f17="W1^Ward 1",
        f18="PC1^Station",
        f19="4^Pe^D^^^^^^H",
        f21="Clinic",
    )
    found = mapped(PID, orc, "OBR|1|||G", header=OML)
    by_url = {write.full_url: write.resource for write in found.writes}
    (told,) = resources(found, "Provenance")
    agents = {
        one["type"]["coding"][0]["code"]: by_url[one["who"]["reference"]] for one in told["agent"]
    }
    names = {role: who["name"][0]["family"] for role, who in agents.items() if "name" in who}
    assert names == {"enterer": "En", "verifier": "Ve", "author": "Or", "performer": "Pe"}
    assert agents["assembler"]["deviceName"][0]["name"] == "Station"
    behalf = by_url[told["agent"][0]["onBehalfOf"]["reference"]]
    assert behalf["name"] == "Ward 1"
    assert (told["recorded"], told["occurredDateTime"]) == ("2026-01-01T10:00:00+05:30",) * 2
    assert told["location"] == {"display": "Clinic"}


def test_provenance_without_an_instant_says_that_it_is_not_known() -> None:
    short = OML.replace("20260102030405+0530", "20260102")
    (told,) = resources(mapped(PID, "ORC|NW|O1", "OBR|1|||G", header=short), "Provenance")
    (absent,) = told["_recorded"]["extension"]
    assert absent == {"url": f"{EXT}/data-absent-reason", "valueCode": "unknown"}


@pytest.mark.parametrize(
    ("control", "status"), [("CA", "requested"), ("CR", "completed"), ("UC", "rejected")]
)
def test_request_to_cancel_is_a_task(control: str, status: str) -> None:
    task = of("Task", segment("ORC", f1=control, f2="O1", f16="M^mistake^L"), "OBR|1|||G")
    name = "reasonCode" if control == "CA" else "statusReason"
    assert (task["status"], task["intent"]) == (status, "order")
    assert task[name]["coding"][0]["display"] == "mistake"


def test_no_other_control_makes_a_task() -> None:
    assert resources(mapped(PID, "ORC|DC|O1", "OBR|1|||G", header=OML), "Task") == []


def test_several_codes_under_one_number_are_several_orders() -> None:
    found = mapped(PID, "ORC|NW|O1", "OBR|1|O1||A", "OBR|2|O1||B", header=OML)
    writes = [w for w in found.writes if w.resource["resourceType"] == "ServiceRequest"]
    assert len({write.identity for write in writes}) == 2


def test_order_without_a_number_is_found_by_patient_code_and_time() -> None:
    again = [
        next(
            write.identity
            for write in mapped(PID, f'ORC|NW|""|||||||{when}', "OBR|1|||G", header=OML).writes
            if write.resource["resourceType"] == "ServiceRequest"
        )
        for when in ("20260101", "20260101", "20260102")
    ]
    assert again[0] == again[1] != again[2]


def test_order_without_a_patient_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        mapped("ORC|NW|O1", "OBR|1|||G", header=header("ORM^O01"))
    assert refused.value.reason == "NO_PATIENT_ID"


def test_prior_results_of_an_order_are_listed_and_not_mapped() -> None:
    found = mapped(
        PID,
        "ORC|NW|O1",
        "OBR|1|O1||G",
        "PID|1||P1^^^HOSP^MR",
        "ORC|PR|O0",
        "OBR|1|O0|F0|OLD",
        "OBX|1|NM|OLD||5",
        "ORC|NW|O2",
        "OBR|2|O2||H",
        header=OML,
    )
    codes = [dig(one, "code.coding.0.code") for one in resources(found, "ServiceRequest")]
    assert codes == ["G", "H"]
    assert resources(found, "Observation") == []
    assert ("OBX[1]-5[1].1.1", "profile_ignored") in found.unmapped


def test_request_to_cancel_can_end_the_order() -> None:
    found = mapped(PID, "ORC|CA|O1", "OBR|1|||G", header=OML, cancel_request_revokes=True)
    (write,) = (w for w in found.writes if w.resource["resourceType"] == "ServiceRequest")
    assert write.effect is not None
    assert write.effect({"status": "active"}, write.resource)["status"] == "revoked"
    assert resources(found, "Task") == []


def test_null_deletes_what_an_order_has() -> None:
    orc, obr = segment("ORC", f1="XO", f2="O1", f12='""'), segment("OBR", f4="G", f5='""', f31='""')
    found = mapped(PID, orc, obr, header=OML)
    (write,) = (w for w in found.writes if w.resource["resourceType"] == "ServiceRequest")
    assert write.cleared == {"requester", "priority", "reasonCode"}
