"""QBP^Q11: which work an analyzer asks for, and the response to it.

IHE Laboratory Technical Framework, volume 2b, transaction LAB-27.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import Header, Problem, Response, acknowledge
from adapters.hl7.message.tokenizer import Message, Segment

NAMES: Final = ("WOS", "WOS_ALL", "WOS_BY_RACK", "WOS_BY_TRAY", "WOS_BY_ISOLATE")
# Which fields of QPD name the place of a specimen: carrier and position.
_PLACES: Final = {"WOS_BY_RACK": (4, 5), "WOS_BY_TRAY": (6, 7)}
_LOCATION: Final = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A query for work: its name, its tag, and what it is about.

    `container` is the number on a label; `place` are carrier, position and, where it is
    said, location, joined by `^`. `problem` tells what is missing.
    """

    name: str
    tag: str
    container: str = ""
    place: str = ""
    problem: str = ""


def asked(message: Message, isolate_field: int) -> Asked:
    """Return what a QBP^Q11 asks for."""
    found = message.named("QPD")
    if not found:
        return Asked("", "", problem="QPD is missing")
    qpd = found[0]
    name, tag = qpd.peek(1), qpd.peek(2)
    if name not in NAMES:
        return Asked(name, tag, problem="The name of the query (QPD-1) is not known")
    if name in _PLACES:
        return _at_place(qpd, name, tag)
    number = qpd.peek(isolate_field if name == "WOS_BY_ISOLATE" else 3)
    missing = not number and name != "WOS_ALL"
    problem = "The number of the specimen is missing" if missing else ""
    return Asked(name, tag, "" if name == "WOS_ALL" else number, problem=problem)


def _at_place(qpd: Segment, name: str, tag: str) -> Asked:
    carrier, position = (qpd.peek(number) for number in _PLACES[name])
    if not carrier or not position:
        return Asked(name, tag, problem="The carrier or the position is missing")
    parts = (carrier, position, qpd.peek(_LOCATION))
    return Asked(name, tag, place="^".join(filter(None, parts)))


def response(  # noqa: PLR0913  (the parts of a response)
    header: Header,
    message: Message,
    now: datetime,
    status: str,
    kind: tuple[str, ...],
    *,
    problem: str = "",
    code: str = "207",
    profile: tuple[str, ...] = (),
    segments: tuple[str, ...] = (),
) -> bytes:
    """Return the response to a query: MSA, ERR, QAK with `status` (OK, NF, AE, AR), QPD again.

    `segments` follow; `problem` is told in ERR with its code of table 0357.
    """
    f = header.field
    qpd = next(iter(message.named("QPD")), None)
    name = _component(qpd, 1)
    tag = qpd.raw(2) if qpd else ""
    echo = f.join(qpd.fields) if qpd else ""
    qak = f.join(("QAK", tag, status, name)).rstrip(f)
    told = tuple(filter(None, (qak, echo, *segments)))
    problems = (Problem(problem, code, "QPD"),) if problem else ()
    msa = status if status in {"AE", "AR"} else "AA"
    return acknowledge(header, msa, now, problems, response=Response(kind, told, profile))


def _component(qpd: Segment | None, number: int) -> str:
    return qpd.raw(number) if qpd else ""
