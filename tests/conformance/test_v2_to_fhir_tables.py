"""Each code of the tables of the specification, as the element that a message makes of it."""

from collections.abc import Iterator

import pytest

from tests.conformance.hl7v2 import paths, stages
from tests.conformance.hl7v2.coded import Coded

THO = "http://terminology.hl7.org/CodeSystem/"
V3 = f"{THO}v3-"
STATUS = "Observation", "status"
RESULT = Coded("ORU", "OBX", 11, *STATUS)
REPORT = Coded("ORU", "OBR", 25, "DiagnosticReport", "status")
CONTROL = Coded("OML", "ORC", 1, "ServiceRequest", "status")
ORDER = Coded("OML", "ORC", 5, "ServiceRequest", "status")
SERVICE = Coded("ORU", "OBR", 24, "DiagnosticReport", "category")
FLAG = Coded("ORU", "OBX", 8, "Observation", "interpretation")
ADDRESS = "^^Qcity^^^^{}"
USE = Coded("ADT", "PID", 11, "Patient", "address.use", ADDRESS)
TYPE = Coded("ADT", "PID", 11, "Patient", "address.type", ADDRESS)
NAME = Coded("ADT", "PID", 5, "Patient", "name.use", "Qfam^^^^^^{}")
TELECOM_USE = Coded("ADT", "PID", 13, "Patient", "telecom.use", "0999^{}^PH")
TELECOM_SYSTEM = Coded("ADT", "PID", 13, "Patient", "telecom.system", "0999^^{}^q@b.example")
SEX = Coded("ADT", "PID", 8, "Patient", "gender")
CLASS = Coded("ADT", "PV1", 2, "Encounter", "class")
VISIT = Coded("ADT", "PV1", 2, "Encounter", "status")
LABEL = Coded("OML", "ORC", 28, "ServiceRequest", "meta.security")
LEFT = Coded("ADT", "PV1", 36, "Encounter", "hospitalization.dischargeDisposition")
BOOKED = Coded(
    "SIU", "SCH", 25, "Appointment", "status",
    more={("TQ1", 7): "20260102030405+0530", ("TQ1", 8): "20260102040405+0530"},
)  # fmt: skip
ARRANGED = "Pending Waitlist Booked Cancelled Noshow"


def _same(codes: str, target: str) -> dict[str, str]:
    return dict.fromkeys(codes.split(), target)


def _kept(codes: str) -> dict[str, str]:
    return {code: code for code in codes.split()}


# Table, where it is asked, the system of what it becomes ("" for a code of R4), the codes.
TABLES: dict[str, tuple[Coded, str, dict[str, str]]] = {
    "0001": (SEX, "", {"F": "female", "M": "male", **_same("O A N", "other"), "U": "unknown"}),
    "0001 others": (SEX, "", _same("X 9", "unknown")),
    "0004 class": (CLASS, f"{V3}ActCode", {"E": "EMER", "I": "IMP", "O": "AMB", "P": "PRENC"}),
    "0004 kept": (CLASS, f"{THO}v2-0004", _kept("R B C N U")),
    "0004 status": (
        VISIT, "", {"P": "planned", "U": "unknown", **_same("E I O R B C N", "in-progress")},
    ),
    "0085": (RESULT, "", {
        **_same("A B", "amended"), "C": "corrected", **_same("D W", "entered-in-error"),
        "F": "final", **_same("I O", "registered"), "N": "unknown",
        **_same("P R S", "preliminary"), **_same("U V", "final"), "X": "cancelled",
    }),
    "0123": (REPORT, "", {
        **_same("O I S N", "registered"), **_same("P M", "preliminary"), "C": "corrected",
        **_same("R A", "partial"), "F": "final", "X": "cancelled",
    }),
    "0119": (CONTROL, "", {
        **_same("AF CA HD NW OK PR PY RL RO RQ CH MC NA OE OP OR PA RF RR SN XO XR XX", "active"),
        **_same("CR DC DF DR OC OD RP RU UA", "revoked"), **_same("HR OH", "on-hold"),
        **_same("FU CN OF", "completed"), "RE": "active",
        **_same("CP DE LI SC SR SS UC UD UF UH UM UN UR UX", "unknown"),
    }),
    "0038": (ORDER, "", {
        **_same("A IP SC", "active"), **_same("CA DC RP", "revoked"), "CM": "completed",
        "ER": "entered-in-error", "HD": "on-hold",
    }),
    "0074": (SERVICE, f"{THO}v2-0074", _kept(
        "AU BG BLB CG CH CP CT CTH CUS EC EN GE HM ICU IMM LAB MB MCB MYC NMR NMS NRS OSL"
        " OT OTH OUS PF PHR PHY PT RAD RC RT RUS RX SP SR TX VR VUS XRC"
    )),
    "0078": (FLAG, f"{V3}ObservationInterpretation", _kept(
        "< > A AA B CAR D DET E EX EXP H HH HU I IE IND L LL LU MS N NCL ND NEG NR NS POS"
        " R RR S SDD SYN-R SYN-S U UNE VS W WR"
    )),
    "0078 kept": (FLAG, f"{THO}v2-0078", _kept("AC HM OBX QCF TOX")),
    "0190 type": (TYPE, "", _same("M SH", "postal")),
    "0190 use": (USE, "", {
        "BA": "old", "BI": "billing", **_same("C V", "temp"), **_same("B O", "work"),
        **_same("H P", "home"),
    }),
    "0200": (NAME, "", {
        **_same("L R", "official"), "D": "usual", "M": "maiden", "N": "nickname",
        **_same("MSK S", "anonymous"), **_same("TEMP NAV NB", "temp"), **_same("BAD NOUSE", "old"),
    }),
    "0201": (TELECOM_USE, "", {
        **_same("PRN ORN", "home"), "WPN": "work", "PRS": "mobile", "VHN": "temp",
    }),
    "0202": (TELECOM_SYSTEM, "", {
        **_same("PH CP", "phone"), "FX": "fax", "BP": "pager", **_same("Internet X.400", "email"),
        **_same("MD SAT TDD TTY", "other"),
    }),
    "0112": (LEFT, f"{THO}discharge-disposition", {
        **_same("01 06 08", "home"), **_same("02 05", "other-hcf"), "03": "snf", "04": "long",
        "07": "aadvice", **_same("20 21 22 23 24 25 26 27 28 29 40 41 42", "exp"), "09": "oth",
    }),
    "SCH-25": (BOOKED, "", {
        **{code: code.lower() for code in ARRANGED.split()}, "Started": "checked-in",
        "Complete": "fulfilled", "Deleted": "entered-in-error", "Discontinued": "cancelled",
        **_same("Blocked Overbook", "booked"),
    }),
    "0177 confidentiality": (LABEL, f"{V3}Confidentiality", {"V": "V", "R": "R"}),
    "0177 act": (LABEL, f"{V3}ActCode", {
        **_same("AID HIV", "HIV"), "PSY": "PSY", "ETH": "ETHUD", "EMP": "EMP",
    }),
    "0177 kept": (LABEL, f"{THO}v2-0177", _kept("U UWM VIP")),
}  # fmt: skip
# Tables whose sent code is not beside the mapped one: R4 has no place for it, or it is the same.
WITHOUT_ORIGINAL = {"0001", "0078", "0200", "0201", "0202", "0177", "0004", "0074", "0119"}


def _rows() -> Iterator[tuple[str, str]]:
    yield from ((table, code) for table, (_, _, codes) in TABLES.items() for code in codes)


def became(coded: Coded, code: str) -> dict[str, stages.Json]:
    content = stages.told(coded.stage, coded.segment, {coded.field: coded.text.format(code)})
    for (name, number), text in coded.more.items():
        content.setdefault(name, stages.needed(name))[number] = text
    return stages.became(stages.text(coded.stage, content))


@pytest.mark.parametrize(("table", "code"), list(_rows()))
def test_code_of_a_table(table: str, code: str) -> None:
    coded, system, codes = TABLES[table]
    known = became(coded, code)
    roots = [one for one in known.values() if one.get("resourceType") == coded.kind]
    found = [node for node in paths.at(roots, coded.path, known) if node != {}]
    if system:
        codings = [one for node in found for one in node.get("coding", [node])]
        assert {"system": system, "code": codes[code]}.items() <= codings[0].items()
    else:
        assert [node for node in found if isinstance(node, str)] == [codes[code]]
    if table.partition(" ")[0] not in WITHOUT_ORIGINAL:
        assert paths.leaves(roots, known)[code] > 0


@pytest.mark.parametrize("code", ["Y", "Z"])
def test_report_status_without_meaning_is_refused(code: str) -> None:
    assert paths.at(became(REPORT, code).values(), "status", {}) == []


@pytest.mark.parametrize("code", ["L", "N", "BDL", "F", "RH", "BR", "S", "TM"])
def test_address_type_without_use_keeps_its_code(code: str) -> None:
    (patient,) = [r for r in became(USE, code).values() if r.get("resourceType") == "Patient"]
    assert "use" not in patient["address"][0]
    assert paths.leaves(patient, {})[code] == 1


@pytest.mark.parametrize("code", ["A", "B", "C", "F", "I", "K", "P", "REL", "T", "U"])
def test_name_type_without_use_keeps_its_code(code: str) -> None:
    (patient,) = [r for r in became(NAME, code).values() if r.get("resourceType") == "Patient"]
    assert "use" not in patient["name"][0]
    assert paths.leaves(patient, {})[code] == 1


@pytest.mark.parametrize("code", ["30", "31", "32", "33", "34", "35", "36", "37", "38", "39"])
def test_discharge_that_is_none_keeps_its_code_alone(code: str) -> None:
    (visit,) = [r for r in became(LEFT, code).values() if r.get("resourceType") == "Encounter"]
    codings = visit["hospitalization"]["dischargeDisposition"]["coding"]
    assert codings == [{"system": f"{THO}v2-0112", "code": code}]
