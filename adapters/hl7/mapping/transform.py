"""One message as FHIR resources: pure, from text to writes.

https://hl7.org/fhir/uv/v2mappings/STU1/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from adapters.hl7.mapping import event_time, quirks
from adapters.hl7.mapping.context import (
    Content,
    Context,
    Link,
    Merge,
    Profile,
    Refusal,
    Untranslated,
    Write,
)
from adapters.hl7.mapping.datatypes.dtm import offset_of
from adapters.hl7.mapping.messages import (
    adt,
    charges,
    documents,
    immunization,
    merge,
    orders,
    oru,
    schedule,
)
from adapters.hl7.mapping.segments.author import author
from adapters.hl7.mapping.sender_rules import USUAL_CRITICAL, Critical
from adapters.hl7.mapping.tracing import Trace
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import Message

MAP_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message became.

    `writes` are in the order in which they refer to one another; `unmapped` lists
    (address, reason) of every leaf that is in no resource; `warnings` count
    findings; `links` are references to what other messages bring, `merges` what is
    to be taken over, `untranslated` the codes without a translation; `critical` is what
    is agreed about results that somebody must be told of. `event_time` is when the
    message as a whole says that this was so, `said` what it says of itself (segments/author).
    `binaries` are the bytes of documents.
    """

    writes: tuple[Write, ...]
    unmapped: tuple[tuple[str, str], ...]
    warnings: Mapping[str, int]
    links: tuple[Link, ...] = ()
    merges: tuple[Merge, ...] = ()
    untranslated: tuple[Untranslated, ...] = ()
    critical: Critical = USUAL_CRITICAL
    event_time: datetime | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    binaries: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageMap:
    """How a message type is mapped, and what it cannot do without.

    `required` are (segment, reason of the inbox when it is missing).
    """

    add: Callable[[Context], None]
    required: tuple[tuple[str, str], ...] = ()


_MAPS: Final[Mapping[tuple[str, str], MessageMap]] = {
    ("ORU", "R01"): MessageMap(oru.results, (("PID", "NO_PATIENT_ID"), ("OBR", "NO_RESULTS"))),
    **{
        ("OUL", event): MessageMap(oru.results, (("SPM", "NO_RESULTS"), ("OBR", "NO_RESULTS")))
        for event in ("R22", "R23", "R24")
    },
    **{
        place: MessageMap(orders.orders, (("PID", "NO_PATIENT_ID"), ("ORC", "MAPPING_ERROR")))
        for place in (("OML", "O21"), ("OML", "O33"), ("OML", "O35"), ("ORM", "O01"))
    },
    **{
        ("SIU", event): MessageMap(schedule.appointment, (("SCH", "MAPPING_ERROR"),))
        for event in schedule.EVENTS
    },
    **{
        ("MDM", event): MessageMap(
            documents.document, (("PID", "NO_PATIENT_ID"), ("TXA", "MAPPING_ERROR"))
        )
        for event in documents.EVENTS
    },
    ("DFT", "P03"): MessageMap(
        charges.charges, (("PID", "NO_PATIENT_ID"), ("FT1", "MAPPING_ERROR"))
    ),
    ("VXU", "V04"): MessageMap(
        immunization.immunizations, (("PID", "NO_PATIENT_ID"), ("RXA", "MAPPING_ERROR"))
    ),
    **{
        ("ADT", event): MessageMap(
            merge.merges, (("PID", "NO_PATIENT_ID"), ("MRG", "NO_PATIENT_ID"))
        )
        for event in merge.EVENTS
    },
    **{
        ("ADT", event): MessageMap(adt.admissions, (("PID", "NO_PATIENT_ID"),))
        for event in adt.EVENTS
    },
    ("ADT", "A20"): MessageMap(adt.bed_status, (("NPU", "MAPPING_ERROR"),)),
    **{
        ("ADT", event): MessageMap(merge.links, (("PID", "NO_PATIENT_ID"),))
        for event in ("A24", "A37")
    },
}


def supports(kind: str, event: str) -> bool:
    """Whether messages of this type and event are mapped."""
    return (kind, event) in _MAPS


def knows_type(kind: str) -> bool:
    """Whether any event of this type is mapped."""
    return any(kind == known for known, _ in _MAPS)


def required(kind: str, event: str) -> tuple[tuple[str, str], ...]:
    """Return the (segment, reason of the inbox) that a message must have."""
    return _MAPS[kind, event].required if (kind, event) in _MAPS else ()


def transform(
    message: Message,
    profile: Profile,
    known: Mapping[str, str] | None = None,
    trace: Trace | None = None,
) -> Mapped:
    """Return the resources of a message; raises Refusal with a reason of the inbox.

    `known` gives the literal reference of what is stored already (see Context); `trace`
    is filled with what went where.
    """
    if trace is not None:
        message.mapped = trace.marks
    kind = message.header.first(9)
    place = (kind.peek(1), kind.peek(2)) if kind else ("", "")
    mapping = _MAPS.get(place)
    if mapping is None:
        raise Refusal("UNSUPPORTED_MESSAGE", "The message type is not mapped", "MSH-9", "200")
    changed = quirks.corrected(message, profile.quirks)
    if message.source is not None:
        # The number in records of ASTM is a specimen's, of which many tests are ordered.
        profile = replace(profile, placer_scope="group")
    offset = offset_of(message.header.peek(7))
    context = Context(message, profile, offset, known or {}, trace=trace)
    told = context.event_time = event_time.of_message(context)
    mapping.add(context)
    said = author(context)
    quirks.extended(context, profile.extensions)
    quirks.settle(message, changed)
    for finding, count in message.counts.items():
        context.warnings[finding] = context.warnings.get(finding, 0) + count
    return Mapped(
        tuple(context.writes.values()),
        tuple(accounting.unmapped(message)),
        context.warnings,
        tuple(context.links),
        tuple(context.merges),
        tuple(context.untranslated),
        profile.critical,
        told,
        said,
        tuple(context.binaries.values()),
    )
