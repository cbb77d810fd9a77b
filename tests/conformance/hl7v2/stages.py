"""Minimal messages around one segment, and what they become.

`Told` has the segments of a message in their order, each as its fields by number.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Final

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.message_bundle import message_bundle
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.tokenizer import Message, parse
from tests.conformance.hl7v2 import paths

Json = dict[str, Any]
Fields = dict[int, str]
Told = dict[str, Fields]

BASE: Final = "http://h/fhir"
_MARKS: Final = "^~\\&"
# Message type by stage, with the order of its segments.
STAGES: Final[Mapping[str, tuple[str, str]]] = {
    "ADT": (
        "ADT^A01^ADT_A01",
        "SFT EVN PID PD1 NK1 PV1 PV2 ROL PRT AL1 IAM DG1 PR1 IN1",
    ),
    "MRG": ("ADT^A41^ADT_A30", "EVN PID MRG PV1"),
    "ORU": ("ORU^R01^ORU_R01", "SFT PID PD1 PV1 ORC OBR TQ1 NTE OBX PRT SPM SAC"),
    "NTE": ("ORU^R01^ORU_R01", "PID ORC OBR OBX NTE"),
    "OML": ("OML^O21^OML_O21", "PID PV1 ORC TQ1 OBR NTE DG1 OBX SPM SAC"),
    "ORM": ("ORM^O01^ORM_O01", "PID ORC RXO RXR TQ1 OBX"),
    "SIU": ("SIU^S12^SIU_S12", "SCH TQ1 NTE PID RGS AIS AIG AIL AIP"),
    "MDM": ("MDM^T02^MDM_T02", "EVN PID PV1 ORC OBR TXA OBX NTE"),
    "VXU": ("VXU^V04^VXU_V04", "PID ORC RXA RXR OBX"),
    "ACK": ("ORU^R01^ORU_R01", "MSA PID OBR OBX"),
}
# What a segment cannot do without, so that each other field can be told alone.
_NEEDED: Final[Mapping[str, Fields]] = {
    "EVN": {2: "20260110030405"},
    "PID": {3: "P1^^^HOSP^MR"},
    "PV1": {2: "I", 19: "V1"},
    "NK1": {2: "Nkfam"},
    "AL1": {3: "QALG"},
    "IAM": {3: "QALG"},
    "DG1": {3: "QDIAG"},
    "PR1": {3: "QPROC"},
    "IN1": {3: "QCOMP"},
    "MRG": {1: "P2^^^HOSP^MR", 3: "A2"},
    "ROL": {2: "AD", 3: "AT", 4: "77^Rolfam"},
    "PRT": {2: "AD", 4: "AT", 5: "77^Prtfam"},
    "ORC": {1: "NW"},
    "OBR": {3: "F1", 4: "QPANEL"},
    "OBX": {2: "ST", 3: "QTEST", 5: "x", 11: "F"},
    "NTE": {3: "Qnote"},
    "SPM": {4: "BLD"},
    "RXO": {1: "QDRUG"},
    "RXR": {1: "QROUTE"},
    "RXA": {3: "20260102", 5: "QVAC"},
    "SCH": {1: "S1", 25: "Booked"},
    "AIS": {3: "QSERV"},
    "AIG": {3: "QRES"},
    "AIL": {3: "QPOC"},
    "AIP": {3: "9^Aip"},
    "TXA": {2: "QTYPE", 12: "D1"},
    "SFT": {1: "QMAKER", 2: "1.0", 3: "QSOFT"},
    "MSA": {1: "AA", 2: "C0"},
}
_ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "ADT": ("PID", "PV1"),
    "MRG": ("PID", "MRG"),
    "ORU": ("PID", "OBR", "OBX"),
    "NTE": ("PID", "OBR", "OBX"),
    "OML": ("PID", "ORC", "OBR"),
    "ORM": ("PID", "ORC", "RXO"),
    "SIU": ("SCH", "PID", "AIS"),
    "MDM": ("PID", "TXA"),
    "VXU": ("PID", "ORC", "RXA"),
    "ACK": ("PID", "OBR", "OBX"),
}


def told(stage: str, segment: str, fields: Mapping[int, str | None]) -> Told:
    """Return the least message of a stage in which a segment has these fields (None: empty)."""
    found: Told = {name: dict(_NEEDED.get(name, {})) for name in _ALWAYS[stage]}
    if segment:
        here = found.setdefault(segment, dict(_NEEDED.get(segment, {})))
        for number, text in fields.items():
            here.pop(number, None)
            if segment == "MSH":
                here[number] = text or ""
            elif text is not None:
                here[number] = text
    return found


def needed(segment: str) -> Fields:
    """Return what a segment cannot do without."""
    return dict(_NEEDED.get(segment, {}))


def text(stage: str, content: Told) -> str:
    """Return the message as it is sent."""
    kind, order = STAGES[stage]
    header = {
        3: "LIS",
        4: "LAB",
        5: "EHR",
        6: "HOSP",
        7: "20260110030405+0530",
        9: kind,
        10: "C1",
        11: "P",
        12: "2.5.1",
        **content.get("MSH", {}),
    }
    lines = [_line("MSH", {n - 1: value for n, value in header.items()} | {1: _MARKS})]
    lines += [_line(name, content[name]) for name in order.split() if name in content]
    return "\r".join(lines)


def became(sent: str, **said: Any) -> dict[str, Json]:
    """Return the resources of a message by URL, those of its message Bundle too; {} if refused.

    What a merge says of whom it retires, and the MessageHeader, are among them; of a message
    that is refused there is the MessageHeader alone.
    """
    message = parse(sent)
    profile = Profile(BASE, "LIS-LAB", UTC, **said)
    try:
        mapped = transform(message, profile)
    except Refusal:
        mapped = Mapped((), (), {})
    return paths.resources(_entries(message, profile, mapped))


def _entries(message: Message, profile: Profile, mapped: Mapped) -> Iterator[tuple[str, Json]]:
    yield from ((write.full_url, write.resource) for write in mapped.writes)
    bundle = message_bundle(message, profile, mapped)
    yield from ((e["fullUrl"], e["resource"]) for e in bundle["entry"])
    yield "the message", {name: value for name, value in bundle.items() if name != "entry"}
    for number, merge in enumerate(mapped.merges):
        yield f"retired {number}", {**merge.said, "resourceType": merge.type}


def _line(name: str, fields: Fields) -> str:
    return "|".join([name, *(fields.get(n, "") for n in range(1, max(fields, default=0) + 1))])
