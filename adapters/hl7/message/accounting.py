"""The account of a message's leaves: each is in a resource or listed with a reason."""

from collections.abc import Iterator

from adapters.hl7.message.tokenizer import NULL, Address, Message, Segment, Source, leaves

NO_TARGET = "no_target"
CONDITION_FALSE = "condition_false"
PROFILE_IGNORED = "profile_ignored"
CONTROL = "control"
Z_SEGMENT = "z_segment"
NULL_VALUE = "null"
DUPLICATE = "duplicate_of"
PRECISION = "precision"
FORMATTING = "formatting"
INVALID_VALUE = "invalid_value"

REASONS = (
    NO_TARGET,
    CONDITION_FALSE,
    PROFILE_IGNORED,
    CONTROL,
    Z_SEGMENT,
    NULL_VALUE,
    DUPLICATE,
    PRECISION,
    FORMATTING,
    INVALID_VALUE,
)

_WITH_SET_ID = (
    *("PID", "PV1", "OBR", "NTE", "SPM", "NK1", "TQ1", "DG1", "TXA", "FT1", "PR1", "IN1", "GT1"),
    *("AL1", "IAM", "AIS", "AIG", "AIL", "AIP", "RGS"),
)
_CONTROL_FIELDS = {
    "RXA": frozenset((1, 2)),
    "MSH": frozenset((1, 2, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 21)),
    "OBX": frozenset((1, 2)),
    **{name: frozenset((1,)) for name in _WITH_SET_ID},
}
_NO_FIELDS: frozenset[int] = frozenset()


def valued(message: Message) -> Iterator[Address]:
    """Yield the address of each leaf that is not empty."""
    for segment in message.segments:
        for number in range(1, len(segment.fields)):
            if segment.fields[number]:
                yield from leaves(segment, number)


def unmapped(message: Message) -> list[tuple[str, str]]:
    """Return (address, reason) of each leaf that is in no resource, in message order.

    A leaf that nobody spoke for has no target, so that what is mapped and what is
    listed are together all leaves. Of a translated message the leaves are those of its
    source.
    """
    if message.source is not None:
        return _untranslated(message, message.source)
    found = []
    for segment in message.segments:
        fields = segment.fields
        for number in range(1, len(fields)):
            raw = fields[number]
            if raw and not _all_mapped(message, segment, number, raw):
                found += _listed(message, segment, number)
    return found


def _untranslated(message: Message, source: Source) -> list[tuple[str, str]]:
    """Return (address, reason) of each leaf of the source of which nothing is in a resource."""
    arrived = {origin for place in message.mapped for origin in source.origins.get(place, ())}
    reasons = dict(source.leaves)
    for place, origins in source.origins.items():
        if place not in message.mapped:
            segment = message.segments[place[0]]
            reason = message.refused.get(place) or _reason(segment, place)
            reasons.update((o, reason) for o in origins if reasons[o] != CONTROL)
    return [(origin, reason) for origin, reason in reasons.items() if origin not in arrived]


def _all_mapped(message: Message, segment: Segment, number: int, raw: str) -> bool:
    """Whether a field without repetitions and subcomponents is in a resource entirely."""
    mapped, index = message.mapped, segment.index
    marks = message.delimiters
    if marks.component not in raw:
        return (
            (index, number, 1, 1, 1) in mapped
            and marks.repetition not in raw
            and marks.subcomponent not in raw
        )
    if marks.repetition in raw or marks.subcomponent in raw or segment.is_text(number):
        return False
    for component, leaf in enumerate(raw.split(marks.component), 1):
        if leaf and (index, number, 1, component, 1) not in mapped:
            return False
    return True


def _listed(message: Message, segment: Segment, number: int) -> list[tuple[str, str]]:
    return [
        (written(segment, address), message.refused.get(address) or _reason(segment, address))
        for address in leaves(segment, number)
        if address not in message.mapped
    ]


def written(segment: Segment, address: Address) -> str:
    """Return an address as text, such as `OBX[2]-5[1].1.1`."""
    _, number, repetition, component, sub = address
    return f"{segment.name}[{segment.occurrence}]-{number}[{repetition}].{component}.{sub}"


def _reason(segment: Segment, address: Address) -> str:
    if segment.name.startswith("Z"):
        return Z_SEGMENT
    if address[1] in _CONTROL_FIELDS.get(segment.name, _NO_FIELDS):
        return CONTROL
    return NULL_VALUE if _is_null(segment, address) else NO_TARGET


def _is_null(segment: Segment, address: Address) -> bool:
    _, number, repetition, component, sub = address
    marks = segment.message.delimiters
    text = segment.fields[number].split(marks.repetition)[repetition - 1]
    if segment.is_text(number):
        return text == NULL
    text = text.split(marks.component)[component - 1]
    return text.split(marks.subcomponent)[sub - 1] == NULL
