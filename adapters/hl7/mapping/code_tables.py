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

_RELIGION = (  # 0006
    "N:1020 HIN:1020 HSH:1020 HVA:1020 HOT:1020 JAI:1024 MOS:1023 MSH:1045 MSU:1049 SIK:1047"
    " BMA:1029 BTH:1051 CHR:1013 CAT:1041 J:1026 A:1007 ATH:1007 AGN:1004 ANG:1005 AOG:1061"
    " B:1009 BAP:1009"
    " BAH:1008 BRE:1062 CHS:1063 CNF:1014 COC:1064 COG:1065 COL:1066 CRR:1079 REC:1079 DOC:1067"
    " E:1069 EPI:1069 EOT:1068 FRQ:1071 QUA:1071 FUL:1072 JWN:1025 L:1028 LUT:1028 M:1027 MOM:1027"
    " MET:1073 NAM:1074 NAZ:1075 ORT:1036 P:1077 PRO:1077 PEN:1038 PRC:1078 PRE:1076 SAA:1080"
    " SEV:1001 SHN:1046 SPI:1048 UCC:1082 UNI:1052 UNU:1081"
)
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    table: frozenset(codes)
    for table, codes in json.loads(
        Path(__file__).with_name("data").joinpath("tables.json").read_text()
    ).items()
} | {
    # Tables of HL7 v2.9 chapter 2C that the R4 core package does not have.
    "0006": frozenset(pair.partition(":")[0] for pair in _RELIGION.split()),
    "0112": frozenset(f"{number:02}" for number in (*range(1, 10), *range(20, 43))),
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

_ACT: Final = THO + "v3-ActCode"
_ROLE: Final = THO + "v3-RoleCode"
_PARTICIPATION: Final = THO + "v3-ParticipationType"

_RELATIONSHIP = (  # 0063
    "SEL:ONESELF SPO:SPS DOM:SIGOTHR CHD:CHILD GCH:GRNDCHILD NCH:NCHILD SCH:STPCHLD FCH:CHLDFOST"
    " PAR:PRN MTH:MTH FTH:FTH GRP:GRPRN EXF:EXT SIB:SIB BRO:BRO SIS:SIS FND:FRND"
)
RELATIONSHIP: Final = {
    **{
        code: (_ROLE, mapped)
        for code, mapped in (pair.split(":") for pair in _RELATIONSHIP.split())
    },
    "EMR": (THO + "v2-0131", "E"),
    "EMC": (THO + "v2-0131", "C"),
    "UNK": (THO + "v2-0131", "U"),
    "OTH": (THO + "v2-0131", "O"),
}

_DISCHARGE = {  # 0112
    "home": ("01", "06", "08"),
    "other-hcf": ("02", "05"),
    "snf": ("03",),
    "long": ("04",),
    "aadvice": ("07",),
    "exp": (*map(str, range(20, 30)), "40", "41", "42"),
    "oth": ("09",),
}
DISCHARGE_DISPOSITION: Final = {
    code: (THO + "discharge-disposition", mapped)
    for mapped, codes in _DISCHARGE.items()
    for code in codes
}

SPECIAL_ARRANGEMENT: Final = {"A2": (THO + "encounter-special-arrangements", "wheel")}  # 0009
NO_ARRANGEMENT: Final = frozenset(("A0", "A1"))  # the patient walks: nothing to arrange
HOSPITAL_SERVICE: Final = {  # 0069
    "MED": (THO + "service-type", "382"),
    "URO": (THO + "service-type", "222"),
}
ENCOUNTER_PRIORITY: Final = {  # 0217
    "1": (THO + "v3-ActPriority", "EM"),
    "2": (THO + "v3-ActPriority", "UR"),
    "3": (THO + "v3-ActPriority", "EL"),
}
EVENT_REASON: Final = {  # 0062
    "01": (THO + "v3-ActReason", "PATRQT"),
    "02": (THO + "v3-ActReason", "TREAT"),
    "03": (THO + "v3-ActReason", "HOPERAT"),
}
ALLERGY_CATEGORY: Final = {  # 0127
    "DA": "medication",
    "FA": "food",
    "EA": "environment",
    "PA": "environment",
    "LA": "environment",
    "AA": "biologic",
}
CONTRAINDICATION: Final = "MC"  # of 0127: no allergy, so no type
CRITICALITY: Final = {"SV": "high", "MI": "low"}  # 0128
REACTION_SEVERITY: Final = {"SV": "severe", "MO": "moderate", "MI": "mild"}  # 0128
DIAGNOSIS_USE: Final = {"A": (THO + "diagnosis-role", "AD")}  # 0052
CONFIDENTIALITY: Final = {  # 0177
    "V": (THO + "v3-Confidentiality", "V"),
    "R": (THO + "v3-Confidentiality", "R"),
    "AID": (_ACT, "HIV"),
    "HIV": (_ACT, "HIV"),
    "PSY": (_ACT, "PSY"),
    "ETH": (_ACT, "ETHUD"),
    "EMP": (_ACT, "EMP"),
    **{code: (THO + "v2-0177", code) for code in ("U", "UWM", "VIP")},
}
PARTICIPANT: Final = {  # 0443, 0912
    "AD": (_PARTICIPATION, "ADM"),
    "AT": (_PARTICIPATION, "ATND"),
    "CP": (_PARTICIPATION, "CON"),
    "RP": (_PARTICIPATION, "REF"),
    "PP": ("http://snomed.info/sct", "446050000"),
    "PI": ("http://snomed.info/sct", "40570005"),
    "PH": (THO + "practitioner-role", "pharmacist"),
}
PRIMARY_CARE: Final = frozenset(("PP", "FHCP"))  # 0443, 0912
