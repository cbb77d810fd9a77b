"""The maps of HL7 v2 tables to FHIR codes.

https://hl7.org/fhir/uv/v2mappings/STU1/coding_maps.html
Where that guide is blank the project decides (docs/hl7-mapping.md).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

THO: Final = "http://terminology.hl7.org/CodeSystem/"
EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/"
EXTENSION_R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"

KNOWN: Final[Mapping[str, frozenset[str]]] = {
    table: frozenset(codes)
    for table, codes in json.loads(
        Path(__file__).with_name("data").joinpath("tables.json").read_text()
    ).items()
}

SYSTEMS: Final = {  # table 0396
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "MVX": "http://hl7.org/fhir/sid/mvx",
    "NDC": "http://hl7.org/fhir/sid/ndc",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "C4": "http://www.ama-assn.org/go/cpt",
    "ATC": "http://www.whocc.no/atc",
    "WC": "http://www.whocc.no/atc",
    "ISO639": "urn:ietf:bcp:47",
}

OIDS: Final = {
    "2.16.840.1.113883.4.6": "http://hl7.org/fhir/sid/us-npi",
    "2.16.840.1.113883.4.1": "http://hl7.org/fhir/sid/us-ssn",
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "2.16.840.1.113883.6.8": "http://unitsofmeasure.org",
}

GENDER: Final = {"F": "female", "M": "male", "O": "other", "A": "other", "N": "other"}  # 0001

ENCOUNTER_CLASS: Final = {  # 0004
    "E": (THO + "v3-ActCode", "EMER"),
    "I": (THO + "v3-ActCode", "IMP"),
    "O": (THO + "v3-ActCode", "AMB"),
    "P": (THO + "v3-ActCode", "PRENC"),
    **{code: (THO + "v2-0004", code) for code in "RBCNU"},
}
ENCOUNTER_STATUS: Final = {"P": "planned", "U": "unknown"}  # 0004; others in-progress

OBSERVATION_STATUS: Final = {  # 0085
    "A": "amended",
    "B": "amended",
    "C": "corrected",
    "D": "entered-in-error",
    "W": "entered-in-error",
    "F": "final",
    "I": "registered",
    "O": "registered",
    "N": "unknown",
    "P": "preliminary",
    "R": "preliminary",
    "S": "preliminary",
    "U": "final",
    "V": "final",
    "X": "cancelled",
}

REPORT_STATUS: Final = {  # 0123
    "O": "registered",
    "I": "registered",
    "S": "registered",
    "P": "preliminary",
    "C": "corrected",
    "R": "partial",
    "F": "final",
    "X": "cancelled",
    "A": "partial",
    "M": "preliminary",
    "N": "registered",
}
UNMAPPABLE_REPORT_STATUS: Final = frozenset("YZ")

STATUS_RANK: Final = {
    "unknown": 0,
    "registered": 1,
    "partial": 2,
    "preliminary": 3,
    "final": 4,
    "amended": 5,
    "corrected": 5,
    "cancelled": 6,
    "entered-in-error": 6,
}

_ORDER_CONTROL = {  # 0119
    "active": "AF CA HD NW OK PR PY RL RO RQ CH MC NA OE OP OR PA RF RR SN XO XR XX",
    "revoked": "CR DC DF DR OC OD RP RU UA",
    "on-hold": "HR OH",
    "completed": "FU CN OF",
}
ORDER_CONTROL_STATUS: Final = {
    code: status for status, codes in _ORDER_CONTROL.items() for code in codes.split()
}
ORDER_STATUS: Final = {  # 0038
    "A": "active",
    "CA": "revoked",
    "DC": "revoked",
    "RP": "revoked",
    "CM": "completed",
    "ER": "entered-in-error",
    "HD": "on-hold",
    "IP": "active",
    "SC": "active",
}

PRIORITY: Final = {"S": "stat", "A": "asap", "R": "routine"}  # 0485

_INTERPRETATION = (  # 0078
    "< > A AA B CAR D DET E EX EXP H HH HU I IE IND L LL LU MS N NCL ND NEG NR NS POS R RR S SDD"
    " SYN-R SYN-S U UNE VS W WR"
)
INTERPRETATION: Final = {
    **dict.fromkeys(_INTERPRETATION.split(), THO + "v3-ObservationInterpretation"),
    **dict.fromkeys(("AC", "HM", "OBX", "QCF", "TOX"), THO + "v2-0078"),
}

_MARITAL_STATUS = "A:L E:L D:D M:M S:S W:W C:C G:T P:T R:T N:A I:I B:U"  # 0002
MARITAL_STATUS: Final = {
    **{
        code: (THO + "v3-MaritalStatus", mapped)
        for code, mapped in (pair.split(":") for pair in _MARITAL_STATUS.split())
    },
    "U": (THO + "v3-NullFlavor", "UNK"),
    "O": (THO + "v3-NullFlavor", "OTH"),
    "T": (THO + "v3-NullFlavor", "NAVU"),
}

_RELIGION = (  # 0006
    "HIN:1020 HSH:1020 HVA:1020 HOT:1020 JAI:1024 MOS:1023 MSH:1045 MSU:1049 SIK:1047 BMA:1029"
    " BTH:1051 CHR:1013 CAT:1041 J:1026 A:1007 ATH:1007 AGN:1004 ANG:1005 AOG:1061 B:1009 BAP:1009"
    " BAH:1008 BRE:1062 CHS:1063 CNF:1014 COC:1064 COG:1065 COL:1066 CRR:1079 REC:1079 DOC:1067"
    " E:1069 EPI:1069 EOT:1068 FRQ:1071 QUA:1071 FUL:1072 JWN:1025 L:1028 LUT:1028 M:1027 MOM:1027"
    " MET:1073 NAM:1074 NAZ:1075 ORT:1036 P:1077 PRO:1077 PEN:1038 PRC:1078 PRE:1076 SAA:1080"
    " SEV:1001 SHN:1046 SPI:1048 UCC:1082 UNI:1052 UNU:1081"
)
RELIGION: Final = {
    code: (THO + "v3-ReligiousAffiliation", mapped)
    for code, mapped in (pair.split(":") for pair in _RELIGION.split())
}

NAME_USE: Final = {  # 0200
    "L": "official",
    "R": "official",
    "D": "usual",
    "M": "maiden",
    "N": "nickname",
    "MSK": "anonymous",
    "S": "anonymous",
    "TEMP": "temp",
    "NAV": "temp",
    "NB": "temp",
    "BAD": "old",
    "NOUSE": "old",
}

ADDRESS_USE: Final = {  # 0190
    "BA": "old",
    "BI": "billing",
    "C": "temp",
    "B": "work",
    "O": "work",
    "H": "home",
    "P": "home",
    "V": "temp",
}
ADDRESS_TYPE: Final = {"M": "postal", "SH": "postal"}

TELECOM_USE: Final = {  # 0201
    "PRN": "home",
    "WPN": "work",
    "PRS": "mobile",
    "ORN": "home",
    "VHN": "temp",
}
TELECOM_SYSTEM: Final = {  # 0202
    "PH": "phone",
    "FX": "fax",
    "BP": "pager",
    "INTERNET": "email",
    "X.400": "email",
    "MD": "other",
    "SAT": "other",
    "TDD": "other",
    "TTY": "other",
    "CP": "phone",
}

SPECIMEN_METHOD: Final = {  # 0488
    "BIO": ("http://snomed.info/sct", "129314006"),
    "SCRAPS": ("http://snomed.info/sct", "129323009"),
}
