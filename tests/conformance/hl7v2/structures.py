"""Messages of each structure that the guide maps, with and without one segment."""

import re
from collections.abc import Mapping
from typing import Final

from tests.conformance.hl7v2 import stages
from tests.conformance.hl7v2.guide import Place

# Event of each structure, its segments in order, and those that it cannot do without.
EVENTS: Final[Mapping[str, tuple[str, str, str]]] = {
    **{
        f"ADT_{event}": (
            f"ADT^{event}",
            "SFT EVN PID PD1 ROL PRT MRG NK1 PV1 PV2 OBX AL1 DG1 PR1 IN1 IN3",
            "EVN PID PV1",
        )
        for event in ("A01", "A02", "A05", "A06", "A09", "A11", "A17")
    },
    "MDM_T02": ("MDM^T02", "SFT EVN PID PV1 ORC TQ1 OBR NTE TXA OBX", "EVN PID PV1 TXA"),
    "OML_O21": (
        "OML^O21",
        "SFT PID PD1 PRT NK1 PV1 PV2 IN1 IN3 AL1 ORC TQ1 OBR NTE DG1 OBX SPM",
        "PID PV1 ORC OBR",
    ),
    "ORM_O01": (
        "ORM^O01",
        "PID PD1 PV1 PV2 IN1 IN2 IN3 AL1 ORC OBR RXO ODS NTE DG1 OBX",
        "PID PV1 ORC OBR",
    ),
    "ORU_R01": (
        "ORU^R01",
        "SFT PID PD1 PRT NK1 PV1 PV2 ORC OBR OBX NTE SPM",
        "PID PV1 OBR OBX",
    ),
    "SIU_S12": ("SIU^S12", "SCH NTE PID PV1 PV2 OBX DG1 AIS AIG AIL AIP", "SCH PID PV1 AIS"),
    "VXU_V04": ("VXU^V04", "SFT PID PD1 NK1 PV1 PV2 ORC RXA RXR OBX NTE PRT", "PID PV1 ORC RXA"),
}
_LINES: Final[Mapping[str, str]] = {
    "SFT": "SFT|QMAKER|1.0|QSOFT|QMODEL",
    "EVN": "EVN||20260102030405|||7^Iyer^Ravi",
    "PID": "PID|1||P1^^^HOSP^MR||Qfam^Qgiv|||||||||||||A1" + "|" * 15 + "20260102030405|HOSP",
    "PD1": "PD1||||8^Menon^Asha|||Y",
    "ROL": "ROL|R1|AD|AT|9^Rao^Uma",
    "PRT": "PRT||AD||AT|9^Rao^Uma",
    "MRG": "MRG|P2^^^HOSP^MR||A2",
    "NK1": "NK1|1|Qkin|E",
    "PV1": "PV1|1|I|W^1^2" + "|" * 16 + "V1|SELF",
    "PV2": "PV2|||QREASON",
    "OBX": "OBX|1|ST|QTEST||Qvalue||||||F",
    "AL1": "AL1|1|DA|QALG",
    "DG1": "DG1|1||QDIAG",
    "PR1": "PR1|1||QPROC||20260102",
    "IN1": "IN1|1|QPLAN|QCOMP|Qpayor",
    "IN2": "IN2|Qinsured",
    "IN3": "IN3|1|QCERT||||||||||||||||||QCASE",
    "ORC": "ORC|NW|PO1|FO1|||||||20260102030405|||11^Ord^Erer",
    "TQ1": "TQ1|1||QD",
    "OBR": "OBR|1|PO1|FO1|QPANEL||20260102||||||||||20260103",
    "NTE": "NTE|1||Qnote",
    "SPM": "SPM|1|S1||BLD",
    "TXA": "TXA|1|QTYPE||||||||||D1",
    "SCH": "SCH|S1||||||QREASON^^HL70276",
    "AIS": "AIS|1||QSERV",
    "AIG": "AIG|1||QRES|QKIND",
    "AIL": "AIL|1||QPLACE",
    "AIP": "AIP|1||12^Aip^Per",
    "RXA": "RXA|0|1|20260102||QVAC",
    "RXR": "RXR|QROUTE",
    "RXO": "RXO|QDRUG",
    "ODS": "ODS|D||QDIET",
}
# What makes the segment one of this type.
_FOR: Final[Mapping[tuple[str, str], str]] = {
    ("NK1", "RelatedPerson"): "NK1|1|Qkin|SPO",
    ("ROL", "Patient"): "ROL|R1|AD|PP|9^Rao^Uma",
    ("PRT", "Patient"): "PRT||AD||PP|9^Rao^Uma",
    ("ORC", "Task"): "ORC|CA|PO1|FO1",
    ("ORC", "DiagnosticReport"): "ORC|RE|PO1|FO1" + "|" * 13 + "QREASON",
    ("OBR", "Specimen"): "OBR|1|PO1|FO1|QPANEL" + "|" * 10 + "20260103",
}
# What it is said of, where that is not there in any case.
_OF: Final[Mapping[tuple[str, str], str]] = {
    ("NTE", "Observation"): "OBX",
    ("NTE", "DocumentReference"): "OBX",
    ("NTE", "ServiceRequest"): "ORC OBR",
    ("TQ1", "ServiceRequest"): "ORC OBR",
}


def asked(place: Place) -> bool:
    """Whether the resources of the type are others with the segment than without it.

    Without MSH there is no message: of it they have to be there.
    """
    with_it = _resources(place, there=True)
    without = [] if place.segment == "MSH" else _resources(place, there=False)
    return with_it != without and bool(with_it)


def _resources(place: Place, *, there: bool) -> list[str]:
    event, order, base = EVENTS[place.structure]
    names = {*base.split(), *_OF.get((place.segment, place.kind), "").split(), place.segment}
    if not there:
        names.remove(place.segment)
    if place.kind in {"DocumentReference", "Observation"} and place.segment == "NTE":
        order = f"{order.replace(' NTE', '')} NTE"
    lines = [f"MSH|^~\\&|LIS|LAB|EHR|HOSP|20260110030405+0530||{event}|C1|P|2.5.1"]
    for name in order.split():
        if name in names:
            here = name == place.segment
            lines.append(_FOR.get((name, place.kind), _LINES[name]) if here else _LINES[name])
    try:
        found = stages.became("\r".join(lines))
    except IndexError:  # without TXA, SCH ... no message comes to the mapping
        return []
    return sorted(
        re.sub(r"urn:uuid:\S+?'", "'", str(one))
        for one in found.values()
        if one.get("resourceType") == place.kind
    )
