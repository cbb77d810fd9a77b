"""Results that follow from a result: susceptibilities of an isolate, reflex tests.

HL7 v2.9 chapter 7, sections 7.4.1.26 (OBR-26 Parent Result), 7.4.1.29 (OBR-29 Parent
Order) and 7.4.2.4 (OBX-4 Observation Sub-ID).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, Link, add
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.segments.order import Order, link_parents
from adapters.hl7.message.tokenizer import Repetition, Segment

CODED: Final = frozenset(("CE", "CWE", "CNE", "CF"))
_SUSCEPTIBILITY: Final = frozenset(
    ("S", "I", "R", "SDD", "NS", "MS", "VS", "SYN-S", "SYN-R", "NCL", "IE")
)
_ISOLATE: Final = "ISLT"
_PATH: Final = "Observation.derivedFrom"


@dataclass(frozen=True, slots=True)
class Reported:
    """An order of a message with what its report became: references, "" where there is none.

    `results` are OBX and Observation.
    """

    asked: Order
    patient: str
    request: str
    specimen: str
    results: tuple[tuple[Segment, str], ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """The result that an order names as its parent: numbers of its order as tokens, and name."""

    numbers: tuple[str, ...]
    code: str
    sub_id: str
    text: str


def aliases(ctx: Context, numbers: Sequence[str], obx: Segment) -> Iterator[Json]:
    """Yield the keys under which a later message finds a result as its parent.

    Only a coded result, or one of several parts (OBX-4), has children.
    """
    text = next((one for one in _texts(obx)[1:] if one), "") if obx.raw(2) in CODED else ""
    for number in numbers:
        yield ctx.key_identifier(_alias(ctx, number, _code(obx), obx.peek(4)))
        if text:
            yield ctx.key_identifier(_named(ctx, number, text))


def numbers_of(asked: Order) -> tuple[str, ...]:
    """Return the placer and filler numbers of an order as tokens."""
    return tuple(hd.token(one) for one in (*asked.placers, *asked.fillers))


def link(ctx: Context, reported: Sequence[Reported]) -> None:
    """Join children and parents, whether the parents are in this message or not."""
    for one in reported:
        if one.asked.obr.raw(29) or one.asked.obr.raw(54) or one.asked.orc.raw(8):
            parent = _parent(ctx, one.asked)
            others = [other for other in reported if _is_of(parent, other) and other is not one]
            _order(ctx, one, others)
            if one.asked.obr.raw(26):
                _follow(ctx, one, parent, others)
        _within(ctx, one)


def _is_of(parent: Parent, other: Reported) -> bool:
    return not set(parent.numbers).isdisjoint(numbers_of(other.asked))


def _order(ctx: Context, child: Reported, parents: Sequence[Reported]) -> None:
    """An order that follows from another one is a reflex order, and based on it."""
    if child.request not in ctx.writes:
        return
    request = ctx.writes[child.request].resource
    if not child.asked.obr.raw(11):
        request["intent"] = "reflex-order"
    found = [one.request for one in parents if one.request]
    if found:
        request["basedOn"] = [{"reference": one} for one in dict.fromkeys(found)]
        awaited = (child.request, "basedOn")
        ctx.links[:] = [one for one in ctx.links if (one.full_url, one.element) != awaited]
    elif not any(one.full_url == child.request for one in ctx.links):
        link_parents(ctx, child.request, request)


def _follow(ctx: Context, child: Reported, parent: Parent, others: Sequence[Reported]) -> None:
    rep = child.asked.obr.first(26)
    if rep is None or not parent.numbers or not child.results:
        return
    _mark(rep)
    isolate = _isolate(ctx, child, parent)
    found = _found(parent, others)
    for obx, reference in child.results:
        resource = ctx.writes[reference].resource
        if isolate and _is_susceptibility(obx):
            resource["specimen"] = {"reference": isolate}
        if found:
            _join(ctx, found, reference)
        else:
            _await(ctx, parent, reference)


def _parent(ctx: Context, asked: Order) -> Parent:
    numbers: list[str] = []
    for segment, number in ((asked.obr, 29), (asked.obr, 54), (asked.orc, 8)):
        rep = segment.first(number)
        for component, default in ((1, "placer"), (2, "filler")):
            if rep is not None and (token := _number(ctx, rep, component, default)):
                numbers.append(token)
    named = asked.obr.first(26)
    if named is None:
        return Parent(tuple(numbers), "", "", "")
    return Parent(
        tuple(dict.fromkeys(numbers)),
        named.peek(1) or named.peek(1, 2),
        named.peek(2),
        named.peek(3),
    )


def _number(ctx: Context, rep: Repetition, component: int, default: str) -> str:
    value = rep.peek(component)
    if not value:
        return ""
    namespace, universal, kind = (rep.peek(component, sub) for sub in (2, 3, 4))
    system = hd.system_of(ctx, namespace, universal, kind, default)
    return hd.token({"system": system, "value": value})


def _mark(rep: Repetition) -> None:
    for component in (1, 2, 3):
        for sub in range(1, 7):
            rep.mark(component, _PATH, sub)


def _found(parent: Parent, others: Sequence[Reported]) -> str:
    """Return the parent's Observation in this message: by code and sub-id, else by its text."""
    candidates = [pair for one in others for pair in one.results]
    for obx, reference in candidates:
        if parent.code == _code(obx) and parent.sub_id in ("", obx.peek(4)):
            return reference
    for obx, reference in candidates:
        if parent.text and parent.text in _texts(obx):
            return reference
    return ""


def _texts(obx: Segment) -> tuple[str, ...]:
    rep = obx.first(5)
    return () if rep is None else (rep.peek(1), rep.peek(2), rep.peek(9))


def _code(obx: Segment) -> str:
    rep = obx.first(3)
    return "" if rep is None else rep.peek(1) or rep.peek(2)


def _alias(ctx: Context, number: str, code: str, sub_id: str) -> str:
    return ctx.key("Result", number, code, sub_id)


def _named(ctx: Context, number: str, text: str) -> str:
    return ctx.key("Result", number, text)


def _join(ctx: Context, parent: str, child: str) -> None:
    derived = {"reference": parent}
    if derived not in ctx.writes[child].resource.get("derivedFrom", ()):
        add(ctx.writes[child].resource, "derivedFrom", derived)
        add(ctx.writes[parent].resource, "hasMember", {"reference": child})


def _await(ctx: Context, parent: Parent, child: str) -> None:
    """Refer to a parent that another message brings, by the key that it will have."""
    keys = [_alias(ctx, number, parent.code, parent.sub_id) for number in parent.numbers]
    reference: Json = {"type": "Observation", "identifier": ctx.key_identifier(keys[-1])}
    if parent.text:
        reference["display"] = parent.text
    add(ctx.writes[child].resource, "derivedFrom", reference)
    keys.reverse()
    if parent.text:
        keys += [_named(ctx, number, parent.text) for number in parent.numbers]
    identity = tuple(ctx.key_token(key) for key in keys)
    ctx.links.append(Link(child, "derivedFrom", "Observation", identity))
    ctx.links.append(Link(child, "hasMember", "Observation", identity, inverse=True))


def _isolate(ctx: Context, child: Reported, parent: Parent) -> str:
    """Return the Specimen of the isolate on which susceptibilities were tested, "" for none."""
    if not any(_is_susceptibility(obx) for obx, _ in child.results):
        return ""
    return isolate(ctx, child, (parent.numbers[-1], parent.code, parent.sub_id))


def isolate(ctx: Context, child: Reported, name: tuple[str, ...]) -> str:
    """Return a reference to the isolate of this name, whose parent is the order's specimen."""
    origin = ctx.writes.get(child.specimen)
    if origin is not None and _is_isolate(origin.resource):
        return ""
    resource: Json = {
        "resourceType": "Specimen",
        "type": {"coding": [{"system": THO + "v2-0487", "code": _ISOLATE}]},
        "subject": {"reference": child.patient},
    }
    if child.specimen:
        resource["parent"] = [{"reference": child.specimen}]
    return ctx.put_keyed(ctx.key("Isolate", *name), resource)


def _is_isolate(specimen: Json) -> bool:
    codings = specimen.get("type", {}).get("coding", ())
    return any(coding.get("code") == _ISOLATE for coding in codings)


def _is_susceptibility(obx: Segment) -> bool:
    return any(rep.peek() in _SUSCEPTIBILITY for rep in obx.repetitions(8))


def _within(ctx: Context, one: Reported) -> None:
    """Join organism and susceptibilities of one order by their sub-ids, where that is agreed."""
    if ctx.profile.subid_grouping == "none":
        return
    for obx, reference in one.results:
        head = _head(ctx, obx, one)
        if head is None or head[1] == reference:
            continue
        _join(ctx, head[1], reference)
        if _is_susceptibility(obx) and one.asked.number:
            name = (one.asked.number, _code(head[0]), head[0].raw(4))
            if specimen := isolate(ctx, one, name):
                ctx.writes[reference].resource["specimen"] = {"reference": specimen}


def _head(ctx: Context, obx: Segment, one: Reported) -> tuple[Segment, str] | None:
    """Return the result of which this one is a part: sub-id `1` of `1.2`, or its group's."""
    if ctx.profile.subid_grouping == "OG":
        group = _group(obx)
        return _first_of(group, one) if group else None
    above = _own(obx).rpartition(".")[0]
    found = [pair for pair in one.results if above and _own(pair[0]) == above]
    # Another result, of which nothing is a part, may have the same sub-id.
    coded = [pair for pair in found if pair[0].raw(2) in CODED]
    return next(iter((*coded, *found)), None)


def _own(obx: Segment) -> str:
    return obx.peek(4) if obx.raw(4) else ""


def _group(obx: Segment) -> str:
    """Return the group of an OG."""
    rep = obx.first(4)
    return rep.peek(2) if rep is not None else ""


def _first_of(group: str, one: Reported) -> tuple[Segment, str] | None:
    """Return the organism of a group: its first coded result."""
    return next(
        (pair for pair in one.results if _group(pair[0]) == group and pair[0].raw(2) in CODED),
        None,
    )
