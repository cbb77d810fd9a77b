"""Every leaf of laboratory messages is in a resource or listed, and every resource valid."""

from typing import Any

import pytest

from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.accounting import valued
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.mapping import test_microbiology as micro
from tests.adapters.hl7.mapping import test_quality_control as qc
from tests.adapters.hl7.mapping.test_analyzers import check
from tests.adapters.hl7.reading import MSH, PID, message, profile

OBR = "OBR|1|O1|F1|PANEL^Panel^L|||20260101120000"
LINES = (
    "OBX|1|TX|GROSS^Gross^L|1|first~line||||||F",
    "OBX|2|TX|GROSS^Gross^L|1|second~third||||||F",
)
PIECES = [
    f"OBX|{n}|ED|PDF^Report^L||LIS^TEXT^PDF^Base64^{part}||||||F|||20260101"
    for n, part in enumerate(("JVBE", "Ri0x", "LjQK"), 1)
]

CASES: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "isolate in one message": (
        [PID, micro.CULTURE, micro.ECOLI, micro.SPM, micro.susc(), micro.AMPI, micro.CIPRO],
        MSH, {},
    ),
    "child alone": ([PID, micro.susc(), micro.AMPI], MSH, {}),
    "parent by its text": (
        [PID, micro.CULTURE, micro.ECOLI, micro.susc().replace("600-7", "x"), micro.AMPI], MSH, {},
    ),
    "parent order of 2.8": (
        [PID, "ORC|RE|O2|F2|||||O1&HIS^F1&LIS", micro.susc(parent=""), micro.AMPI], MSH, {},
    ),
    "sub-ids": (
        [PID, micro.CULTURE, micro.ECOLI, micro.AMPI.replace("|1|>=32", "|1.1|>=32")],
        MSH, {"subid_grouping": "prefix"},
    ),
    "groups": (
        [PID, micro.CULTURE, micro.ECOLI.replace("|1|", "|^1^1|", 1),
         micro.AMPI.replace("|1|>=32", "|^1^2|>=32")],
        MSH, {"subid_grouping": "OG"},
    ),
    "control": ([qc.CONTROL, qc.SAC, qc.INV, qc.OBR, qc.OBX], qc.OUL, {}),
    "control beside a named person": ([PID, "PV1|1|I", qc.CONTROL, qc.OBR, qc.OBX], qc.OUL, {}),
    "control in the inbox": ([qc.CONTROL, qc.OBR, qc.OBX], qc.OUL, {"qc_policy": "inbox_only"}),
    "specimen without order": ([PID, qc.PATIENTS, "OBX|1|ST|X^x^L||seen||||||F"], qc.OUL, {}),
    "lines": ([PID, OBR, *LINES], MSH, {"join_text_obx": True}),
    "pieces": ([PID, OBR, *PIECES], MSH, {"ed_join": True}),
    "documents": ([PID, "PV1|1|I|W1||||||||||||||||V1", OBR, *PIECES], MSH, {}),
    "link": ([PID, OBR, "OBX|1|RP|IMG^i^L||http://pacs/1^^TEXT^PDF||||||W"], MSH, {}),
    "number without a type": (
        [PID, OBR, "OBX|1||K^k^L||5.10|mmol/L|3-5||||F"], MSH, {"infer_type": True},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(load())


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_and_everything_is_valid(name: str, validator: Validator) -> None:
    segments, header, said = CASES[name]
    sent = message(*segments, header=header)
    check(sent, transform(sent, profile(**said)), validator)


@pytest.mark.parametrize("name", ["lines", "pieces"])
def test_leaves_of_joined_results_are_those_that_were_sent(name: str) -> None:
    segments, header, said = CASES[name]
    sent = message(*segments, header=header)
    before = list(valued(sent))
    transform(sent, profile(**said))
    assert list(valued(sent)) == before


def test_what_joined_results_say_again_is_listed_as_said_before() -> None:
    segments, header, said = CASES["pieces"]
    found = transform(message(*segments, header=header), profile(**said))
    reasons = {address: reason for address, reason in found.unmapped if "OBX[3]" in address}
    assert reasons == {
        "OBX[3]-1[1].1.1": "control",
        "OBX[3]-2[1].1.1": "duplicate_of",
        **{f"OBX[3]-3[1].{n}.1": "duplicate_of" for n in (1, 2, 3)},
        "OBX[3]-11[1].1.1": "duplicate_of",
        "OBX[3]-14[1].1.1": "duplicate_of",
    }
