"""A value for each field that a row of the guide maps, and what is expected of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.hl7v2.ask import Ask
from tests.conformance.hl7v2.asked import ASKED
from tests.conformance.hl7v2.asked_parts import PARTS
from tests.conformance.hl7v2.guide import Code, Row

_TIME: Final = "20260102030405+0530"
_WHEN: Final = "2026-01-02T03:04:05+05:30"
# By data type: what is sent, and the values that are to be found.
BY_TYPE: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "CX": ("QZ7^^^QAUTH^MR", ("QZ7",)),
    "EI": ("QZ7^QNS", ("QZ7",)),
    "EIP": ("QZ7&QNS^QZ8&QNS", ("QZ7",)),
    "CWE": ("QZ7^Qtext", ("QZ7", "Qtext")),
    "CNE": ("QZ7^Qtext", ("QZ7", "Qtext")),
    "CE": ("QZ7^Qtext", ("QZ7", "Qtext")),
    "FC": ("QZ7", ("QZ7",)),
    "XPN": ("Qfam^Qgiv", ("Qfam", "Qgiv")),
    "XCN": ("QZ7^Qfam^Qgiv^^^^^^QAUTH", ("QZ7", "Qfam", "Qgiv")),
    "XON": ("Qorg^^^^^QAUTH^XX^^^QZ7", ("Qorg", "QZ7")),
    "XAD": ("Qline^^Qcity^^Q123", ("Qline", "Qcity", "Q123")),
    "XTN": ("^^PH^^^^^^^^^+44556677", ("+44556677",)),
    "PL": ("QPOC^QRO^QBD^QFAC", ("QPOC", "QRO", "QBD", "QFAC")),
    "DLD": ("QZ7", ("QZ7",)),
    "DLN": ("QZ7^QST^20300101", ("QZ7",)),
    "PLN": ("QZ7^MD", ("QZ7",)),
    "HD": ("QZ7", ("QZ7",)),
    "DTM": (_TIME, (_WHEN,)),
    "TS": (_TIME, (_WHEN,)),
    "DT": ("20260102", ("2026-01-02",)),
    "TM": ("1415", ("14:15:00",)),
    "DR": ("20260102030405+0530^20260103030405+0530", (_WHEN,)),
    "NM": ("7", ("7",)),
    "CQ": ("7^mL", ("7", "mL")),
    "NDL": ("QZ7&Qfam&Qgiv", ("QZ7", "Qfam", "Qgiv")),
    "RPT": ("QD", ("QD",)),
    "SPS": ("QZ7&Qtext&L", ("QZ7", "Qtext")),
    "MSG": ("ORU^R01^ORU_R01", ("R01",)),
    "PT": ("P^T", ("P", "T")),
    "TQ": ("7^mL", ("7",)),
    "ID": ("QZ7", ("QZ7",)),
    "OG": ("QZ7", ("QZ7",)),
}
_TEXT: Final = ("QZ7", ("QZ7",))
# Where the map of a data type takes one part only.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "EIP[Identifier-FillerAssignedIdentifier]": ("QZ8",),
    "CWE[code]": ("QZ7",),
    "CWE[Code]": ("QZ7",),
    "CWE[Quantity]": ("Qtext",),
    "CWE[Identifier]": ("QZ7",),
    "CQ[UnsignedInt]": ("7",),
    "CQ[Decimal]": ("7",),
    "CQ[Code]": ("mL",),
    "XON[string]": ("Qorg",),
    "XPN[String]": ("Qfam",),
    "HD[MessageHeader.source-endpoint]": ("urn:oid:1.2.3",),
    "HD[MessageHeader.destination-endpoint]": ("urn:oid:1.2.3",),
}
_TEXTS: Final[Mapping[str, str]] = {
    "HD[MessageHeader.source-endpoint]": "QZ7^1.2.3^ISO",
    "HD[MessageHeader.destination-endpoint]": "QZ7^1.2.3^ISO",
    "CWE[String]": "^Qtext",
}
# OBX-5 by OBX-2; of SN by the sign that the condition asks for.
_VALUES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "NM": ("7", ("7",)),
    **dict.fromkeys(("CF", "CNE", "CE", "CWE"), ("QZ7^Qtext", ("QZ7", "Qtext"))),
    "DR": BY_TYPE["DR"],
    "DTM": BY_TYPE["DTM"],
    "NR": ("1^9", ("1", "9")),
    "VR": ("1^9", ("1-9",)),
    "TM": BY_TYPE["TM"],
    "NA": ("1^2^3", ("1 2 3",)),
    "SN <>": ("<>^7", ("<> 7 mg",)),
    "SN :": ("^1^:^128", ("1", "128")),
    "SN -": ("^1^-^9", ("1", "9")),
    "SN +": ("^7^+", ("7 + mg",)),
    "SN": (">^7", (">", "7")),
}
_ORIGINAL: Final = ("SN <>", "SN +")
_FIELD: Final = r"([A-Z][A-Z0-9]{2})[-.](\d+)(?:\.(\d+))?"
_POSITIVE: Final = re.compile(rf"{_FIELD}\s*(?:IS\s+)?(?<!NOT )(?:VALUED|VALUE\b)")
_EQUAL: Final = re.compile(rf"{_FIELD}\s*(?:EQUALS|IS|IN|=)\s*\(?\s*[\"']([^\"']+)[\"']")


@dataclass(frozen=True, slots=True)
class Probe:
    """What is sent in the field, what is found for it, and what else the message has."""

    text: str
    expected: tuple[str, ...]
    more: Mapping[tuple[str, int], str]
    stage: str
    said: Mapping[str, Any]
    kind: str
    kept: bool
    whole: str


def probe(row: Row, maps: Mapping[str, list[Code]]) -> Probe:
    """Return how a row is asked; raises KeyError for a code map that the guide does not have."""
    sent, expected = BY_TYPE.get(row.data_type.strip(), _TEXT)
    sent = _TEXTS.get(row.data_type_map, sent)
    expected = _PARTS.get(row.data_type_map, expected)
    code = _code(row, maps)
    if code is not None:
        sent, expected = code.code, (code.target,)
    more: dict[tuple[str, int], str] = {}
    for name, number, part, value in _said(row.condition):
        if (name, number) == row.place:
            sent = _put(sent, part, value) if value else sent
        else:
            more[name, number] = _put("", part, value or "QV")
    if row.place in {("OBX", 5), ("OBX", 6)}:
        sent, expected = _value(row, sent, expected, more)
    if (constant := _constant(row.assignment)) is not None:
        expected = (constant,)
    ask = (ASKED.get(row.map) or PARTS.get(row.map, {})).get(row.line, Ask())
    return Probe(
        sent if ask.text is None else ask.text,
        ask.expected or expected,
        {**more, **ask.more},
        ask.stage,
        ask.said,
        ask.kind,
        ask.kept or constant is not None,
        ask.whole,
    )


def _value(
    row: Row, sent: str, expected: tuple[str, ...], more: dict[tuple[str, int], str]
) -> tuple[str, tuple[str, ...]]:
    """Return what is asked of OBX-5 or OBX-6; the other one is put into `more`."""
    kind = more.get(("OBX", 2), "")
    if kind == "SN":
        signs = re.search(r'(?<!NOT IN \()(?:5\.3 IN \(|5\.3 EQUALS )"(.)"', row.condition)
        kind = "SN <>" if '5.1  EQUALS "<>"' in row.condition else "SN"
        kind += f" {signs[1]}" if signs else ""
    value, found = _VALUES.get(kind, _TEXT)
    if row.map == "OBX[Observation-Component]":
        value = f"{value}~{value}"
    if row.place == ("OBX", 6):
        more["OBX", 5] = value if kind != "NA" else value.replace("1^2^3", _VALUES["NM"][0])
        more["OBX", 2] = "NM" if kind == "NA" else more["OBX", 2]
        return sent, expected
    if kind in _ORIGINAL:
        more["OBX", 6] = "mg"
    return value, found


def _code(row: Row, maps: Mapping[str, list[Code]]) -> Code | None:
    name = row.vocabulary.replace("Yes/No", "YesNo").replace("/", "").replace(" ", "")
    if not name or row.assignment:
        return None
    return next((c for c in maps[name] if c.code and c.target and "<" not in c.code), None)


def _constant(assignment: str) -> str | None:
    """Return the constant of an assignment, None where it is none or is computed."""
    found = re.fullmatch(r"\s*[\"\u201c]\s*([^\"+\u201d]*?)\s*[\"\u201d]?\s*", assignment)
    return found[1] if found else None


def _said(condition: str) -> list[tuple[str, int, int, str]]:
    """Return (segment, field, component, value) that a condition wants; "" is any value."""
    text = re.sub(r"\s+", " ", condition)
    found = [(m[1], int(m[2]), int(m[3] or 1), m[4]) for m in _EQUAL.finditer(text)]
    found += [(m[1], int(m[2]), int(m[3] or 1), "") for m in _POSITIVE.finditer(text)]
    return found


def _put(text: str, part: int, value: str) -> str:
    parts = text.split("^")
    parts += [""] * (part - len(parts))
    parts[part - 1] = value
    return "^".join(parts)
