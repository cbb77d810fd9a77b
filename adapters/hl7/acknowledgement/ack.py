"""Acknowledgements by template.

HL7 v2.9 chapter 2, sections 2.9 and 2.14 (MSA, ERR); table 0357.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.hl7.message.tokenizer import Message

POSITIVE: Final = frozenset(("AA", "CA"))
_PROFILE: Final = 21
_ERR_BY_COMPONENT: Final = (2, 5)  # the version from which ERR has the form of ERR-2
_MESSAGE: Final = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "207": "Application internal error",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What an acknowledgement takes from MSH: fields as they came, escapes included.

    `marks` is MSH-2; `codec` the Python codec of the message.
    """

    field: str = "|"
    marks: str = "^~\\&"
    sending: tuple[str, str] = ("", "")
    receiving: tuple[str, str] = ("", "")
    type: str = ""
    event: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = "2.5.1"
    charset: str = ""
    codec: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: what rule, its code of table 0357, and where; never a value.

    Without a code it is told by MSA-3 alone.
    `sequence` counts segments of the name, `number` is the field, from 1; 0 is no
    statement of field, component or subcomponent.
    """

    text: str
    code: str
    segment: str = ""
    sequence: int = 1
    number: int = 0
    repetition: int = 1
    component: int = 1
    subcomponent: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """The form of an answer: MSH-9 in its components, and segments after MSA and ERR.

    `profile` is MSH-21 in its components.
    """

    kind: tuple[str, ...]
    segments: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()


def acknowledge(
    header: Header,
    code: str,
    now: datetime,
    problems: Sequence[Problem] = (),
    *,
    expected: int | None = None,
    response: Response | None = None,
    closes: bool = False,
) -> bytes:
    """Return the acknowledgement with `code` in MSA-1 as bytes without block bytes.

    `now` has a time zone. `expected` is the next sequence number (MSA-4), `response`
    another form than ACK. An answer that `closes` an exchange in enhanced mode says
    that it wants no acknowledgement itself.
    """
    f, c = header.field, header.marks[:1] or "^"
    kind = response.kind if response else _general(header.event)
    msh = [
        f"MSH{f}{header.marks}",
        *header.receiving,
        *header.sending,
        f"{now:%Y%m%d%H%M%S%z}",
        "",
        c.join(kind),
        control_id(),
        header.processing_id,
        header.version,
    ]
    if header.charset or closes:
        wish = "NE" if closes else ""
        msh += ["", "", wish, wish, "", header.charset]
    if response and response.profile:
        msh += [""] * (_PROFILE - 2 - len(msh)) + [c.join(response.profile)]
    msa = ["MSA", code, header.control_id]
    if problems or expected is not None:
        msa.append(problems[0].text if problems else "")
    if expected is not None:
        msa.append(str(expected))
    segments = [f.join(msh).rstrip(f), f.join(msa)]
    segments += _errors(header, problems)
    segments += response.segments if response else ()
    text = "\r".join(segments) + "\r"
    return text.encode(header.codec, errors="replace")


def _general(event: str) -> tuple[str, ...]:
    return ("ACK", event, "ACK") if event else ("ACK",)


def header_of(message: Message) -> Header:
    """Return what an acknowledgement takes from the message."""
    msh = message.header
    component = message.delimiters.component
    kind = msh.raw(9).split(component)
    return Header(
        field=message.delimiters.field,
        marks=msh.raw(2) or "^~\\&",
        sending=(msh.raw(3), msh.raw(4)),
        receiving=(msh.raw(5), msh.raw(6)),
        type=kind[0],
        event=kind[1] if len(kind) > 1 else "",
        control_id=msh.raw(10),
        processing_id=msh.raw(11) or "P",
        version=msh.raw(12) or "2.5.1",
        charset=msh.raw(18),
        codec=message.codec,
    )


def wants(condition: str, *, positive: bool) -> bool:
    """Whether MSH-15 or MSH-16 asks for an acknowledgement of this outcome; empty is never."""
    return condition in {"AL", "SU" if positive else "ER"}


def is_enhanced(message: Message) -> bool:
    """Whether the sender uses the enhanced mode: MSH-15 or MSH-16 says something."""
    return message.header.valued(15) or message.header.valued(16)


def control_id() -> str:
    """Return a new message control id, of the 20 characters that all versions allow."""
    return secrets.token_hex(10).upper()


def _errors(header: Header, problems: Sequence[Problem]) -> list[str]:
    """Return ERR in the form of the version: one a problem from 2.5 on, one in all below."""
    problems = [problem for problem in problems if problem.code]
    if not problems:
        return []
    f, c = header.field, header.marks[:1] or "^"
    if _version(header.version) >= _ERR_BY_COMPONENT:
        return [_err(problem, f, c) for problem in problems]
    repetition = header.marks[1:2] or "~"
    return [f"ERR{f}" + repetition.join(_location(problem, c) for problem in problems)]


def _location(problem: Problem, component: str) -> str:
    """Return ERR-1 up to version 2.4: segment, sequence, field and code."""
    place = [problem.segment, str(problem.sequence)] if problem.segment else ["", ""]
    return component.join([*place, str(problem.number or ""), problem.code])


def _err(problem: Problem, f: str, c: str) -> str:
    place = [problem.segment, str(problem.sequence)] if problem.segment else []
    if place and problem.number:
        numbers = (problem.number, problem.repetition, problem.component, problem.subcomponent)
        place += [str(number) for number in numbers if number]
    err = [
        "ERR",
        "",
        c.join(place),
        c.join((problem.code, _MESSAGE.get(problem.code, ""), "HL70357")),
        "E",
        "",
        "",
        "",
        problem.text,
    ]
    return f.join(err)


def _version(text: str) -> tuple[int, int]:
    """Return (2, 5) for 2.5.1; an unreadable version counts as the newest."""
    major, _, rest = text.partition(".")
    minor = rest.split(".")[0]
    if major.isdecimal() and minor.isdecimal():
        return int(major), int(minor)
    return 2, 9
