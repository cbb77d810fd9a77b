"""What a sender does otherwise than the standard, put right before a message is mapped.

The message is mapped as corrected and accounted for as it came: what was moved counts
where it stood.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.mapping.context import Context, Json, extend
from adapters.hl7.mapping.datatypes import dtm, nm
from adapters.hl7.mapping.sender_rules import Condition, LocalExtension, Place, Quirk
from adapters.hl7.message.accounting import PROFILE_IGNORED
from adapters.hl7.message.tokenizer import NULL, Address, Message, Segment, leaves

_TRUE: Final = {"Y": True, "1": True, "TRUE": True, "N": False, "0": False, "FALSE": False}


@dataclass(slots=True)
class Corrected:
    """What was changed: the fields as they came, where moved leaves went, what was dropped."""

    came: dict[tuple[int, int], str] = field(default_factory=dict)
    moved: list[tuple[Segment, Place, Segment, Place]] = field(default_factory=list)
    dropped: list[tuple[Segment, Place]] = field(default_factory=list)


def corrected(message: Message, quirks: Sequence[Quirk]) -> Corrected | None:
    """Apply the quirks to the message in their order; None where there are none."""
    if not quirks:
        return None
    done = Corrected()
    for quirk in quirks:
        for segment in message.named(quirk.target.segment):
            _apply(message, quirk, segment, done)
    return done


def settle(message: Message, done: Corrected | None) -> None:
    """Put the fields back as they came, and account for the leaves where they stood."""
    if done is None:
        return
    gone: dict[Address, str] = {}
    for source, at, target, to in done.moved:
        gone |= _follow(message, (source, at), (target, to))
    _restore(message, done)
    overwritten = [(target, to) for _, _, target, to in done.moved]
    for segment, place in (*overwritten, *done.dropped):
        for address in _at(segment, place):
            message.mapped.pop(address, None)
            message.refused[address] = PROFILE_IGNORED
    for address, path in gone.items():
        if address in set(leaves(message.segments[address[0]], address[1])):
            message.mapped[address] = path


def _restore(message: Message, done: Corrected) -> None:
    """Put the fields back; what was mapped where nothing came is no leaf of the message."""
    for (index, number), raw in done.came.items():
        segment = message.segments[index]
        segment.fields[number] = raw
        valued = set(leaves(segment, number))
        strays = [a for a in message.mapped if a[:2] == (index, number) and a not in valued]
        for address in strays:
            del message.mapped[address]


def _apply(message: Message, quirk: Quirk, segment: Segment, done: Corrected) -> None:
    if quirk.when is not None and not _holds(message, quirk.when, segment):
        return
    present = _raw(segment, quirk.target)
    if quirk.kind == "drop":
        if present:
            _put(segment, quirk.target, "", done)
            done.dropped.append((segment, quirk.target))
    elif quirk.kind == "table":
        _translate(message, quirk, segment, done)
    elif quirk.kind == "default":
        if not present:
            _put(segment, quirk.target, _escaped(message, quirk.value), done)
    elif quirk.source is not None and (quirk.overwrite or not present):
        _take(message, quirk, segment, done)


def _translate(message: Message, quirk: Quirk, segment: Segment, done: Corrected) -> None:
    """Put the standard's codes for the sender's own, in every repetition of the field."""
    marks, place = message.delimiters, quirk.target
    repetitions = segment.raw(place.number).split(marks.repetition)
    for n, text in enumerate(repetitions):
        code = message.unescaped(_part(text, marks.component, place.component)).strip()
        if code in quirk.codes:
            standard = _escaped(message, quirk.codes[code])
            repetitions[n] = _with(text, marks.component, place.component, standard)
    field_ = marks.repetition.join(repetitions)
    if field_ != segment.raw(place.number):
        _put(segment, Place(place.segment, place.number), field_, done)


def _take(message: Message, quirk: Quirk, segment: Segment, done: Corrected) -> None:
    """Copy or move to the segment from the nearest one that has the source."""
    assert quirk.source is not None  # of a copy or move
    source = _nearest(message, quirk.source.segment, segment)
    raw = _raw(source, quirk.source) if source is not None else ""
    if source is None or raw in {"", NULL}:
        return
    _put(segment, quirk.target, raw, done)
    done.moved.append((source, quirk.source, segment, quirk.target))
    if quirk.kind == "move":
        _put(source, quirk.source, "", done)


def _nearest(message: Message, name: str, segment: Segment) -> Segment | None:
    """Return the segment itself, else the last one of the name before it, else the first."""
    if segment.name == name:
        return segment
    named = message.named(name)
    before = [one for one in named if one.index < segment.index]
    return before[-1] if before else next(iter(named), None)


def _holds(message: Message, condition: Condition, segment: Segment) -> bool:
    tested = (
        [segment]
        if segment.name == condition.place.segment
        else message.named(condition.place.segment)
    )
    return any(
        condition.pattern.search(message.unescaped(_raw(one, condition.place))) for one in tested
    )


def _raw(segment: Segment, place: Place) -> str:
    """Return what lies at a place, in the first repetition where it is not a whole field."""
    marks = segment.message.delimiters
    text = segment.raw(place.number)
    if not place.component:
        return text
    text = _part(text, marks.repetition, 1)
    if not segment.is_text(place.number):
        text = _part(text, marks.component, place.component)
        return _part(text, marks.subcomponent, place.sub) if place.sub else text
    return text if place.component == 1 else ""


def _part(text: str, mark: str, number: int) -> str:
    parts = text.split(mark)
    return parts[number - 1] if number <= len(parts) else ""


def _put(segment: Segment, place: Place, raw: str, done: Corrected) -> None:
    """Set what lies at a place, keeping the field as it came."""
    fields = segment.fields
    fields += [""] * (place.number + 1 - len(fields))
    done.came.setdefault((segment.index, place.number), fields[place.number])
    if not place.component:
        fields[place.number] = raw
        return
    marks = segment.message.delimiters
    first, mark, rest = fields[place.number].partition(marks.repetition)
    if place.sub:
        component = _part(first, marks.component, place.component)
        raw = _with(component, marks.subcomponent, place.sub, raw)
    first = _with(first, marks.component, place.component, raw)
    fields[place.number] = first + mark + rest


def _with(text: str, mark: str, number: int, part: str) -> str:
    parts = text.split(mark)
    parts += [""] * (number - len(parts))
    parts[number - 1] = part
    return mark.join(parts).rstrip(mark)


def _escaped(message: Message, text: str) -> str:
    """Return a text of the profile with the message's delimiters escaped."""
    marks = message.delimiters
    names = {
        marks.escape: "E",
        marks.field: "F",
        marks.component: "S",
        marks.subcomponent: "T",
        marks.repetition: "R",
    }
    return "".join(f"{marks.escape}{names[c]}{marks.escape}" if c in names else c for c in text)


def _follow(
    message: Message, source: tuple[Segment, Place], target: tuple[Segment, Place]
) -> dict[Address, str]:
    """Return where leaves of the source went, by what became of them at the target."""
    (was, at), (now, to) = source, target
    found = {}
    for address, path in message.mapped.items():
        if address[:2] != (now.index, to.number):
            continue
        repetition, component, sub = address[2:]
        if to.component:
            if repetition != 1 or component != to.component or (to.sub and sub != to.sub):
                continue
            component -= to.component - 1
            sub -= max(to.sub, 1) - 1
        if at.component:
            component += at.component - 1
            sub += max(at.sub, 1) - 1
        found[(was.index, at.number, repetition, component, sub)] = path
    return found


def _at(segment: Segment, place: Place) -> Iterator[Address]:
    for address in leaves(segment, place.number):
        _, _, repetition, component, sub = address
        if place.component and (repetition, component) != (1, place.component):
            continue
        if not place.sub or sub == place.sub:
            yield address


def extended(ctx: Context, wanted: Sequence[LocalExtension]) -> None:
    """Add the extensions that the profile makes of leaves.

    Only where the message has one resource of the type: an extension at the wrong patient
    would be worse than none.
    """
    for one in wanted:
        for segment in ctx.message.named(one.place.segment):
            _extend(ctx, segment, one)


def _extend(ctx: Context, segment: Segment, one: LocalExtension) -> None:
    rep = segment.first(one.place.number)
    if rep is None:
        return
    component, sub = max(one.place.component, 1), max(one.place.sub, 1)
    value = _typed(ctx, one.kind, rep.peek(component, sub))
    resources = [
        write.resource
        for write in ctx.writes.values()
        if write.resource["resourceType"] == one.resource
    ]
    if value is None or not resources:
        return
    if len(resources) > 1:
        ctx.warn(f"The extension of {one.place} could be of several resources")
        return
    extension: Json = {"url": one.url, f"value{one.kind[0].upper()}{one.kind[1:]}": value}
    extend(resources[0], extension)
    rep.mark(component, f"{one.resource}.extension", sub)


def _typed(ctx: Context, kind: str, text: str) -> object:
    """Return a text as a value of the type; None where it is none."""
    if kind in {"string", "code"}:
        return text or None if kind == "string" else " ".join(text.split()) or None
    if kind == "boolean":
        return _TRUE.get(text.upper())
    if kind in {"date", "dateTime"}:
        found = dtm.read(ctx, text)
        return None if found is None else found.text[:10] if kind == "date" else found.text
    return _number(kind, text)


def _number(kind: str, text: str) -> object:
    number = nm.number(text)
    if number is None or number.comparator:
        return None
    if kind == "decimal":
        return number.value
    return int(number.value) if number.value == number.value.to_integral_value() else None
