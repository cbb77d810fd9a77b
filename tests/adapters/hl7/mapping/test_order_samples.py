"""Whole messages of each type: every leaf in a resource or listed, every resource valid."""

import itertools
import random
from pathlib import Path

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.message_bundle import message_bundle
from adapters.hl7.mapping.transform import supports, transform
from adapters.hl7.message.tokenizer import Message
from fhir_server.r4 import json
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.fields import header, segment
from tests.adapters.hl7.mapping.test_analyzers import check, read, validator
from tests.adapters.hl7.reading import message, profile

__all__ = ["validator"]  # the fixture, which pytest finds by its name

PID = "PID|1||P1^^^HOSP^MR||Rao^Asha^K||19800102|F|||St 1^^Town||555|||M||ACC1^^^HOSP"
PERSON = "7^Enter^Ann^^^^^^HOSP"
DOCTOR = "9^Doc^Cy^^^Dr^^^HOSP"
PV1 = "PV1|1|I|W^1^2||||8^Att^Al^^^^^^HOSP|||||||||||V1^^^HOSP"
ORC = segment(
    "ORC",
    f1="NW",
    f2="O1^HIS",
    f3="F1",
    f4="G1&HIS^G2&LIS",
    f5="IP",
    f7="1^Q6H",
    f8="P1&HIS^P2&LIS",
    f9="20260101100000",
    f10=PERSON,
    f11=PERSON,
    f12=DOCTOR,
    f13="W^1",
    f14="5551234^PRN^PH",
    f15="20260102",
    f16="R^reason^L",
    f17="ORG1^Org^L",
    f18="DEV1^Dev^L",
    f19=PERSON,
    f21="Clinic^L^^^^HOSP^XX^^^CL1",
    f22="St 1^^City",
    f23="5550000^PRN^PH",
    f24="Road 5^^Town",
    f28="R",
    f29="I",
    f33="ALT1^^^HIS",
    f38="FG1^LIS",
)
OBR = segment(
    "OBR",
    f1="1",
    f2="O1^HIS",
    f4="GLU^Glucose^L",
    f5="X",
    f6="202601020800",
    f7="20260101",
    f9="5^mL",
    f10=PERSON,
    f11="A",
    f13="F^Fasting^HL70916~X^other^L",
    f14="20260101",
    f15="BLD&Blood^EDTA^note^ARM&Arm&L^^HEM^CD",
    f16=DOCTOR,
    f17="555",
    f27="1^Q6H^D10^20260101^^R^^text^^^^3",
    f28=PERSON,
    f29="P1^F1",
    f31="R1^reason^L",
    f39="c^collector said^L",
    f46="P^supp^L",
    f53="A2^^^HIS",
    f54="P9^F9",
)
TQ1 = segment(
    "TQ1",
    f1="1",
    f2="2^mL",
    f3="Q6H^DW^2^4^6^h^^AC^30^min",
    f4="0800",
    f6="10^d",
    f7="20260102",
    f9="S^stat",
    f10="if needed",
    f11="text",
    f12="S",
    f13="30^min",
    f14="10",
)
SPM = segment(
    "SPM",
    f1="1",
    f2="S1&HIS^S2&LIS",
    f3="S0&HIS",
    f4="SER^Serum^HL70487",
    f5="M^mod",
    f6="EDTA~HEPL",
    f7="BIO",
    f8="ARM",
    f11="P",
    f12="5^mL",
    f14="desc",
    f17="202601010900^202601011000",
    f18="20260101",
    f20="Y",
    f21="EX",
    f24="AUT",
    f27="T^Tube",
    f30="ACC1^^^LIS",
    f31="OTH^^^LIS",
    f32="SH1^LIS",
)
SAC = segment("SAC", f1="EXT", f2="ACC2", f3="C1^LIS", f4="C0", f21="10", f22="5", f24="mL")
RXO = segment(
    "RXO",
    f1="ASP^Aspirin^L",
    f2="1",
    f3="2",
    f4="TAB^tablet^L",
    f5="PILL",
    f7="TK^Take^L",
    f9="G",
    f11="30",
    f12="TAB",
    f13="2",
    f14=PERSON,
    f18="500",
    f19="mg^^UCUM",
    f20="HA^Headache^L",
    f25="1",
    f26="mL^^UCUM",
)
SCH = segment(
    "SCH",
    f1="A1^HIS",
    f2="B1^LIS",
    f6="R^Reason^L",
    f7="Checkup^x^HL70276",
    f8="Normal^x^HL70277",
    f9="30",
    f10="min",
    f11="^^^202601050900",
    f12=PERSON,
    f16=DOCTOR,
    f20=PERSON,
    f25="Booked",
    f26="O1^HIS",
    f27="F1",
)
TXA = segment(
    "TXA",
    f1="1",
    f2="DS^Discharge^L",
    f3="TX",
    f4="20260101",
    f6="20260101120000",
    f8="20260102120000",
    f9=PERSON,
    f10=DOCTOR,
    f12="DOC1^HIS",
    f13="DOC0^HIS",
    f14="O1^HIS",
    f15="F1",
    f16="file.pdf",
    f17="AU",
    f18="R",
    f19="UN",
    f21="why",
    f25="Title",
)
FT1 = segment(
    "FT1",
    f1="1",
    f2="TX1",
    f3="B",
    f4="20260101",
    f5="20260102",
    f6="CG",
    f7="C1^Code^L",
    f8="desc",
    f10="2",
    f11="100&USD",
    f13="DEP^Dept^L",
    f19="E11^DM^I10",
    f20=PERSON,
    f21=DOCTOR,
    f22="50&USD",
    f23="F1",
    f25="99213^Visit^C4",
)
RXA = segment(
    "RXA",
    f1="0",
    f2="1",
    f3="20260101",
    f5="08^HepB^CVX",
    f6="0.5",
    f7="mL^^UCUM",
    f9="01^Historical^NIP001",
    f10=PERSON,
    f15="LOT1",
    f16="20270101",
    f17="MSD^Merck^MVX",
    f18="00^refused^NIP002",
    f19="RS^rs^L",
    f20="RE",
    f21="A",
    f22="20260101",
    f27="W^1",
)
ODD = (
    *("", '""', "x", "-3", "999", "20260101", "20261399", "A^B^C", "A&B^C&D", "~", "a~b", "^", "&"),
    "20260101^20250101",
    *(
        "1^2^3^4^5^6^7^8^9^10",
        "Q6H",
        "^DW^8",
        "\\X0D\\",
        "F^F^HL70916",
        "20260101^20250101",
        "^^X0",
    ),
)
SAMPLES: dict[str, tuple[str, ...]] = {
    "OML^O21": (
        *(PID, "PD1|||Fac^^1", "NK1|1|Mum^M|MTH", PV1, "IN1|1|PL^Plan|INS1|Insurer"),
        *("AL1|1|DA|PEN^Penicillin|SV", ORC, TQ1, OBR, "NTE|1||order note"),
        *("DG1|1||E11^DM^I10", "OBX|1|NM|WT^Weight||70|kg", SPM, SAC, "ZZZ|local"),
    ),
    "OML^O33": (PID, SPM, SAC, ORC, TQ1, OBR, ORC.replace("O1^", "O2^"), OBR.replace("O1^", "O2^")),
    "OML^O35": (PID, PV1, SPM, SAC, ORC, OBR, SAC, ORC.replace("O1^", "O2^"), OBR),
    "ORM^O01": (PID, PV1, ORC, TQ1, RXO, "NTE|1||n", "RXR|PO^Oral^HL70162|ARM||M^meth|I^instr"),
    "SIU^S12": (
        *(SCH, "NTE|1||note", PID, PV1, "DG1|1||E11^DM^I10", "RGS|1"),
        segment(
            "AIS", f1="1", f3="S^Service^L", f4="202601050900", f7="30", f8="min", f10="Booked"
        ),
        "NTE|1||for the service",
        segment(
            "AIG", f1="1", f3="EQ^Device^L", f4="EQ^equip^L", f9="10", f10="min", f14="Pending"
        ),
        segment("AIL", f1="1", f3="W^1^2", f4="C"),
        segment("AIP", f1="1", f3=DOCTOR, f4="D^Doctor^L", f6="20260105090000", f9="15", f10="M"),
    ),
    "MDM^T02": (
        *("EVN|T02|20260101000000", PID, PV1, ORC, OBR, TXA, "OBX|1|TX|R^Report^L||line 1"),
        *("OBX|2|TX|R^Report^L||line 2~line 3", "NTE|1||a note"),
        "OBX|3|ED|P^PDF^L||^AP^PDF^Base64^JVBERi0xLjQK",
        *("OBX|4|RP|L^Link^L||http://h/x^^AP^PDF", "OBX|5|NM|N^Num^L||5|mg"),
    ),
    "MDM^T10": ("EVN|T10|20260101000000", PID, TXA, "OBX|1|FT|R^Report^L||text"),
    "DFT^P03": (
        *("EVN|P03|20260101000000", PID, PV1, FT1),
        segment("FT1", f1="2", f4="20260101^20260103", f6="CG", f7="C2"),
        segment("FT1", f1="3", f4="20260101", f6="PY", f7="C2"),
        *("PR1|1||P1^Proc^L|x|20260101", "DG1|1||E11^DM^I10", "IN1|1|PL^Plan|INS1|Insurer"),
    ),
    "VXU^V04": (
        *(PID, "PD1|||Fac^^1", "NK1|1|Mum^M|MTH", ORC, RXA, "RXR|IM^x^HL70162|LA^x^HL70163"),
        *("OBX|1|CE|64994-7^Elig^LN|1|V02^x^HL70064||||||F", "NTE|1||on obx"),
    ),
}


def shown(found: Message, valid: Validator) -> None:
    """Check what a message becomes, and its message Bundle."""
    mapped = transform(found, profile())
    check(found, mapped, valid)
    raw = json.encode(message_bundle(found, profile(), mapped))
    assert valid.validate("Bundle", raw, json.decode(raw)) == []


@pytest.mark.parametrize("kind", SAMPLES)
def test_sample_is_valid_and_accounted_for(kind: str, validator: Validator) -> None:
    shown(message(*SAMPLES[kind], header=header(kind)), validator)


@pytest.mark.parametrize("kind", SAMPLES)
def test_sample_maps_to_the_same_keys_again(kind: str) -> None:
    one, other = (transform(message(*SAMPLES[kind], header=header(kind)), profile()) for _ in "ab")
    assert [write.identity for write in one.writes] == [write.identity for write in other.writes]


@pytest.mark.parametrize("seed", range(8))
def test_mutated_sample_is_valid_and_accounted_for(
    seed: int,
    validator: Validator,
) -> None:
    chance = random.Random(seed)
    for kind, sample in SAMPLES.items():
        segments = [_mutated(chance, one) for one in sample]
        if chance.random() < 0.2:
            chance.shuffle(segments)
        shown(message(*segments, header=header(kind)), validator)


def _mutated(chance: random.Random, line: str) -> str:
    """Return a segment in which one field may hold something else; PID stays."""
    fields = line.split("|")
    if fields[0] != "PID" and chance.random() < 0.4:
        fields[chance.randrange(1, len(fields))] = chance.choice(ODD)
    return "|".join(fields)


def test_orders_of_the_public_collection_are_valid(
    shared: Path,
    validator: Validator,
) -> None:
    refused, good = [], 0
    files = sorted((shared / "data/hl7v2").rglob("*.hl7"))
    for found in itertools.chain.from_iterable(map(read, files)):
        kind = found.header.first(9)
        place = (kind.peek(1), kind.peek(2)) if kind is not None else ("", "")
        if place[0] not in {"OML", "ORM"} or not supports(*place):
            continue
        try:
            shown(found, validator)
        except Refusal as refusal:
            refused.append(refusal.reason)
        else:
            good += 1
    # Five of the collection name nobody.
    assert (good, refused) == (9, ["NO_PATIENT_ID"] * 5)
