"""Whether a row of the guide is what the adapter does."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.conformance.hl7v2 import paths, stages
from tests.conformance.hl7v2.carriers import CARRIERS, Carrier
from tests.conformance.hl7v2.coded import Coded
from tests.conformance.hl7v2.guide import Code, Row
from tests.conformance.hl7v2.samples import Probe, probe

Json = dict[str, Any]

# The stage of each map of a segment; a map that is not here is out of the specification.
STAGE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("AL1[AllergyIntolerance]", "DG1[Condition]", "DG1[Encounter]", "EVN[Provenance]"),
            *("IAM[AllergyIntolerance]", "IN1[Coverage]", "NK1[Patient]", "NK1[RelatedPerson]"),
            *("PD1[Observation-LivingWill]", "PD1[Patient]", "PID[Account]", "PID[Patient]"),
            *("PID[Provenance-Patient]", "PR1[Procedure]", "PV1[Coverage]", "PV1[Encounter]"),
            *("PV1[Patient]", "PV2[Encounter]", "ROL[Encounter-PractitionerRole]"),
            *("ROL[Patient-GeneralPractitioner]", "PRT[PractitionerRole]"),
            *("PRT[Patient-GeneralPractitioner-PractitionerRole]",),
            *("PRT[Patient-GeneralPractitioner-Practitioner]", "MSH[Encounter]"),
        ),
        "ADT",
    ),
    "MRG[Account]": "MRG",
    **dict.fromkeys(
        (
            *("OBR[DiagnosticReport]", "OBR[Specimen]", "OBX[Observation]"),
            *("OBX[Observation-Component]", "ORC[DiagnosticReport]", "SPM[Specimen]"),
            *("MSH[Bundle]", "MSH[MessageHeader]", "SFT[Device]", "SFT[MessageHeader]"),
            *("PRT[Observation-Location]", "PRT[Device]"),
        ),
        "ORU",
    ),
    "NTE[Observation]": "NTE",
    "MSA[MessageHeader]": "ACK",
    **dict.fromkeys(
        (
            *("NTE[ServiceRequest]", "OBR[ServiceRequest]", "ORC[ServiceRequest]"),
            *("ORC[Provenance]", "TQ1[ServiceRequest]"),
        ),
        "OML",
    ),
    **dict.fromkeys(
        ("RXO[MedicationRequest]", "RXR[MedicationRequest]", "TQ1[MedicationRequest]"), "ORM"
    ),
    **dict.fromkeys(
        (
            *("AIG[Appointment]", "AIL[Appointment]", "AIP[Appointment]", "AIS[Appointment]"),
            *("NTE[Appointment-Comment]", "PID[Appointment]", "SCH[Appointment]"),
        ),
        "SIU",
    ),
    **dict.fromkeys(
        (*("NTE[DocumentReference]", "OBX[DocumentReference]", "TXA[DocumentReference]"),),
        "MDM",
    ),
    **dict.fromkeys(("ORC[Immunization]", "RXA[Immunization]", "RXR[Immunization]"), "VXU"),
}


def target(row: Row) -> str:
    """Return the type of resource that a map of a segment is about."""
    return row.map.partition("[")[2].rstrip("]").partition("-")[0]


def asked(row: Row, how: Probe, stage: str) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the resources of the message of a row, and of the same without its field."""
    name, number = row.place
    found = []
    for text in (how.text or None, None):
        fields: dict[int, str | None] = {number: text} if number else {}
        content = stages.told(stage, name, fields)
        for (other, field), value in how.more.items():
            if other in {"MSH", *stages.STAGES[stage][1].split()}:
                content.setdefault(other, stages.needed(other))[field] = value
        found.append(stages.became(stages.text(stage, content), **how.said))
    return found[0], found[1]


def conforms(row: Row, maps: Mapping[str, list[Code]]) -> bool:
    """Whether the element of the row has the value of its field, or the constant of the row."""
    how = probe(row, maps)
    with_it, without = asked(row, how, how.stage or STAGE[row.map])
    kind = how.kind or target(row)
    found = _values(with_it, kind, row.path)
    if not how.kept:
        found -= _values(without, kind, row.path)
    return all(_has(found, value) for value in how.expected)


def _values(known: dict[str, Json], kind: str, path: str) -> Counter[str]:
    roots = [r for r in known.values() if r.get("resourceType") == kind]
    return paths.leaves(paths.at(roots, path, known), known)


def _has(found: Counter[str], value: str) -> bool:
    return value in found or any(one.startswith(value) for one in found if len(value) > 9)


def part_conforms(row: Row, maps: Mapping[str, list[Code]]) -> bool:
    """Whether a row of the map of a data type holds where a field of that type is mapped."""
    how = probe(row, maps)
    carrier = CARRIERS[row.map]
    found = []
    for component in (row.place[1] or 1, 0):
        value = how.text if component or how.text else ""
        parts = {n: t for (name, n), t in how.more.items() if name == row.place[0]}
        text = carrier.text(component, value, parts)
        text = text if not how.whole or not component else how.whole
        fields: dict[int, str | None] = {carrier.field: text or None}
        content = stages.told(carrier.stage, carrier.segment, fields)
        for (name, number), other in {**carrier.more, **how.more}.items():
            if name in {"MSH", *stages.STAGES[carrier.stage][1].split()}:
                content.setdefault(name, stages.needed(name))[number] = other
        said = {**carrier.said, **how.said}
        found.append(stages.became(stages.text(carrier.stage, content), **said))
    values = [_below(known, carrier, row.path) for known in found]
    if not how.kept:
        values[0] -= values[1]
    return all(_has(values[0], value) for value in how.expected)


def _below(known: dict[str, Json], carrier: Carrier, path: str) -> Counter[str]:
    roots = [r for r in known.values() if r.get("resourceType") == carrier.kind]
    nodes = paths.at(roots, carrier.path, known)
    return paths.leaves(paths.at(nodes, path, known), known)


def code_conforms(code: Code, coded: Coded) -> bool:
    """Whether a code becomes the code and system that its map gives."""
    content = stages.told(coded.stage, coded.segment, {coded.field: coded.text.format(code.code)})
    for (name, number), text in coded.more.items():
        content.setdefault(name, stages.needed(name))[number] = text
    known = stages.became(stages.text(coded.stage, content), **coded.said)
    roots = [r for r in known.values() if r.get("resourceType") == coded.kind]
    found = paths.at(roots, coded.path, known)
    system = code.system.strip()
    for node in found:
        if not isinstance(node, dict):
            if paths.written(node) == code.target:
                return True
            continue
        for one in node.get("coding", [node]):
            if one.get("code") == code.target and system in {"", one.get("system")}:
                return True
    return False
