"""One message as FHIR resources: pure, from text to writes.

https://hl7.org/fhir/uv/v2mappings/STU1/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.context import (
    Context,
    Link,
    Merge,
    Profile,
    Refusal,
    Untranslated,
    Write,
)
from adapters.hl7.mapping.datatypes.dtm import offset_of
from adapters.hl7.mapping.messages import oru
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import Message

MAP_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message became.

    `writes` are in the order in which they refer to one another; `unmapped` lists
    (address, reason) of every leaf that is in no resource; `warnings` count
    findings; `links` are references to what other messages bring, `merges` what is
    to be taken over, `untranslated` the codes without a translation.
    """

    writes: tuple[Write, ...]
    unmapped: tuple[tuple[str, str], ...]
    warnings: Mapping[str, int]
    links: tuple[Link, ...] = ()
    merges: tuple[Merge, ...] = ()
    untranslated: tuple[Untranslated, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageMap:
    """How a message type is mapped, and what it cannot do without.

    `required` are (segment, reason of the inbox when it is missing).
    """

    add: Callable[[Context], None]
    required: tuple[tuple[str, str], ...] = ()


_MAPS: Final[Mapping[tuple[str, str], MessageMap]] = {
    ("ORU", "R01"): MessageMap(oru.results, (("PID", "NO_PATIENT_ID"), ("OBR", "NO_RESULTS"))),
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


def transform(message: Message, profile: Profile, known: Mapping[str, str] | None = None) -> Mapped:
    """Return the resources of a message; raises Refusal with a reason of the inbox.

    `known` gives the literal reference of what is stored already (see Context).
    """
    kind = message.header.first(9)
    place = (kind.peek(1), kind.peek(2)) if kind else ("", "")
    mapping = _MAPS.get(place)
    if mapping is None:
        raise Refusal("UNSUPPORTED_MESSAGE", "The message type is not mapped", "MSH-9", "200")
    offset = offset_of(message.header.peek(7))
    context = Context(message, profile, offset, known or {})
    mapping.add(context)
    for finding, count in message.counts.items():
        context.warnings[finding] = context.warnings.get(finding, 0) + count
    return Mapped(
        tuple(context.writes.values()),
        tuple(accounting.unmapped(message)),
        context.warnings,
        tuple(context.links),
        tuple(context.merges),
        tuple(context.untranslated),
    )
