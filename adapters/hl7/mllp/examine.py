"""The checks on receipt: what is stored of a message, and what its sender is told.

HL7 v2.9 chapter 2, section 2.9.2; docs/hl7-mapping.md has the table.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import (
    Header,
    Problem,
    acknowledge,
    header_of,
    is_enhanced,
    wants,
)
from adapters.hl7.inbox.received import AckMode, Received
from adapters.hl7.mapping.transform import knows_type, required, supports
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, Message, Segment, parse
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.profiles.attribution import sender_of
from fhir_server.config import Hl7Settings

_KNOWN_VERSIONS: Final = "2.1 2.2 2.3 2.3.1 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2 2.9 2.9.1"
_VERSIONS: Final = frozenset(_KNOWN_VERSIONS.split())
_CONTROL_ID_KEPT: Final = 200  # an index entry has a limit; the hash tells messages apart
_LEFTOVER: Final = {
    Kind.TRUNCATED: ("FRAMING_TRUNCATED", "The frame has no end"),
    Kind.JUNK: ("FRAMING_NO_START", "Bytes outside of a frame"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a message is not taken: its codes in original and enhanced mode, and the reason."""

    original: str
    accept: str
    reason: str
    problem: Problem


def examine(frame: Frame, settings: Hl7Settings, now: datetime) -> Received:
    """Return what becomes of a frame; never raises for what a sender may send."""
    if frame.kind in _LEFTOVER:
        reason, text = _LEFTOVER[frame.kind]
        return _leftover(frame.content, reason, text)
    opened = _open(frame.content, settings)
    if frame.kind is Kind.OVERSIZE:
        problem = Problem("The message is too large", "207")
        return _refused(frame, opened, Finding("AR", "CR", "OVERSIZE", problem), now)
    if frame.kind is Kind.CROWDED:
        # A reason that has nothing to do with the message: it may be taken later (2.9.2.2).
        problem = Problem("Too much is being received; send the message again later", "207")
        return _refused(frame, opened, Finding("AR", "CR", "OVERLOADED", problem), now)
    if frame.kind is Kind.HEADLESS and settings.missing_vt == "reject":
        problem = Problem("The frame has no start block", "207")
        return _refused(frame, opened, Finding("AR", "CR", "FRAMING_NO_START", problem), now)
    finding = opened.finding or _check(opened, settings)
    if finding is not None:
        return _refused(frame, opened, finding, now)
    return _taken(frame, opened, settings, now)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A message as far as it could be read; `header` serves even where that failed."""

    header: Header
    message: Message | None = None
    finding: Finding | None = None
    guessed: bool = False


def _open(content: bytes, settings: Hl7Settings) -> _Opened:
    try:
        decoded = decode(
            content, fallback=settings.fallback_charset, override=settings.charset_override
        )
    except UnsupportedCharset:
        problem = Problem("The character set is not supported", "102", "MSH", 1, 18)
        return _unread(content, Finding("AE", "CE", "CHARSET_UNSUPPORTED", problem))
    except Undecodable:
        problem = Problem("The message is not in its character set", "102", "MSH", 1, 18)
        return _unread(content, Finding("AE", "CE", "UNDECODABLE", problem))
    try:
        message = parse(decoded.text, decoded.codec)
    except BadHeader as bad:
        problem = Problem(str(bad), "100", "MSH")
        return _Opened(Header(), finding=Finding("AR", "CR", "BAD_MSH", problem))
    return _Opened(header_of(message), message, guessed=decoded.guessed)


def _unread(content: bytes, finding: Finding) -> _Opened:
    """Read the header in bytes, so that the refusal names the right message."""
    try:
        message = parse(content.decode("latin-1").split("\r", 1)[0], "latin-1")
    except BadHeader:
        return _Opened(Header(codec="latin-1"), finding=finding)
    return _Opened(header_of(message), message, finding)


def _check(opened: _Opened, settings: Hl7Settings) -> Finding | None:
    assert opened.message is not None  # without one there is a finding already
    msh = opened.message.header
    kind = msh.first(9)
    place = (kind.peek(1), kind.peek(2)) if kind else ("", "")
    if not msh.peek(10):
        return Finding("AR", "CE", "BAD_MSH", _at("The control id is missing", "101", 10))
    if not supports(*place):
        code = "201" if knows_type(place[0]) else "200"
        problem = _at("The message type is not supported", code, 9)
        return Finding("AR", "CR", "UNSUPPORTED_MESSAGE", problem)
    processing = msh.peek(11)
    if processing and processing not in settings.accepted_processing_ids:
        problem = _at("The processing id is not accepted", "202", 11)
        return Finding("AR", "CR", "WRONG_PROCESSING_ID", problem)
    if settings.strict_version and msh.peek(12) not in _VERSIONS:
        problem = _at("The version is not supported", "203", 12)
        return Finding("AR", "CR", "UNSUPPORTED_MESSAGE", problem)
    return _missing(opened.message, place)


def _missing(message: Message, place: tuple[str, str]) -> Finding | None:
    present = {segment.name for segment in message.segments}
    for name, reason in required(*place):
        if name not in present:
            problem = Problem(f"The {name} segment is missing", "100", name)
            return Finding("AE", "CE", reason, problem)
    return None


def _at(text: str, code: str, number: int) -> Problem:
    return Problem(text, code, "MSH", 1, number)


def _leftover(content: bytes, reason: str, text: str) -> Received:
    return Received(
        raw=content,
        sha256=hashlib.sha256(content).digest(),
        state="dead",
        sender="-",
        partition_keys=(),
        reason=reason,
        detail=text,
    )


def _refused(frame: Frame, opened: _Opened, finding: Finding, now: datetime) -> Received:
    enhanced = opened.message is not None and is_enhanced(opened.message)
    code = finding.accept if enhanced else finding.original
    ack: bytes | None = acknowledge(opened.header, code, now, (finding.problem,))
    if enhanced and opened.message is not None:
        condition = opened.message.header.peek(15)
        ack = ack if wants(condition, positive=False) else None
    return _received(
        frame,
        opened,
        state="rejected",
        reason=finding.reason,
        detail=_detail(finding.problem),
        ack_mode="enhanced" if enhanced else "original",
        ack=ack,
    )


def _taken(frame: Frame, opened: _Opened, settings: Hl7Settings, now: datetime) -> Received:
    assert opened.message is not None
    mode: AckMode = "original" if settings.ack_when == "stored" else "committed"
    ack: bytes | None = None
    if is_enhanced(opened.message):
        mode = "enhanced"
        if wants(opened.message.header.peek(15), positive=True):
            ack = acknowledge(opened.header, "CA", now)
    elif mode == "original":
        ack = acknowledge(opened.header, "AA", now)
    warnings = Counter({"charset_guessed": int(opened.guessed), "stray_fs": int(frame.stray_fs)})
    return _received(
        frame, opened, state="stored", ack_mode=mode, ack=ack, warnings=dict(+warnings)
    )


def _received(frame: Frame, opened: _Opened, **said: object) -> Received:
    raw, message = frame.content, opened.message
    header = opened.header
    known: dict[str, object] = {"sender": "-", "partition_keys": ()}
    if message is not None:
        kind = message.header.first(9)
        known = {
            "sender": sender_of(message),
            "partition_keys": partition_keys(message),
            "content_sha256": _content_hash(raw),
            "control_id": header.control_id.replace("\x00", "")[:_CONTROL_ID_KEPT],
            "type": kind.peek(1) if kind else "",
            "event": kind.peek(2) if kind else "",
            "version": message.header.peek(12),
            "charset": message.header.peek(18),
            "processing_id": message.header.peek(11),
        }
    return Received(raw=raw, sha256=hashlib.sha256(raw).digest(), **{**known, **said})  # type: ignore[arg-type]


def _content_hash(raw: bytes) -> bytes:
    """Return the hash of all but MSH, by which a resent content is known again."""
    end = raw.find(b"\r", raw.find(b"MSH"))
    return hashlib.sha256(raw[end + 1 :] if end >= 0 else b"").digest()


def partition_keys(message: Message) -> tuple[str, ...]:
    """Return the names of the partitions to which the message belongs.

    They are its patients' identifiers with their authorities; a message without
    one belongs to its sender. Messages that share a key are processed in order.
    """
    keys: dict[str, None] = {}
    for segment in message.segments:
        if segment.name == "PID":
            keys.update(dict.fromkeys(_patient_keys(segment)))
    return tuple(keys) or (f"sender {sender_of(message)}",)


def _patient_keys(pid: Segment) -> list[str]:
    for number in (3, 2, 4):
        found = [
            f"{value} {rep.raw(4)}" for rep in pid.repetitions(number) if (value := rep.peek(1))
        ]
        if found:
            return found
    return []


def _detail(problem: Problem) -> str:
    place = f"{problem.segment}-{problem.number}" if problem.number else problem.segment
    return f"{place}: {problem.text}" if place else problem.text
