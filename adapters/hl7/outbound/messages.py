"""Messages made of FHIR resources: ORU^R01, OUL^R22, ADT, OML^O21 and OML^O33.

HL7 v2.9 chapters 3, 4 and 7.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Segment, message, segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, literal
from adapters.hl7.outbound.segments.al1 import iam
from adapters.hl7.outbound.segments.belongings import (
    Belongings,
    allergies,
    clinical,
    coverages,
    diagnoses,
    kin,
)
from adapters.hl7.outbound.segments.obx import documents, is_note, nte, obxs
from adapters.hl7.outbound.segments.order import Ordered, control_of, obr, orc, tq1
from adapters.hl7.outbound.segments.pid import mrg, pid
from adapters.hl7.outbound.segments.pv1 import pv1
from adapters.hl7.outbound.segments.spm import sac, spm

_STRUCTURES: Final[Mapping[str, str]] = {
    "ADT^A02": "ADT_A02",
    "ADT^A03": "ADT_A03",
    "ADT^A11": "ADT_A09",
    "ADT^A23": "ADT_A21",
    "ADT^A29": "ADT_A21",
    "ADT^A31": "ADT_A05",
    "ADT^A40": "ADT_A39",
    "ADT^A60": "ADT_A60",
    "RSP^K22": "RSP_K21",
    "RSP^K23": "RSP_K23",
    "ORL^O34": "ORL_O42",
}
_SPECIMEN_SINCE: Final = (2, 5)
_VERSION_WITH_STRUCTURE: Final = (2, 3, 1)
NOTHING: Final = Belongings()


@dataclass(frozen=True, slots=True)
class Draft:
    """A message without MSH: its type and event, and the segments that follow."""

    kind: str
    segments: tuple[Segment, ...]

    def digest(self, peer: Peer) -> bytes:
        """Return what tells whether the same was said before, whatever the time."""
        told = [_undated(one) for one in self.segments if one.name != "EVN"]
        said = [segment(one, peer.encoding) for one in told]
        return hashlib.sha256("\r".join([self.kind, *said]).encode()).digest()


def _undated(one: Segment) -> Segment:
    """Return PID without the time of its last update, which says nothing by itself."""
    if one.name != "PID":
        return one
    return Segment("PID", {number: said for number, said in one.fields.items() if number != 33})  # noqa: PLR2004  (PID-33)


def written(
    draft: Draft,
    peer: Peer,
    control_id: str,
    now: datetime,
    more: Mapping[int, Field] | None = None,
) -> bytes:
    """Return the message as bytes; `more` are fields of MSH beside the usual ones."""
    settings = peer.settings
    kind, _, event = draft.kind.partition("^")
    structure = _STRUCTURES.get(draft.kind, f"{kind}_{'A01' if kind == 'ADT' else event}")
    named = (kind, event, structure) if peer.version >= _VERSION_WITH_STRUCTURE else (kind, event)
    enhanced = "AL" if settings.mode == "enhanced" else ""
    local = now.astimezone(peer.zone) if peer.zone else now
    fields: dict[int, Field] = {
        3: settings.sending_application,
        4: settings.sending_facility,
        5: settings.receiving_application,
        6: settings.receiving_facility,
        7: f"{local:%Y%m%d%H%M%S%z}",
        9: named,
        10: control_id,
        11: settings.processing_id,
        12: settings.version,
        15: enhanced,
        16: enhanced,
        18: settings.charset,
        **(more or {}),
    }
    return message([Segment("MSH", fields), *draft.segments], peer.encoding)


def oru(report: Json, record: Record, peer: Peer) -> Draft:
    """Return ORU^R01 of a DiagnosticReport, or of an Observation that is in none."""
    asked = _ordered(report, record)
    results = _results(report, record)
    specimens = list(_specimens(report, results, record))
    segments = [
        *_person(report, record, peer),
        orc("RE", asked, record, peer),
        *_observed(1, asked, report, results, record, peer),
    ]
    if peer.version >= _SPECIMEN_SINCE:
        segments += [spm(at, one, peer) for at, one in enumerate(specimens, 1)]
    return Draft("ORU^R01", tuple(segments))


def oul(report: Json, record: Record, peer: Peer) -> Draft:
    """Return OUL^R22 of a DiagnosticReport, by its specimens; ORC follows OBR there."""
    asked = _ordered(report, record)
    results = _results(report, record)
    specimens = list(_specimens(report, results, record))
    segments = list(_person(report, record, peer))
    if specimens:
        segments += _specimen(1, specimens[0], peer)
    first, *others = _observed(1, asked, report, results, record, peer)
    segments += [first, orc("RE", asked, record, peer), *others]
    return Draft("OUL^R22", tuple(segments))


def _specimen(number: int, specimen: Json, peer: Peer) -> list[Segment]:
    container = sac(specimen, peer)
    return [spm(number, specimen, peer), *([container] if container else ())]


def _ordered(report: Json, record: Record) -> Ordered:
    requests = [one for one in record.all(report.get("basedOn")) if _is(one, "ServiceRequest")]
    return Ordered(requests[0] if requests else None, report)


def _is(resource: Json, kind: str) -> bool:
    return bool(resource["resourceType"] == kind)


def _results(report: Json, record: Record) -> list[Json]:
    """Return the results with those that they have as members, each once."""
    if _is(report, "Observation"):
        return [report]
    found: dict[str, Json] = {}

    def gather(references: object) -> None:
        for one in record.all(references):
            if literal(one) not in found and _is(one, "Observation"):
                found[literal(one)] = one
                gather(one.get("hasMember"))

    gather(report.get("result"))
    # What was asked with the order (OBX-29 QST) is no result, and stands beside them.
    for request in record.all(report.get("basedOn")):
        gather(request.get("supportingInfo"))
    return list(found.values())


def _specimens(report: Json, results: Sequence[Json], record: Record) -> Iterator[Json]:
    own = report.get("specimen", [])
    references = own if isinstance(own, list) else [own]
    references = [*references, *(one["specimen"] for one in results if "specimen" in one)]
    seen: set[str] = set()
    for one in record.all(references):
        if literal(one) not in seen:
            seen.add(literal(one))
            yield one


def _observed(
    number: int,
    asked: Ordered,
    report: Json,
    results: Sequence[Json],
    record: Record,
    peer: Peer,
) -> list[Segment]:
    """Return OBR with its notes and results."""
    head = obr(number, _of_results(asked, report), record, peer)
    segments = [head]
    notes = [one for one in results if is_note(one) and not _is(report, "Observation")]
    segments += [
        nte(at, {"text": str(one["valueString"])}, peer) for at, one in enumerate(notes, 1)
    ]
    place = 1
    for one in results:
        if one not in notes:
            made = obxs(place, one, record, peer)
            place += sum(each.name == "OBX" for each in made)
            segments += made
    segments += documents(place, report, results, str(head.fields.get(25, "")) or "F", record)
    return segments


def _of_results(asked: Ordered, report: Json) -> Ordered:
    """An Observation alone stands in OBR as if it were a report of itself."""
    if not _is(report, "Observation"):
        return asked
    named = ("id", "status", "code", "effectiveDateTime", "effectivePeriod", "issued", "meta")
    return Ordered(asked.request, {name: report[name] for name in named if name in report})


def _person(holder: Json, record: Record, peer: Peer) -> Iterator[Segment]:
    patient = record.get(holder.get("subject"), holder)
    if patient is not None and _is(patient, "Patient"):
        yield pid(patient, peer)
    visit = record.get(holder.get("encounter"), holder)
    if visit is not None:
        yield pv1(visit, record, peer)


def adt(
    event: str,
    subject: Json,
    record: Record,
    peer: Peer,
    at: str,
    own: Belongings = NOTHING,
) -> Draft:
    """Return an ADT message of an Encounter or a Patient, recorded `at` (an instant).

    A40 is of the Patient that was replaced, A60 of an AllergyIntolerance; `own` is what
    belongs to person and visit.
    """
    recorded = as_.moment(at, peer.zone)
    evn = Segment("EVN", {1: event if peer.version < (2, 7) else "", 2: recorded})
    if event == "A40":
        other = next(
            (record.get(one.get("other")) for one in subject.get("link", ()) if _replaced(one)),
            None,
        )
        survivor = [pid(other, peer)] if other else []
        return Draft("ADT^A40", (evn, *survivor, mrg(subject, peer)))
    if event == "A60":
        patient = record.get(subject.get("patient"))
        person = [pid(patient, peer)] if patient else []
        return Draft("ADT^A60", (evn, *person, iam(1, subject, peer)))
    if _is(subject, "Patient"):
        person = [pid(subject, peer)]
        visited, patient, visit = [Segment("PV1", {1: "1", 2: "N"})], subject, None
    else:
        person, visited = _apart(subject, record, peer)
        patient, visit = record.get(subject.get("subject"), subject), subject
    told = [*person, *kin(event, patient, own, record, peer), *visited]
    return Draft(f"ADT^{event}", (evn, *told, *clinical(event, visit, own, record, peer)))


def _apart(visit: Json, record: Record, peer: Peer) -> tuple[list[Segment], list[Segment]]:
    """Return PID and PV1 of a visit."""
    told = list(_person(_with_itself(visit), record, peer))
    return [one for one in told if one.name == "PID"], [one for one in told if one.name == "PV1"]


def _replaced(link: Json) -> bool:
    return link.get("type") == "replaced-by"


def _with_itself(visit: Json) -> Json:
    held = [*visit.get("contained", ()), {**visit, "id": "itself"}]
    return {
        "resourceType": "Encounter",
        "subject": visit.get("subject", {}),
        "encounter": {"reference": "#itself"},
        "contained": held,
    }


def oml(
    kind: str,
    control: str,
    request: Json,
    record: Record,
    peer: Peer,
    own: Belongings = NOTHING,
) -> Draft:
    """Return OML^O21 or OML^O33 of a ServiceRequest with `control` in ORC-1.

    `own` are allergies and coverages of the patient, which OML^O21 has.
    """
    asked = Ordered(request)
    person = list(_person(request, record, peer))
    specimens = [one for one in record.all(request.get("specimen")) if _is(one, "Specimen")]
    told = [one for at, each in enumerate(specimens, 1) for one in _specimen(at, each, peer)]
    order = [orc(control or control_of(request), asked, record, peer)]
    if (timing := tq1(request, peer)) is not None:
        order.append(timing)
    order.append(obr(1, asked, record, peer))
    order += [nte(at, one, peer) for at, one in enumerate(request.get("note", ()), 1)]
    if kind == "OML^O33":
        return Draft(kind, (*person, *told, *order))
    person += [*coverages(own, record, peer), *allergies(own, peer)]
    reasons = [one for one in record.all(request.get("reasonReference")) if _is(one, "Condition")]
    order += diagnoses(None, Belongings(reasons), record, peer)
    place = 1
    for one in record.all(request.get("supportingInfo")):
        if _is(one, "Observation"):
            made = obxs(place, one, record, peer)
            place += sum(each.name == "OBX" for each in made)
            order += made
    return Draft(kind, (*person, *order, *told))
