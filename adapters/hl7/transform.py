"""One message as FHIR resources: pure, from text to writes.

https://hl7.org/fhir/uv/v2mappings/STU1/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.hl7 import accounting
from adapters.hl7.context import Context, Profile, Refusal, Write
from adapters.hl7.datatypes.dtm import offset_of
from adapters.hl7.mapping import oru
from adapters.hl7.tokenizer import Message

MAP_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message became.

    `writes` are in the order in which they refer to one another; `unmapped` lists
    (address, reason) of every leaf that is in no resource; `warnings` count
    findings.
    """

    writes: tuple[Write, ...]
    unmapped: tuple[tuple[str, str], ...]
    warnings: Mapping[str, int]


_MAPS: Final[Mapping[tuple[str, str], Callable[[Context], None]]] = {
    ("ORU", "R01"): oru.results,
}


def supports(kind: str, event: str) -> bool:
    """Whether messages of this type and event are mapped."""
    return (kind, event) in _MAPS


def knows_type(kind: str) -> bool:
    """Whether any event of this type is mapped."""
    return any(kind == known for known, _ in _MAPS)


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
    mapping(context)
    for finding, count in message.counts.items():
        context.warnings[finding] = context.warnings.get(finding, 0) + count
    return Mapped(
        tuple(context.writes.values()),
        tuple(accounting.unmapped(message)),
        context.warnings,
    )
