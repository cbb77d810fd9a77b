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
    event: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = "2.5.1"
    charset: str = ""
    codec: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: what rule, its code of table 0357, and where; never a value."""

    text: str
    code: str
    segment: str = ""
    sequence: int = 1
    number: int = 0


def acknowledge(
    header: Header, code: str, now: datetime, problems: Sequence[Problem] = ()
) -> bytes:
    """Return the acknowledgement with `code` in MSA-1 as bytes without block bytes.

    `now` has a time zone.
    """
    f, c = header.field, header.marks[:1] or "^"
    kind = f"ACK{c}{header.event}{c}ACK" if header.event else "ACK"
    msh = [
        f"MSH{f}{header.marks}",
        *header.receiving,
        *header.sending,
        f"{now:%Y%m%d%H%M%S%z}",
        "",
        kind,
        control_id(),
        header.processing_id,
        header.version,
    ]
    if header.charset:
        msh += ["", "", "", "", "", header.charset]
    msa = ["MSA", code, header.control_id]
    if problems:
        msa.append(problems[0].text)
    segments = [f.join(msh), f.join(msa)]
    segments += [_err(header, problem) for problem in problems]
    text = "\r".join(segments) + "\r"
    return text.encode(header.codec, errors="replace")


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


def _err(header: Header, problem: Problem) -> str:
    f, c = header.field, header.marks[:1] or "^"
    place = [problem.segment, str(problem.sequence)] if problem.segment else []
    if place and problem.number:
        place.append(str(problem.number))
    meaning = _MESSAGE.get(problem.code, "")
    if _version(header.version) < _ERR_BY_COMPONENT:
        padded = [*place, *[""] * (3 - len(place))]
        return f"ERR{f}" + c.join([*padded, problem.code])
    err = [
        "ERR",
        "",
        c.join([*place, "1", "1"]) if len(place) > 2 else c.join(place),  # noqa: PLR2004
        c.join((problem.code, meaning, "HL70357")),
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
