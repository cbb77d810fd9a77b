"""Segments of an ADT told one by one, and what they become."""

from typing import Any

from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.accounting import REASONS, valued, written
from adapters.hl7.message.tokenizer import Message
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.reading import THO, message, profile

EXT5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"
V3 = f"{THO}/v3-"
HEADER = "MSH|^~\\&|LIS|LAB|EHR|HOSP|20260110030405+0530||ADT^A01^ADT_A01|C1|P|2.5.1"
DOCTOR = "7^Iyer^Ravi^^^^^^HR"
VALIDATOR = Validator(load())


def segment(name: str, **fields: str) -> str:
    """Return a segment of fields, `f3="x"` being field 3."""
    numbers = {int(key[1:]): value for key, value in fields.items()}
    last = max(numbers, default=0)
    return "|".join([name, *(numbers.get(number, "") for number in range(1, last + 1))])


def check(told: Message, found: Mapped) -> None:
    """Every leaf is in a resource or listed with a reason, and every resource is valid."""
    everything = [written(told.segments[a[0]], a) for a in valued(told)]
    mapped = [written(told.segments[a[0]], a) for a in told.mapped]
    assert sorted(mapped + [address for address, _ in found.unmapped]) == sorted(everything)
    assert {reason for _, reason in found.unmapped} <= set(REASONS)
    for write in found.writes:
        raw = json.encode(write.resource)
        kind = write.resource["resourceType"]
        assert VALIDATOR.validate(kind, raw, json.decode(raw)) == []


def said(*segments: str, event: str = "A01", **settings: Any) -> Mapped:
    """Return what an ADT of one patient and visit becomes; `segments` replace PID and PV1."""
    given = {one[:3] for one in segments}
    base = [
        *(["PID|1||P1^^^HOSP^MR"] if "PID" not in given else []),
        *segments,
    ]
    if "PV1" not in given:
        at = 1 if "PID" not in given else 1 + next(n for n, s in enumerate(base) if s[:3] == "PID")
        base.insert(at, segment("PV1", f2="I", f19="V1"))
    told = message(*base, header=HEADER.replace("A01", event))
    found = transform(told, profile(**settings))
    check(told, found)
    return found


def at(value: Any, path: str) -> Any:
    """Return what stands at a path such as `name.0.family`, None where nothing does."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if value is not None else None
    return value


def extension(url: str, **value: Any) -> list[dict[str, Any]]:
    return [{"url": url, **value}]


def concept(system: str, code: str, *more: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": s, "code": c} for s, c in ((system, code), *more)]}
