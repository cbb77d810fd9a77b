"""Short ways to a mapped message in tests."""

from datetime import UTC, tzinfo
from typing import Any

from adapters.hl7.mapping.context import Context, Profile
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.tokenizer import Message, Repetition, Segment, parse

BASE = "http://h/fhir"
MSH = "MSH|^~\\&|LIS|LAB|EHR|HOSP|20260102030405+0530||ORU^R01|C1|P|2.5.1"
PID = "PID|1||P1^^^HOSP^MR"
IDS = f"{BASE}/hl7/LIS-LAB/ids"
CODES = f"{BASE}/hl7/LIS-LAB/codes"
KEY = f"{BASE}/hl7/key"
THO = "http://terminology.hl7.org/CodeSystem"
EXT = "http://hl7.org/fhir/StructureDefinition"


def profile(zone: tzinfo = UTC, **said: Any) -> Profile:
    return Profile(BASE, "LIS-LAB", zone, **said)


def context(segment: str, header: str = MSH, **said: Any) -> tuple[Context, Segment]:
    message = parse(f"{header}\r{segment}")
    return Context(message, profile(**said), "+05:30"), message.segments[1]


def repetition(text: str, **said: Any) -> tuple[Context, Repetition]:
    """Return the first repetition of a coded field with this text."""
    ctx, segment = context(f"ZZZ|{text}", **said)
    found = segment.first(1)
    assert found is not None
    return ctx, found


def message(*segments: str, header: str = MSH) -> Message:
    return parse("\r".join([header, *segments]))


def mapped(*segments: str, header: str = MSH, **said: Any) -> Mapped:
    return transform(message(*segments, header=header), profile(**said))


def resources(found: Mapped, type_name: str) -> list[dict[str, Any]]:
    return [w.resource for w in found.writes if w.resource["resourceType"] == type_name]


def observation(obx: str, *more: str, **said: Any) -> dict[str, Any]:
    """Return the one Observation of a message with this OBX."""
    return resources(mapped(PID, "OBR|1||F1|PANEL", obx, *more, **said), "Observation")[0]
