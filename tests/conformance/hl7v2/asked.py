"""How those rows of the maps of segments are asked whose question is not in their columns."""

from collections.abc import Mapping
from typing import Final

from tests.conformance.hl7v2.ask import EXT, TIME, WHEN, Ask, More, each

_OFFSET: Final = Ask("30", ("2026-01-02T03:34:05+05:30",), {("TQ1", 7): TIME})
_CONTACT: Final = Ask(more={("NK1", 3): "E"})
_ORDERER: Final[More] = {("ORC", 12): "11^Ordfam"}
_DOSE: Final[More] = {("RXO", 2): "7", ("RXO", 3): "9"}
_STRENGTH: Final[More] = {("RXO", 18): "7", ("RXO", 25): "9"}
_PERIOD_UNIT: Final = "7^min"
_SERVICE: Final[More] = {("AIS", 4): TIME}
_PP: Final[More] = {("ROL", 3): "PP"}
_GP: Final[More] = {("PRT", 4): "PP"}
_ANIMAL: Final[More] = {("PID", 35): "QSPEC"}

ASKED: Final[Mapping[str, Mapping[int, Ask]]] = {
    "AIG[Appointment]": {
        11: _OFFSET,
        13: Ask("30", ("2026-01-02T03:34:05+05:30",), {("AIG", 8): TIME}),
    },
    "AIL[Appointment]": {
        9: _OFFSET,
        11: Ask("30", ("2026-01-02T03:34:05+05:30",), {("AIL", 6): TIME}),
    },
    "AIP[Appointment]": {
        9: _OFFSET,
        11: Ask("30", ("2026-01-02T03:34:05+05:30",), {("AIP", 6): TIME}),
        14: Ask("Deleted", ("declined",)),
    },
    "AIS[Appointment]": {
        7: _OFFSET,
        9: Ask("30", ("2026-01-02T03:34:05+05:30",), _SERVICE),
        12: Ask(more={("SCH", 25): ""}),
    },
    "AL1[AllergyIntolerance]": {
        7: Ask("DA"),
        14: Ask(said={"allergy_severity": "reaction"}, more={("AL1", 5): "Rash"}),
    },
    "IAM[AllergyIntolerance]": {
        3: Ask(more={("IAM", 3): "QALG"}),
        4: Ask(more={("IAM", 3): "QALG"}),
        7: Ask("DA"),
        11: Ask(said={"allergy_severity": "reaction"}, more={("IAM", 5): "Rash"}),
        28: Ask("SPO", ("SPS",), {("IAM", 14): "Qfam"}),
        30: Ask("inactive", ("inactive",)),
    },
    "DG1[Condition]": each((25, 26), Ask("D")),
    "DG1[Encounter]": each((25, 26), Ask("D")),
    "EVN[Provenance]": {3: Ask(expected=("event - : ADT^A01",), more={("EVN", 2): TIME})},
    "IN1[Coverage]": {
        7: Ask(more={("IN1", 4): "Qorg^^^^^QAUTH^XX^^^QZ9"}),
        12: Ask("QZ7^^^QAUTH^SN"),
        13: Ask("QZ7^^^QAUTH^SN"),
        21: Ask(expected=("P1",), more={("IN1", 17): "SEL"}, kept=True),
    },
    "MSA[MessageHeader]": {3: Ask("AE", ("transient-error",))},
    "MSH[Bundle]": {14: Ask("QZ7", ("http://h/fhir/hl7/LIS-LAB/ids/control-id",))},
    "MSH[MessageHeader]": {
        15: Ask("ORU^R01^ORU_R01", ("R01", "ORU^R01^ORU_R01")),
        17: Ask("P^T", ("P", "T")),
        25: Ask("en", ("en",)),
        30: Ask(more={("MSH", 6): ""}),
        32: Ask("", more={("MSH", 3): ""}),
        33: Ask("", more={("MSH", 3): ""}),
        35: Ask("", more={("MSH", 5): ""}),
        36: Ask("", more={("MSH", 5): ""}),
    },
    "MSH[Encounter]": {11: Ask("ADT^A01^ADT_A01", ("in-progress",))},
    "NK1[Patient]": {
        **each((4, 6, 7, 8, 9, 11, 12, 16, 18, 43, 44), _CONTACT),
        5: Ask("E", ("E",)),
        10: Ask("E", ("E",), {("NK1", 3): "E"}),
        **each((33, 34, 35), Ask(more={("NK1", 3): "E", ("NK1", 13): "Qorg^^^^^QA^XX^^^QZ9"})),
    },
    "NK1[RelatedPerson]": {
        19: Ask("20260102", ("2026-01-02",)),
        23: Ask("en", ("en",)),
        **each((33, 34, 35), Ask(more={("NK1", 13): "Qorg^^^^^QA^XX^^^QZ9"})),
        42: Ask(said={"ssn_type": "SS"}),
    },
    "OBR[DiagnosticReport]": {14: Ask(more={("OBR", 8): "20260103"})},
    "OBR[ServiceRequest]": {
        19: Ask("A"),
        29: Ask(expected=(EXT + "servicerequest-order-callback-phone-number",)),
        40: Ask("7^mL", ("7",)),
    },
    "OBR[Specimen]": {
        **each((9,), Ask(stage="ORU", more={("OBR", 14): "20260104"})),
        10: Ask(more={("OBR", 8): "20260103", ("OBR", 14): "20260104"}),
        11: Ask(more={("OBR", 7): "20260101", ("OBR", 14): "20260104"}),
        16: Ask(
            "F^Patient was fasting prior to the procedure.^HL70916",
            ("F",),
            {("OBR", 14): "20260104"},
        ),
        45: Ask("QZ7", ("QZ7",)),
    },
    "OBX[DocumentReference]": {
        7: Ask("^application^pdf^Base64^JVBERi0x", ("application/pdf",)),
        8: Ask(expected=("UVo3",)),
        9: Ask("QZ7"),
        10: Ask("http://x/y^^image^jpeg", ("http://x/y",)),
        11: Ask(expected=("UVo3",)),
        12: Ask("QZ7"),
    },
    "OBX[Observation]": {
        17: Ask(expected=("1-9",)),
        26: Ask("^application^pdf^Base64^JVBERi0x", more={("OBX", 2): "ED"}),
        27: Ask("^application^pdf^Base64^JVBERi0x", ("application/pdf",), {("OBX", 2): "ED"}),
        29: Ask("http://x/y^^image^jpeg", more={("OBX", 2): "RP"}),
        30: Ask("http://x/y^^image^jpeg", ("http://x/y",), {("OBX", 2): "RP"}),
        **each((46, 47), Ask("N", more={("OBX", 5): ""})),
        58: Ask(expected=(EXT + "observation-analysis-date-time",)),
        66: Ask(more={("OBX", 23): "Qorg^^^^^QA^XX^^^QZ9"}),
        67: Ask(more={("OBX", 23): "Qorg^^^^^QA^XX^^^QZ9", ("OBX", 25): "11^Dirfam"}),
        68: Ask(more={("OBX", 23): "Qorg^^^^^QA^XX^^^QZ9"}),
        75: Ask("QST", ("http://terminology.hl7.org/CodeSystem/v2-0936",)),
        **each((81, 82, 83, 84), Ask("QZ7&QNS^QZ8&QNS~QZ5&QNS")),
        86: Ask("^QZ8&QNS"),
    },
    "OBX[Observation-Component]": {
        6: Ask(more={("OBX", 2): "NM", ("OBX", 5): "7~8"}),
        27: Ask("^application^pdf^Base64^JVBERi0x", more={("OBX", 2): "ED"}),
        28: Ask("^application^pdf^Base64^JVBERi0x", ("application/pdf",), {("OBX", 2): "ED"}),
        31: Ask("http://x/y^^image^jpeg", more={("OBX", 2): "RP"}),
        32: Ask("http://x/y^^image^jpeg", ("http://x/y",), {("OBX", 2): "RP"}),
        40: Ask(more={("OBX", 2): "NM", ("OBX", 5): "7~8"}),
        **each((49, 50), Ask("N", more={("OBX", 5): ""})),
        60: Ask(expected=(EXT + "observation-analysis-date-time",)),
        67: Ask(more={("OBX", 25): "11^Dirfam"}),
        68: Ask(more={("OBX", 23): "Qorg^^^^^QA^XX^^^QZ9"}),
        69: Ask(more={("OBX", 23): "Qorg^^^^^QA^XX^^^QZ9", ("OBX", 25): "11^Dirfam"}),
        77: Ask("QST", ("http://terminology.hl7.org/CodeSystem/v2-0936",)),
        **each((83, 84, 85, 86), Ask("QZ7&QNS^QZ8&QNS~QZ5&QNS")),
        88: Ask("^QZ8&QNS"),
    },
    "ORC[DiagnosticReport]": {7: Ask(expected=("QZ7",))},
    "ORC[Provenance]": {
        31: Ask("QZ7^Qtext", ("QZ7", "Qtext"), {("ORC", 10): "11^Entfam"}),
        38: Ask(more={("ORC", 21): "Qorg^^^^^QA^XX^^^QZ9"}),
        39: Ask(more={("ORC", 21): "Qorg^^^^^QA^XX^^^QZ9"}),
        40: Ask(more=_ORDERER),
    },
    "ORC[ServiceRequest]": {
        8: Ask("NW"),
        21: Ask(expected=("QZ8",)),
        46: Ask(more=_ORDERER),
        **each((47, 48), Ask(more={**_ORDERER, ("ORC", 21): "Qorg^^^^^QA^XX^^^QZ9"})),
        49: Ask(more=_ORDERER),
    },
    "PD1[Observation-LivingWill]": each((3, 4, 5), Ask(more={("PD1", 7): "Y"})),
    "PID[Account]": {3: Ask(more={("PID", 18): "QACC"})},
    "PID[Patient]": {
        25: Ask("en", ("en",)),
        31: Ask(said={"ssn_type": "SS"}),
        36: Ask(kind="RelatedPerson"),
        **each((58, 59, 60), Ask(more=_ANIMAL)),
    },
    "PID[Provenance-Patient]": each((4, 5), Ask(more={("PID", 33): TIME})),
    "PR1[Procedure]": {
        3: Ask(expected=("completed",), more={("PR1", 5): "20260101"}, kept=True),
        7: Ask(),
        10: Ask(more={("PR1", 7): "30"}),
        12: Ask("30", ("2026-01-02T03:34:05+05:30",), {("PR1", 5): TIME}),
        26: Ask("QZ7", ("QPROC:QZ7",)),
    },
    "PRT[Patient-GeneralPractitioner-PractitionerRole]": {
        6: Ask("PP", ("PP",)),
        **each((7, 10, 11, 13, 14, 16, 17, 26), Ask(more=_GP)),
    },
    "PRT[Patient-GeneralPractitioner-Practitioner]": {8: Ask(more=_GP)},
    "PV1[Encounter]": {
        17: Ask(expected=("QZ7", "Qfam")),
        65: Ask(more={("PV1", 3): "QPOC^QRO^QBD"}),
        67: Ask(expected=("QPOC", "QRO", "QBD", "QFAC")),
        68: Ask(expected=("reserved",)),
        72: Ask(expected=("finished",)),
        83: Ask(),
    },
    "PV2[Encounter]": {31: Ask("Y", ("Y",))},
    "ROL[Encounter-PractitionerRole]": {14: Ask()},
    "ROL[Patient-GeneralPractitioner]": {
        5: Ask("PP", ("PP",)),
        **each((3, 6, 7, 8, 17, 18, 19), Ask(more=_PP)),
        13: Ask("Qline^^Qcity^^Q123^^H", more=_PP),
        14: Ask("Qline^^Qcity^^Q123^^O", more=_PP),
        15: Ask("Qline^^Qcity^^Q123^^B", more=_PP),
    },
    "RXA[Immunization]": {
        9: Ask(more={("RXA", 6): "7"}),
        20: Ask("20260102", ("2026-01-02",)),
        24: Ask("RE", ("not-done",)),
        25: Ask(""),
        27: Ask(more={("RXA", 21): "A"}),
        33: Ask(more={("RXA", 27): "QPOC"}),
    },
    "RXO[MedicationRequest]": {
        3: Ask("QZ7", ("original-order",), kept=True),
        4: Ask(more={("RXO", 5): "QFORM"}),
        5: Ask(more={("RXO", 3): "9"}),
        7: Ask(more={("RXO", 2): "7"}, text="9", expected=("9",)),
        **each((8, 10), Ask("mL^Qtext^UCUM", ("mL",), _DOSE)),
        **each((9, 11), Ask("^Qtext", ("Qtext",), _DOSE)),
        **each((19,), Ask("mL^Qtext^UCUM", ("mL",), {("RXO", 11): "7"})),
        20: Ask("^Qtext", ("Qtext",), {("RXO", 11): "7"}),
        26: Ask(more={("RXO", 25): "9"}),
        27: Ask("mL^Qtext^UCUM", ("mL",), _STRENGTH),
        28: Ask("^Qtext", ("Qtext",), _STRENGTH),
        36: Ask(more={("RXO", 18): "7"}),
        37: Ask("mL^Qtext^UCUM", ("mL",), _STRENGTH),
        38: Ask("^Qtext", ("Qtext",), _STRENGTH),
    },
    "SCH[Appointment]": {
        9: Ask("ROUTINE^Routine^HL70276"),
        10: Ask("Normal^Normal^HL70277"),
        14: Ask("^^^20260102030405+0530^20260102033405+0530", ("2026-01-02T03:34:05+05:30",)),
        **each((28,), Ask(expected=("enterer",))),
        29: Ask(expected=("http://terminology.hl7.org/CodeSystem/provenance-participant-type",)),
        16: Ask(expected=("placer contact",)),
        22: Ask(expected=("filler contact",)),
    },
    "SFT[Device]": {8: Ask()},
    "SPM[Specimen]": {
        **each((22,), Ask(TIME, (WHEN,))),
        38: Ask(expected=("QZ7",)),
    },
    "TQ1[MedicationRequest]": {
        **each((7, 8), Ask(_PERIOD_UNIT, ("7",))),
        9: Ask("7^d", ("2026-01-09",), {("TQ1", 7): TIME}),
        10: Ask("7^d", ("2025-12-26",), {("TQ1", 8): TIME}),
        17: Ask(_PERIOD_UNIT, ("7",)),
        18: Ask(_PERIOD_UNIT, ("min",)),
    },
    "TQ1[ServiceRequest]": {
        **each((7, 8), Ask(_PERIOD_UNIT, ("7",))),
        9: Ask("7^d", ("2026-01-09",), {("TQ1", 7): TIME}),
        10: Ask("7^d", ("2025-12-26",), {("TQ1", 8): TIME}),
        17: Ask(_PERIOD_UNIT, ("7",)),
        18: Ask(_PERIOD_UNIT, ("min",)),
    },
    "TXA[DocumentReference]": {
        3: Ask(more={("TXA", 3): "AP"}),
        6: Ask("TX", ("text/plain",)),
        22: Ask("AU", ("final",)),
        24: Ask("AV"),
        25: Ask("CA"),
        26: Ask("CA", ("CA",)),
    },
}
