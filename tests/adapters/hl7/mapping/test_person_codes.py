"""The code tables of persons and visits, each code as the project's specification lists it."""

from typing import Any

import pytest

from adapters.hl7.mapping import code_tables
from tests.adapters.hl7.reading import THO

V3 = f"{THO}/v3-"


def pairs(text: str, system: str = "") -> dict[str, Any]:
    """Return `A:x B,C:y` as a map from code to target, or to (system, target)."""
    found: dict[str, Any] = {}
    for part in text.split():
        codes, _, target = part.partition(":")
        for code in codes.split(","):
            found[code] = (system, target) if system else target
    return found


TABLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "0001": (code_tables.GENDER, pairs("F:female M:male O,A,N:other")),
    "0004": (
        code_tables.ENCOUNTER_CLASS,
        pairs("E:EMER I:IMP O:AMB P:PRENC", f"{V3}ActCode")
        | {code: (f"{THO}/v2-0004", code) for code in "RBCNU"},
    ),
    "0004 status": (code_tables.ENCOUNTER_STATUS, pairs("P:planned U:unknown")),
    "0002": (
        code_tables.MARITAL_STATUS,
        pairs("A,E:L D:D M:M S:S W:W C:C G,P,R:T N:A I:I B:U", f"{V3}MaritalStatus")
        | pairs("U:UNK O:OTH T:NAVU", f"{V3}NullFlavor"),
    ),
    "0006": (
        code_tables.RELIGION,
        pairs(
            "N,HIN,HSH,HVA,HOT:1020 JAI:1024 MOS:1023 MSH:1045 MSU:1049 SIK:1047 BMA:1029 BTH:1051"
            " CHR:1013 CAT:1041 J:1026 A,ATH:1007 AGN:1004 ANG:1005 AOG:1061 B,BAP:1009 BAH:1008"
            " BRE:1062 CHS:1063 CNF:1014 COC:1064 COG:1065 COL:1066 CRR,REC:1079 DOC:1067"
            " E,EPI:1069 EOT:1068 FRQ,QUA:1071 FUL:1072 JWN:1025 L,LUT:1028 M,MOM:1027 MET:1073"
            " NAM:1074 NAZ:1075 ORT:1036 P,PRO:1077 PEN:1038 PRC:1078 PRE:1076 SAA:1080 SEV:1001"
            " SHN:1046 SPI:1048 UCC:1082 UNI:1052 UNU:1081",
            f"{V3}ReligiousAffiliation",
        ),
    ),
    "0063": (
        code_tables.RELATIONSHIP,
        pairs(
            "SEL:ONESELF SPO:SPS DOM:SIGOTHR CHD:CHILD GCH:GRNDCHILD NCH:NCHILD SCH:STPCHLD"
            " FCH:CHLDFOST PAR:PRN MTH:MTH FTH:FTH GRP:GRPRN EXF:EXT SIB:SIB BRO:BRO SIS:SIS"
            " FND:FRND",
            f"{V3}RoleCode",
        )
        | pairs("EMR:E EMC:C UNK:U OTH:O", f"{THO}/v2-0131"),
    ),
    "0112": (
        code_tables.DISCHARGE_DISPOSITION,
        pairs(
            "01,06,08:home 02,05:other-hcf 03:snf 04:long 07:aadvice 09:oth"
            " 20,21,22,23,24,25,26,27,28,29,40,41,42:exp",
            f"{THO}/discharge-disposition",
        ),
    ),
    "0190 use": (
        code_tables.ADDRESS_USE,
        pairs("BA:old BI:billing C,V:temp B,O:work H,P:home"),
    ),
    "0190 type": (code_tables.ADDRESS_TYPE, pairs("M,SH:postal")),
    "0200": (
        code_tables.NAME_USE,
        pairs(
            "L,R:official D:usual M:maiden N:nickname MSK,S:anonymous TEMP,NAV,NB:temp"
            " BAD,NOUSE:old"
        ),
    ),
    "0201": (code_tables.TELECOM_USE, pairs("PRN,ORN:home WPN:work PRS:mobile VHN:temp")),
    "0202": (
        code_tables.TELECOM_SYSTEM,
        pairs("PH,CP:phone FX:fax BP:pager INTERNET,X.400:email MD,SAT,TDD,TTY:other"),
    ),
    "0217": (code_tables.ENCOUNTER_PRIORITY, pairs("1:EM 2:UR 3:EL", f"{V3}ActPriority")),
    "0062": (code_tables.EVENT_REASON, pairs("01:PATRQT 02:TREAT 03:HOPERAT", f"{V3}ActReason")),
    "0127": (
        code_tables.ALLERGY_CATEGORY,
        pairs("DA:medication FA:food EA,PA,LA:environment AA:biologic"),
    ),
    "0128 criticality": (code_tables.CRITICALITY, pairs("SV:high MI:low")),
    "0128 reaction": (code_tables.REACTION_SEVERITY, pairs("SV:severe MO:moderate MI:mild")),
    "0052": (code_tables.DIAGNOSIS_USE, pairs("A:AD", f"{THO}/diagnosis-role")),
    "0177": (
        code_tables.CONFIDENTIALITY,
        pairs("V:V R:R", f"{V3}Confidentiality")
        | pairs("AID,HIV:HIV PSY:PSY ETH:ETHUD EMP:EMP", f"{V3}ActCode")
        | {code: (f"{THO}/v2-0177", code) for code in ("U", "UWM", "VIP")},
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_every_code_of_a_table(table: str) -> None:
    actual, expected = TABLES[table]
    assert actual == expected


@pytest.mark.parametrize(
    "table",
    ["0001", "0002", "0006", "0009", "0062", "0063", "0112", "0116", "0127", "0128", "0131"],
)
def test_codes_of_these_tables_keep_their_system(table: str) -> None:
    assert code_tables.KNOWN[table]
