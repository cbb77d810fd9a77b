"""OBX as Observation.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obx-to-observation.html
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    INTERPRETATION,
    KNOWN,
    OBSERVATION_STATUS,
    REPORT_STATUS,
    THO,
)
from adapters.hl7.mapping.context import Context, Json, add, coding, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.segments import (
    attached,
    interpretation,
    nte,
    parent_result,
    practitioner,
    value,
)
from adapters.hl7.mapping.segments.order import UNSPECIFIED, code_key
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.grouping import Result
from adapters.hl7.message.tokenizer import NULL, Repetition, Segment

_LABORATORY: Final[list[Json]] = [
    {
        "coding": [
            {"system": THO + "observation-category", "code": "laboratory"},
        ]
    }
]
_STATUS: Final[dict[str, tuple[str, Json]]] = {
    code: (status, cwe.alternate("0085", code)) for code, status in OBSERVATION_STATUS.items()
}
_OF_REPORT: Final = {"partial": "preliminary"}  # a report may be partial, an Observation not
_INTERPRETATION: Final[dict[str, list[Json]]] = {
    code: [{"coding": [{"system": system, "code": code}]}]
    for code, system in INTERPRETATION.items()
}
_TRANSLATED: Final = {code: (system, code) for code, system in INTERPRETATION.items()}
_DIRECTOR: Final = (THO + "v2-0912", "MDIR")
_RESPONSIBLE: Final = (THO + "practitioner-role", "responsibleObserver")
_VERIFIED: Final = "V"
_VALUE_KEPT: Final = frozenset("DWXU")  # what is withdrawn keeps its value, as the record of it
_OF_VALUE: Final = ("value", "_value", "component", "interpretation", "referenceRange")
_QUESTIONS: Final = frozenset(("QST", "SCI"))


Effect = Callable[[Json, Json], Json]
"""What comes of a stored and a merged resource."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the Observations of one order share.

    `key` begins their keys and is that of their `report`, where they have one;
    `effective` are the effective members that OBR gives,
    `report_status` is OBR-25, `numbers` those of the order as tokens; references are ""
    where there is none. `timed` are the names (OBX-3, OBX-4 as sent) that come several
    times, each at a time of its own.
    """

    key: str
    patient: str
    report: str = ""
    encounter: str = ""
    specimen: str = ""
    request: str = ""
    effective: tuple[tuple[str, Any], ...] = ()
    report_status: str = ""
    numbers: tuple[str, ...] = ()
    timed: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Observed:
    """An Observation that was built: its reference, status, and where it belongs.

    `question` tells that it answers a question of the order and is no result;
    `attachments` belong to the report.
    """

    reference: str
    status: str
    question: bool
    attachments: tuple[Json, ...]


def observation(ctx: Context, result: Result, around: Surroundings, focus: str = "") -> Observed:
    """Build the Observation of an OBX; `focus` is the specimen that it speaks of."""
    obx = result.obx
    resource: Json = {"resourceType": "Observation"}
    key, report = _identify(ctx, obx, around, resource)
    if around.numbers and (obx.raw(4) or obx.raw(2) in parent_result.CODED):
        for alias in parent_result.aliases(ctx, around.numbers, obx):
            add(resource, "identifier", alias)
    _status(ctx, obx, around, resource)
    kind = obx.peek(29)
    _category(ctx, obx, resource)
    code = cwe.first_concept(ctx, obx, 3, "Observation.code") if obx.raw(3) else None
    resource["code"] = code or {"text": UNSPECIFIED}
    _place(ctx, obx, around, resource, focus)
    attachments = value.put_value(ctx, obx, resource)
    if attachments:
        attachments = attached.documents(ctx, attachments, key, resource, around.report)
    _absent(obx, resource, attached=bool(attachments))
    _interpret(ctx, obx, resource)
    _rare(ctx, obx, resource)
    if result.notes:
        put(resource, "note", nte.annotations(ctx, result.notes, resource, "Observation.note"))
    effect = verified if obx.raw(11) == _VERIFIED else None
    if obx.raw(5) == NULL and obx.raw(11) not in _VALUE_KEPT:
        effect = partial(emptied, resource)
    rather = _other_key(ctx, obx, around) if report and obx.raw(14) else ""
    if rather:
        effect = partial(as_known, ctx.key_identifier(key), effect)
    reference = ctx.put_keyed(key, resource, report, effect=effect, rather=rather)
    return Observed(reference, resource["status"], kind in _QUESTIONS, tuple(attachments))


def as_known(key: Json, effect: Effect | None, stored: Json, merged: Json) -> Json:
    """What came in a series, or alone, keeps the key that it has where it comes otherwise."""
    if effect is not None:
        merged = effect(stored, merged)
    if key in stored.get("identifier", ()):
        return merged
    return merged | {"identifier": [one for one in merged["identifier"] if one != key]}


def emptied(given: Json, stored: Json, merged: Json) -> Json:
    """A value that is deleted (`""`) is gone with what was said of it."""
    del stored
    left = {
        name: said
        for name, said in merged.items()
        if name in given or not name.startswith(_OF_VALUE)
    }
    absent = {"dataAbsentReason": given["dataAbsentReason"]} if "dataAbsentReason" in given else {}
    return left | absent


def verified(stored: Json, merged: Json) -> Json:
    """A result that is verified (OBX-11 V) stays amended or corrected if it was."""
    if stored.get("status") not in {"amended", "corrected"}:
        return merged
    return merged | {name: stored[name] for name in ("status", "_status") if name in stored}


def _identify(ctx: Context, obx: Segment, around: Surroundings, resource: Json) -> tuple[str, str]:
    """Set the filler's identifier; return the key, and that of the report if it is part of it.

    OBX-1 is not stable enough for a key.
    """
    rep = obx.first(21)
    if rep is not None:
        number = hd.ei(ctx, rep, "Observation.identifier", "observation")
        if number is not None:
            resource["identifier"] = [{"type": hd.fixed_type("FILL"), **number}]
            return _unique(ctx, ctx.key("OBX-21", hd.token(number))), ""
    if around.timed and (obx.raw(3), obx.raw(4)) in around.timed:
        return _unique(ctx, _key_in_series(ctx, obx, around)), around.report
    return _unique(ctx, ctx.key("Observation", around.key, _name(ctx, obx))), around.report


def _name(ctx: Context, obx: Segment) -> str:
    return f"{code_key(obx.raw(3), ctx)}\x1f{obx.raw(4)}"


def _key_in_series(ctx: Context, obx: Segment, around: Surroundings) -> str:
    return ctx.key("Observation", around.key, f"{_name(ctx, obx)}\x1f{obx.raw(14)}")


def _other_key(ctx: Context, obx: Segment, around: Surroundings) -> str:
    """Return the key that a result of a series has alone, or one that is alone in a series."""
    if (obx.raw(3), obx.raw(4)) in around.timed:
        return ctx.key("Observation", around.key, _name(ctx, obx))
    return _key_in_series(ctx, obx, around)


def timed(results: Iterable[Segment]) -> frozenset[tuple[str, str]]:
    """Return the names that several of these OBX have, all at different times (OBX-14).

    A series under one name (glucose tolerance) is told apart by its times, as the number
    of one in its message changes where others are not sent again.
    """
    times: dict[tuple[str, str], list[str]] = {}
    for one in results:
        times.setdefault((one.raw(3), one.raw(4)), []).append(one.raw(14))
    return frozenset(
        name for name, at in times.items() if len(at) > 1 and all(at) and len(set(at)) == len(at)
    )


def _unique(ctx: Context, key: str) -> str:
    """Return a key of its own for the n-th occurrence of a name in the message."""
    nth = ctx.once.get(("Observation", key), 0) + 1
    ctx.once[("Observation", key)] = nth
    return key if nth == 1 else ctx.key("Observation", key, str(nth))


def _status(ctx: Context, obx: Segment, around: Surroundings, resource: Json) -> None:
    code = obx.peek(11)
    if code in _STATUS:
        obx.take(11, "Observation.status")
        resource["status"], resource["_status"] = _STATUS[code]
    elif code:
        obx.take(11, "Observation.status")
        ctx.warn("OBX-11 is not in table 0085")
        resource["status"], resource["_status"] = "unknown", cwe.alternate("0085", code)
    else:
        status = REPORT_STATUS.get(around.report_status, "unknown")
        resource["status"] = _OF_REPORT.get(status, status)


def _category(ctx: Context, obx: Segment, resource: Json) -> None:
    if kind := obx.take(29, "Observation.category"):
        resource["category"] = [{"coding": [coding(THO + "v2-0936", kind)]}]
    elif ctx.profile.laboratory:
        resource["category"] = _LABORATORY


def _place(ctx: Context, obx: Segment, around: Surroundings, resource: Json, focus: str) -> None:
    """Set subject, visit, order, specimen and time."""
    resource["subject"] = {"reference": around.patient}
    if focus:
        resource["focus"] = [{"reference": focus}]
    if around.encounter:
        resource["encounter"] = {"reference": around.encounter}
    if around.request:
        resource["basedOn"] = [{"reference": around.request}]
    if obx.raw(14):
        dtm.put_date_time(ctx, resource, "effectiveDateTime", obx, 14)
    if "effectiveDateTime" not in resource:
        resource.update(around.effective)
    if obx.raw(33):
        _specimen(ctx, obx, resource)
    if "specimen" not in resource and around.specimen:
        resource["specimen"] = {"reference": around.specimen}


def _specimen(ctx: Context, obx: Segment, resource: Json) -> None:
    rep = obx.first(33)
    if rep is None:
        return
    for component, code in ((1, "PLAC"), (2, "FILL")):
        path, default = "Observation.specimen", f"specimen-{code.lower()}"
        if "identifier" in resource.get("specimen", ()):
            # A logical reference has one identifier.
            rep.refuse(component, CONDITION_FALSE)
            continue
        number = hd.ei_part(ctx, rep, component, path, default)
        if number is None:
            continue
        known = ctx.once.get(("Specimen", ctx.key("Specimen", hd.token(number))))
        logical = {"type": "Specimen", "identifier": number}
        resource.setdefault("specimen", {"reference": known} if known else logical)


def _absent(obx: Segment, resource: Json, *, attached: bool) -> None:
    """Say why there is no value; R4 forbids the reason where there is one (obs-6)."""
    if attached or any(name.startswith("value") for name in resource) or "component" in resource:
        return
    reason = {"N": "not-asked", "X": "not-performed"}.get(obx.peek(11))
    if reason is None and resource["status"] in {"final", "amended", "corrected"}:
        reason = "unknown"
    if reason is not None:
        coding = {"system": THO + "data-absent-reason", "code": reason}
        resource["dataAbsentReason"] = {"coding": [coding]}


def _interpret(ctx: Context, obx: Segment, resource: Json) -> None:
    flag = obx.raw(8)
    if flag in _INTERPRETATION:
        obx.message.mapped[(obx.index, 8, 1, 1, 1)] = "Observation.interpretation"
        resource["interpretation"] = _INTERPRETATION[flag]
    elif flag:
        resource["interpretation"] = _flags(ctx, obx)
        if not resource["interpretation"]:
            del resource["interpretation"]
    if text := obx.take(7, "Observation.referenceRange.text"):
        measured = "valueQuantity" in resource or "component" in resource
        resource["referenceRange"] = [value.limits(ctx, obx, text, measured=measured)]
        if not flag:
            put(resource, "interpretation", interpretation.computed(resource))


def _flags(ctx: Context, obx: Segment) -> list[Json]:
    path = "Observation.interpretation"
    found: list[Json] = []
    for rep in obx.repetitions(8):
        if rep.text in _INTERPRETATION:
            rep.mark(1, path)
            found += _INTERPRETATION[rep.text]
        elif concept := cwe.concept(ctx, rep, path, table="0078", translate=_TRANSLATED):
            found.append(concept)
    return found


def _rare(ctx: Context, obx: Segment, resource: Json) -> None:
    """Set what most messages do not send."""
    if obx.raw(4):
        extend(resource, _sub_id(obx))
    if obx.raw(10):
        _nature(ctx, obx, resource)
    if any(obx.fields[15:17]) or any(obx.fields[23:26]):
        _performers(ctx, obx, resource)
    if any(obx.fields[17:21]):
        _method(ctx, obx, resource)
        _analysed(ctx, obx, resource)
    if code := obx.take(30, "Observation.extension"):
        concept = {"coding": [coding(THO + "v2-0937", code)]}
        url = EXTENSION + "observation-structure-type"
        extend(resource, {"url": url, "valueCodeableConcept": concept})


def _sub_id(obx: Segment) -> Json | None:
    rep = obx.first(4)
    if rep is None:
        return None
    parts: list[Json] = []
    for component, name in ((1, "original-sub-identifier"), (4, "identifier")):
        if text := rep.take(component, "Observation.extension"):
            parts.append({"url": name, "valueString": text})
    for component, name in ((2, "group"), (3, "sequence")):
        number = nm.number(rep.peek(component))
        if number is not None and not number.comparator:
            rep.mark(component, "Observation.extension")
            parts.append({"url": name, "valueDecimal": number.value})
    return {"url": EXTENSION + "observation-v2-subid", "extension": parts} if parts else None


def _nature(ctx: Context, obx: Segment, resource: Json) -> None:
    """OBX-10, unless a sender that lost count put the result status there."""
    for rep in obx.repetitions(10):
        code = rep.peek()
        if code not in KNOWN["0080"] and code in OBSERVATION_STATUS and not obx.valued(11):
            ctx.warn("OBX-10 holds a result status")
            rep.refuse(1, INVALID_VALUE)
            continue
        if concept := cwe.concept(ctx, rep, "Observation.extension", table="0080"):
            url = EXTENSION + "observation-nature-of-abnormal-test"
            extend(resource, {"url": url, "valueCodeableConcept": concept})


def _performers(ctx: Context, obx: Segment, resource: Json) -> None:
    performers = practitioner.roles(ctx, obx, 16, resource, _RESPONSIBLE)
    maker = obx.first(15)
    if maker is not None and (reference := practitioner.producer(ctx, maker)):
        performers.append(reference)
    laboratory = obx.first(23)
    organization = None
    if laboratory is not None:
        organization = practitioner.organization(ctx, laboratory, obx.repetitions(24))
    director = obx.first(25)
    if director is not None and (person := practitioner.practitioner(ctx, director, resource)):
        performers.append(practitioner.role(ctx, person, _DIRECTOR, organization))
    elif organization:
        performers.append(organization)
    for reference in performers:
        add(resource, "performer", {"reference": reference})


def _method(ctx: Context, obx: Segment, resource: Json) -> None:
    put(resource, "method", cwe.first_concept(ctx, obx, 17, "Observation.method"))
    site = cwe.first_concept(ctx, obx, 20, "Observation.bodySite", table="0163")
    put(resource, "bodySite", site)
    devices = obx.repetitions(18)
    if devices and (found := device(ctx, devices)):
        resource["device"] = {"reference": found}


def device(ctx: Context, devices: list[Repetition]) -> str | None:
    """Return a reference to the Device whose instance identifiers are given."""
    alone = devices[0] if len(devices) == 1 else None
    if alone is not None:
        known, reference = ctx.remembered(alone, "Device")
        if known:
            return str(reference)
    found = [n for rep in devices if (n := hd.ei(ctx, rep, "Device.identifier", "device"))]
    if not found:
        return None
    resource: Json = {"resourceType": "Device", "identifier": found}
    reference = ctx.write("POST", (hd.token(found[0]),), resource)
    if (written := ctx.writes.get(reference)) is not None:
        known_by = written.resource["identifier"]
        known_by += [number for number in found if number not in known_by]
    if alone is not None:
        ctx.remember(alone, "Device", reference)
    return reference


def _analysed(ctx: Context, obx: Segment, resource: Json) -> None:
    rep = obx.first(19)
    if rep is not None and (when := dtm.date_time(ctx, rep, 1, "Observation.extension")):
        url = EXTENSION + "observation-analysis-date-time"
        extend(resource, {"url": url, "valueDateTime": when})
