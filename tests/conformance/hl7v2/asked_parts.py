"""How those rows of the maps of data types are asked whose question is not in their columns."""

from collections.abc import Iterable, Mapping
from typing import Final

from tests.conformance.hl7v2.ask import EXT, OID, TIME, WHEN, Ask, each

_LOINC: Final = Ask("LN", ("http://loinc.org",))
_AUTHORITY: Final = Ask(f"QNS&{OID}&ISO", (f"urn:oid:{OID}",))
_NAMED: Final = Ask("QNS", ("QNS",))
_PERIOD: Final = f"{TIME}^{TIME}"
_ORDER: Final = "http://hl7.org/fhir/StructureDefinition/humanname-assembly-order"


def _of_concept(*lines: int) -> dict[int, Ask]:
    return each(lines, _LOINC)


def _person(lines: Iterable[int]) -> dict[int, Ask]:
    """XCN: assigner, system, check digit and its scheme, period."""
    assigner, system, period = lines
    return {assigner: _NAMED, system: _AUTHORITY, period: Ask(_PERIOD, (WHEN,))}


PARTS: Final[Mapping[str, Mapping[int, Ask]]] = {
    "CE[CodeableConcept]": _of_concept(5, 8),
    "CF[CodeableConcept]": _of_concept(5, 8, 14),
    "CNE[CodeableConcept]": _of_concept(5, 8, 14),
    "CWE[CodeableConcept]": _of_concept(5, 8, 14),
    "CWE[Coding]": _of_concept(5),
    "CQ[Quantity]": {3: Ask("8", ("8",)), 4: Ask("mL", ("mL",))},
    "CQ[code]": {4: Ask("min", ("min",))},
    "CWE[Device]": {
        **each((6, 12, 18, 22), Ask("Qname", ("user-friendly-name",))),
        **each((7, 13, 23), _LOINC),
    },
    "CWE[Identifier]": each((5, 8, 15), _LOINC),
    "CWE[Organization]": _of_concept(5),
    "CWE[Quantity]": {
        3: Ask("mg", ("mg",), {("CWE", 3): "UCUM"}),
        4: Ask("mg", ("mg",)),
        5: Ask("Qtext", ("Qtext",), {("CWE", 1): "mg"}),
        6: Ask("UCUM", ("http://unitsofmeasure.org",), {("CWE", 1): "mg"}, kept=True),
    },
    "CWE[code]": {6: Ask("F", ("female",)), 3: Ask("F", ("female",))},
    "CWE[string]": {
        4: Ask("Qtext", whole="^^Qbcity^^^^^^&Qtext", expected=("Qtext",)),
        11: Ask("Qtext", whole="^^Qbcity^^^^^^&&&&&&&&Qtext", expected=("Qtext",)),
    },
    "CWE[uri]": {
        3: Ask("QZ7", ("http://h/fhir/hl7/LIS-LAB/ids/QZ7",)),
        6: Ask("QZ7", ("http://h/fhir/hl7/LIS-LAB/ids/QZ7",)),
    },
    "CX[Identifier]": {8: _NAMED, 9: _AUTHORITY},
    "CX[RelatedPerson-Mother]": {
        3: Ask("QZ7", ("P1",), kept=True),
        4: Ask("QZ7", ("MTH",), kept=True),
        11: _NAMED,
        12: _AUTHORITY,
    },
    "CX[string]": {3: Ask()},
    "DLD[Location-Discharge]": {3: Ask("QZ7", ("QZ7",))},
    "DLN[Identifier]": {6: Ask("QZ8", ("http://h/fhir/hl7/LIS-LAB/ids/QZ8",))},
    "DTM[Annotation-Time]": {3: Ask(TIME, (WHEN,))},
    "DTM[dateTime]": {3: Ask(TIME, (WHEN,))},
    "ED[Attachment]": {
        5: Ask("application", ("application",)),
        6: Ask("PDF", ("application/pdf",), {("ED", 5): "QUJD"}),
        8: Ask("QUJD", ("QUJD",)),
    },
    "ED[DocumentReference]": {
        6: Ask("application", ("application",)),
        7: Ask("PDF", ("application/pdf",), {("ED", 5): "QUJD"}),
        9: Ask("QUJD", ("QUJD",)),
    },
    "EI[Condition]": {4: _NAMED, 5: Ask(OID, (OID,)), 6: Ask("ISO", ("ISO",))},
    "EI[Identifier-Organization]": {4: _NAMED, 5: Ask(OID, (OID,)), 6: Ask("ISO", ("ISO",))},
    "EI[Identifier-System]": {
        4: Ask("QNS", ("http://h/fhir/hl7/LIS-LAB/ids/QNS",)),
        5: Ask(OID, (f"urn:oid:{OID}",), {("EI", 4): "ISO"}),
        6: Ask("ISO", ("ISO",), {("EI", 3): OID}),
    },
    "HD[Device]": {
        4: Ask(OID, (OID,), {("HD", 3): "ISO"}),
        5: Ask("ISO", ("ISO",), {("HD", 2): OID}),
        6: Ask("ISO", more={("HD", 2): OID}),
    },
    "HD[Identifier]": {
        4: Ask(OID, (f"urn:oid:{OID}",), {("HD", 3): "ISO"}),
        5: Ask("ISO", ("ISO",), {("HD", 2): OID}),
    },
    "HD[Location]": {4: Ask(OID, (f"urn:oid:{OID}",), {("HD", 3): "ISO"})},
    "HD[MessageHeader.destination-endpoint]": {
        4: Ask(OID, (f"urn:oid:{OID}",), {("HD", 3): "ISO"}),
        5: Ask(
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",),
            {("HD", 3): "UUID"},
        ),
        6: Ask("host.example", ("urn:dns:host.example",), {("HD", 3): "DNS"}),
    },
    "HD[MessageHeader.destination-name]": {4: Ask(OID, (OID,), {("HD", 3): "ISO"})},
    "HD[MessageHeader.source-endpoint]": {
        4: Ask(OID, (f"urn:oid:{OID}",), {("HD", 3): "ISO"}),
        5: Ask(
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",),
            {("HD", 3): "UUID"},
        ),
        6: Ask("host.example", ("urn:dns:host.example",), {("HD", 3): "DNS"}),
        7: Ask("http://b/", ("urn:uri:http://b/",), {("HD", 3): "URI"}),
        8: Ask("QZ7", ("Q1 - L:QZ7",), {("HD", 1): "Q1", ("HD", 3): "L"}),
        10: Ask("", more={("HD", 1): "Q1"}),
    },
    "HD[MessageHeader.source-name]": {4: Ask(OID, (OID,), {("HD", 3): "ISO"})},
    "HD[Organization]": {
        4: Ask(OID, (OID,), {("HD", 3): "ISO"}),
        5: Ask("ISO", ("ISO",), {("HD", 2): OID}),
        6: Ask("ISO", more={("HD", 2): OID}),
    },
    "HD[uri]": {
        3: Ask("QZ7", ("http://h/fhir/hl7/LIS-LAB/ids/QZ7",)),
        4: Ask(OID, (f"urn:oid:{OID}",), {("HD", 3): "ISO"}),
        5: Ask(
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",),
            {("HD", 3): "UUID"},
        ),
        6: Ask("http://b/", ("http://b/",), {("HD", 3): "URI"}),
    },
    "ID[Coding]": {3: Ask("Y", ("Y",))},
    "ID[boolean]": {3: Ask("Y", ("true",))},
    "ID[code]": {3: Ask("S", ("stat",))},
    "IS[code]": {3: Ask("C", ("C",))},
    "MSG[Coding]": {
        3: Ask(whole="ORU^R01^ORU_R01", expected=("ORU^R01^ORU_R01",)),
        **each((5,), Ask(whole="ORU^R01^ORU_R01", expected=("R01",))),
        6: Ask(whole="ORU^R01^ORU_R01"),
    },
    "MSG[MessageHeader]": {
        4: Ask(whole="ORU^R01^ORU_R01", expected=("R01",)),
        5: Ask(whole="ORU^R01^ORU_R01"),
        6: Ask(whole="ORU^R01^ORU_R01", expected=("ORU_R01",)),
    },
    "MSG[code]": {4: Ask(whole="ADT^A01^ADT_A01", expected=("in-progress",))},
    "NA[SampledData]": {
        3: Ask(whole="1^2", expected=("1",), kept=True),
        4: Ask(whole="7", expected=("7",)),
        5: Ask(whole="7^8", expected=("7 8",)),
        6: Ask(whole="7^8^9", expected=("7 8 9",)),
        7: Ask(whole="7^8^9^3", expected=("7 8 9 3",)),
    },
    "NM[Quantity-LengthOfStay]": {
        3: Ask("7", ("7",)),
        4: Ask("7", kept=True),
        5: Ask("7"),
        6: Ask("7", ("d",)),
    },
    "NM[Quantity]": {3: Ask("7", ("7",))},
    "NM[positiveInt]": {3: Ask("7", ("7",))},
    "NR[Range]": {4: Ask("17", ("17",)), 3: Ask("7", ("7",))},
    "PLN[Identifier]": {3: Ask("QZ7", ("QZ7",))},
    "PL[Location]": {
        6: Ask("QZ7", ("wa",)),
        8: Ask("QPOC", ("QBUI",), {("PL", 7): "QBUI"}),
        13: Ask("QRO", ("QFLO",), {("PL", 8): "QFLO"}),
        18: Ask("QBD", ("QRO",), {("PL", 2): "QRO"}),
        29: Ask("QBUI", ("QFAC",), {("PL", 4): "QFAC"}),
        34: Ask("QFLO", ("QPOC",), {("PL", 1): "QPOC"}),
        35: Ask("Qdesc", ("Qdesc",), {("PL", 1): "QPOC"}),
        **each(tuple(range(42, 48)), Ask("QZ7", more={("PL", 11): "QAA"})),
        48: Ask("QAA", ("QAA",), {("PL", 1): "QPOC"}),
        49: Ask("QAA", ("QAA",), {("PL", 1): "QPOC", ("PL", 10): "QZ7"}),
    },
    "RI[Timing]": {4: Ask("1415", ("14:15:00",), {("RI", 1): "QD"})},
    "RPT[Timing]": {
        3: Ask("QD", ("QD",)),
        5: Ask("3", ("wed",), {("RPT", 2): "DW"}),
        6: Ask("5", ("fri",), {("RPT", 2): "DW", ("RPT", 3): "3"}),
        7: Ask("8", ("8",), {("RPT", 6): "h"}),
        8: Ask("h", ("h",), {("RPT", 5): "8"}),
        10: Ask(more={("RPT", 5): "1", ("RPT", 6): "d"}),
        11: Ask("30", ("30",), {("RPT", 8): "AC", ("RPT", 10): "min"}),
    },
    "RP[Attachment]": {5: Ask(whole="http://b/^^image^jpeg", expected=("image/jpeg",))},
    "RP[DocumentReference]": {5: Ask(whole="http://b/^^image^jpeg", expected=("image/jpeg",))},
    "SN[Quantity]": {
        3: Ask(whole="^5^.", expected=(EXT + "originalText",)),
        4: Ask(whole="^5^.", expected=("5 .",)),
        5: Ask(">", (">",)),
        6: Ask("7", ("7",)),
    },
    "SN[Range]": {
        3: Ask(whole="^5^-^9", expected=(EXT + "originalText",)),
        4: Ask(whole="^5^-^9", expected=("5 - 9",), kept=True),
    },
    "SN[Ratio]": {
        3: Ask(whole="^5^:^9", expected=(EXT + "originalText",)),
        4: Ask(whole="^5^:^9", expected=("5 : 9",), kept=True),
        5: Ask(">", (">",)),
    },
    "SPS[Specimen-Source]": {},
    "TQ[MedicationRequest]": {
        3: Ask("7&mL", ("7", "mL")),
        4: Ask("QD", ("QD",)),
        5: Ask("D7", ("7",)),
        6: Ask("D7", ("d",)),
        7: Ask("D7", ("http://unitsofmeasure.org",)),
    },
    "TQ[ServiceRequest]": {
        3: Ask("7&mL", ("7", "mL")),
        4: Ask("QD", ("QD",)),
        5: Ask("D7", ("7",)),
        6: Ask("D7", ("d",)),
        7: Ask("D7", ("http://unitsofmeasure.org",)),
    },
    "XAD[Address]": {
        12: Ask("HV", ("HV",)),
        13: Ask("H", (EXT + "alternate-codes",)),
        14: Ask("H", ("H",)),
        15: Ask("H"),
        17: Ask("QZ7", ("QZ7",)),
        19: Ask("QZ7", ("QZ7",)),
        21: Ask(whole=f"^^Qbcity^^^^^^^^^{TIME}&{TIME}", expected=(WHEN,)),
    },
    "XCN[Annotation-Author]": {**_person((11, 12, 22)), 23: Ask("G", (_ORDER,))},
    "XCN[PractitionerRole]": {**_person((11, 12, 22)), 23: Ask("G", (_ORDER,))},
    "XCN[Practitioner]": {**_person((11, 12, 22)), 23: Ask("G", (_ORDER,))},
    "XON[Organization]": {
        5: Ask(whole="Qborg^^7", expected=("7",)),
        6: Ask(whole="Qborg^^7^3"),
        7: Ask(whole="Qborg^^7^3", expected=("3",)),
        8: Ask(whole="Qborg^^7^3^M10"),
        9: Ask(whole="Qborg^^7^3^M10", expected=("M10",)),
        10: _NAMED,
        11: _AUTHORITY,
        13: Ask("XX"),
    },
    "XON[string]": {13: Ask(whole="^^^^^^^^^QZ7", expected=("QZ7",))},
    "XPN[HumanName]": {
        13: Ask("G"),
        12: Ask(whole=f"Qbfam^^^^^^^^^{TIME}&{TIME}", expected=(WHEN,)),
    },
    "XTN[ContactPoint]": {
        3: Ask(whole="0888^^PH", expected=("0888",)),
        4: Ask("WPN", ("work",)),
        5: Ask("FX", ("fax",)),
        6: Ask(whole="^^^q@b.example"),
        7: Ask(whole="0888"),
        8: Ask(whole="^^Internet^q@b.example", expected=("q@b.example",)),
        15: Ask(whole="^^PH^^^22^333", expected=("22 333",)),
        16: Ask(whole="^^PH^^1^22^333", expected=("+1 22 333",)),
        17: Ask(whole="^^PH^^1^22^333^4", expected=("+1 22 333 X4",)),
        18: Ask(whole="^^PH^^^22^333^4", expected=("22 333 X4",)),
        24: Ask("0888", ("0888",)),
        30: Ask("2", ("2",)),
    },
}
