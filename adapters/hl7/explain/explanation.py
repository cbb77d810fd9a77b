"""A message explained: every leaf with where it went and by which rule, or why nowhere."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.explain import words
from adapters.hl7.explain.located import Spot, located
from adapters.hl7.explain.rules import rule
from adapters.hl7.mapping.context import Json, Profile, Refusal
from adapters.hl7.mapping.tracing import Trace
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import Address, Message, Segment
from adapters.hl7.records import transmission

REFUSED: Final = "refused"
"""Instead of a reason of the account: the message as a whole cannot be mapped."""


@dataclass(frozen=True, slots=True)
class Target:
    """An element that a leaf became, or a part of.

    `resource` is such as `Observation[2]`, counted from 1 in the order of writing, with
    its `label`; `path` is a FHIRPath whose list positions count from 0. `map` is the
    guide's and `decision` ours. Without `exact` no resource of the message has it.
    """

    resource: str
    label: str
    path: str
    value: str
    extension: str
    rule: str
    map: str
    decision: str
    exact: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A leaf: its address (`OBX[2]-5[1].1.1`), its text, and what became of it."""

    segment: str
    address: str
    position: str
    value: str
    targets: tuple[Target, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that would be written: by which method, under which identity."""

    name: str
    label: str
    method: str
    identity: tuple[str, ...]
    resource: Json


@dataclass(frozen=True, slots=True)
class Explanation:
    """A message and what becomes of it.

    `refusal` is (reason of the inbox, text) where it cannot be mapped. `counts` are the
    leaves by `mapped` or reason.
    """

    type: str
    sender: str
    profile: str
    lines: tuple[Line, ...]
    made: tuple[Made, ...]
    warnings: Mapping[str, int]
    untranslated: tuple[str, ...]
    refusal: tuple[str, str] | None
    counts: Mapping[str, int]


def explain(message: Message, profile: Profile) -> Explanation:
    """Map a message and return where each of its leaves went. Nothing is stored."""
    trace = Trace()
    mapped: Mapped | None = None
    refusal: tuple[str, str] | None = None
    try:
        mapped = transform(message, profile, trace=trace)
    except Refusal as refused:
        place = f"{refused.place}: " if refused.place else ""
        refusal = (refused.reason, f"{place}{refused.text}")
    names = _names(mapped)
    spots = _spots(message, mapped, trace)
    reasons = dict(mapped.unmapped) if mapped else {}
    lines = tuple(_lines(message, spots, names, reasons))
    counts = Counter("mapped" if line.targets else line.reason for line in lines)
    return Explanation(
        message.header.raw(9).replace(message.delimiters.component, "^"),
        profile.sender,
        profile.label or "none",
        lines,
        _made(mapped, names),
        mapped.warnings if mapped else {},
        tuple(_untranslated(mapped)),
        refusal,
        dict(counts),
    )


def _untranslated(mapped: Mapped | None) -> list[str]:
    found = mapped.untranslated if mapped else ()
    return list(dict.fromkeys(f"{one.field} {one.code or one.unit}".strip() for one in found))


def _resources(mapped: Mapped) -> list[tuple[str, Json]]:
    """Return what the message says as resources: what it writes, retires, and tells of itself."""
    found = [(write.full_url, write.resource) for write in mapped.writes]
    found += [(f"merge {n}", one.said) for n, one in enumerate(mapped.merges) if one.said]
    found += [
        (f"binary {n}", one.resource) for n, one in enumerate(mapped.binaries) if one.resource
    ]
    told: Json = {"resourceType": "Provenance"}
    if "occurred" in mapped.said:
        told["occurredDateTime"] = mapped.said["occurred"]
    told["agent"] = [{"who": who} for who in mapped.said.get("author", ())]
    return [*found, ("provenance", told)]


def _names(mapped: Mapped | None) -> dict[str, tuple[str, str]]:
    """Return name and label of each resource by its full URL; one alone has no number."""
    found = _resources(mapped) if mapped else []
    total = Counter(str(one["resourceType"]) for _, one in found)
    seen: Counter[str] = Counter()
    names = {}
    for url, one in found:
        kind = str(one["resourceType"])
        seen[kind] += 1
        name = f"{kind}[{seen[kind]}]" if total[kind] > 1 else kind
        names[url] = (name, words.label(one))
    return names


def _spots(message: Message, mapped: Mapped | None, trace: Trace) -> Mapping[Address, list[Spot]]:
    found: dict[Address, list[Spot]] = defaultdict(list)
    if mapped is not None:
        for spot in located(trace, _resources(mapped), lambda place: _text(message, place)):
            known = found[spot.address]
            if all((one.full_url, one.path) != (spot.full_url, spot.path) for one in known):
                known.append(spot)
    return {place: _firm(spots) for place, spots in found.items()}


def _firm(spots: Sequence[Spot]) -> list[Spot]:
    """Return those that are in a resource, unless none is: the others were put aside there."""
    return [one for one in spots if one.exact] or list(spots)


def _text(message: Message, address: Address) -> str:
    """Return what a leaf says, unescaped."""
    index, number, repetition, component, sub = address
    segment, marks = message.segments[index], message.delimiters
    raw = segment.raw(number)
    if segment.name == "MSH" and number in {1, 2}:
        return raw
    text = _part(raw, marks.repetition, repetition)
    if not segment.is_text(number):
        text = _part(_part(text, marks.component, component), marks.subcomponent, sub)
    return message.unescaped(text).strip()


def _part(text: str, mark: str, number: int) -> str:
    parts = text.split(mark)
    return parts[number - 1] if number <= len(parts) else ""


def _lines(
    message: Message,
    spots: Mapping[Address, Sequence[Spot]],
    names: Mapping[str, tuple[str, str]],
    reasons: Mapping[str, str],
) -> list[Line]:
    if message.source is not None:
        return _record_lines(message, spots, names, reasons)
    found = []
    for address in accounting.valued(message):
        segment = message.segments[address[0]]
        at = accounting.written(segment, address)
        targets = tuple(_target(segment, address, one, names) for one in spots.get(address, ()))
        reason = "" if targets else reasons.get(at, REFUSED)
        name = f"{segment.name}[{segment.occurrence}]"
        position = _position(segment, address)
        found.append(Line(name, at, position, _text(message, address), targets, reason))
    return found


def _position(segment: Segment, address: Address) -> str:
    """Return field, repetition, component and subcomponent as far as there are several."""
    _, number, repetition, component, sub = address
    marks, raw = segment.message.delimiters, segment.raw(number)
    text = str(number)
    if segment.name == "MSH" and number in {1, 2}:
        return text
    if marks.repetition in raw:
        text += f"[{repetition}]"
    if segment.is_text(number) or (marks.component not in raw and marks.subcomponent not in raw):
        return text
    text += f".{component}"
    return f"{text}.{sub}" if marks.subcomponent in raw and sub > 1 else text


def _target(
    segment: Segment, address: Address, spot: Spot, names: Mapping[str, tuple[str, str]]
) -> Target:
    name, label = names.get(spot.full_url, ("", ""))
    kind = spot.kind
    number = address[1]
    value_type = segment.raw(2).strip() if (segment.name, number) == ("OBX", 5) else ""
    guide, decision = rule(segment.name, number, value_type, kind, spot.path)
    told = " ".join(filter(None, (f"{segment.name}-{number}", value_type)))
    value = "" if spot.value is None else str(spot.value)
    target = name or kind
    return Target(target, label, spot.path, value, spot.url, told, guide, decision, spot.exact)


def _record_lines(
    message: Message,
    spots: Mapping[Address, Sequence[Spot]],
    names: Mapping[str, tuple[str, str]],
    reasons: Mapping[str, str],
) -> list[Line]:
    """Return the leaves of the records that the message was translated from."""
    assert message.source is not None  # of a message that is none itself
    places: dict[str, list[Address]] = defaultdict(list)
    for place, origins in message.source.origins.items():
        for origin in origins:
            places[origin].append(place)
    found = []
    for record, number, leaf in transmission.parse(message.source.text).leaves():
        targets = tuple(
            _target(message.segments[place[0]], place, one, names)
            for place in places[leaf.address]
            for one in spots.get(place, ())
        )
        reason = "" if targets else reasons.get(leaf.address, REFUSED)
        name = f"{record.type}[{record.occurrence}]"
        position = _record_position(record, number, leaf.address)
        found.append(Line(name, leaf.address, position, leaf.text, targets, reason))
    return found


def _record_position(record: transmission.Record, number: int, address: str) -> str:
    place = address.partition("-")[2].replace("[1].", ".")
    several = len(record.components(number)) > 1 or "[" in place
    return place if several else place.partition(".")[0]


def _made(mapped: Mapped | None, names: Mapping[str, tuple[str, str]]) -> tuple[Made, ...]:
    writes = mapped.writes if mapped else ()
    return tuple(
        Made(*names[one.full_url], one.method, one.identity, one.resource) for one in writes
    )
