"""The checks on receipt: what is stored of a message, and what its sender is told.

HL7 v2.9 chapter 2, section 2.9.2; docs/hl7-mapping.md has the table.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import Problem, acknowledge, is_enhanced, wants
from adapters.hl7.acknowledgement.responses import response_form
from adapters.hl7.inbox.received import AckMode, Received, kept_control_id
from adapters.hl7.mapping.transform import knows_type, required, supports
from adapters.hl7.message.partition import partition_keys
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.mllp.opening import Finding, Opened, open_message
from adapters.hl7.mllp.sequence import UNKNOWN, check_sequence, sequence_number
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles
from fhir_server.hl7_settings import Hl7Settings

_KNOWN_VERSIONS: Final = "2.1 2.2 2.3 2.3.1 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2 2.9 2.9.1"
_VERSIONS: Final = frozenset(_KNOWN_VERSIONS.split())
_ANYWHERE: Final = Origin("")
_NOBODY: Final = Profiles()
_LEFTOVER: Final = {
    Kind.TRUNCATED: ("FRAMING_TRUNCATED", "The frame has no end"),
    Kind.JUNK: ("FRAMING_NO_START", "Bytes outside of a frame"),
}
# CROWDED is refused for a reason that is not the message's: it may be taken later (2.9.2.2).
_BROKEN: Final = {
    Kind.OVERSIZE: ("OVERSIZE", "The message is too large"),
    Kind.CROWDED: (
        "OVERLOADED",
        "Too much is being received; send the message again later",
    ),
    Kind.SLOW: ("FRAMING_TRUNCATED", "The message did not end in time"),
}
# An acknowledgement is not acknowledged, or two systems would never stop.
_ANSWERS: Final = frozenset(("ACK", "MCF", "ORL", "ORR", "RSP"))
_QUERY: Final = "QBP"


def examine(
    frame: Frame,
    settings: Hl7Settings,
    now: datetime,
    *,
    origin: Origin = _ANYWHERE,
    profiles: Profiles = _NOBODY,
    expected: Mapping[str, int] | None = None,
    dialogue: bool = False,
) -> Received:
    """Return what becomes of a frame; never raises for what a sender may send.

    `settings` are those of the channel, `expected` its next sequence number by sender.
    `dialogue` tells that queries are answered, and replies awaited.
    """
    if frame.kind in _LEFTOVER:
        reason, text = _LEFTOVER[frame.kind]
        return leftover(frame.content, reason, text)
    opened = open_message(frame.content, settings, origin, profiles)
    if frame.kind in _BROKEN:
        reason, text = _BROKEN[frame.kind]
        problem = Problem(text, "207")
        return _refused(frame, opened, Finding("AR", "CR", reason, problem), settings, now)
    if frame.kind is Kind.HEADLESS and settings.missing_vt == "reject":
        problem = Problem("The frame has no start block", "207")
        finding = Finding("AR", "CR", "FRAMING_NO_START", problem)
        return _refused(frame, opened, finding, settings, now)
    if dialogue and opened.finding is None and (kept := _spoken(frame, opened, settings, now)):
        return kept
    found = opened.finding or _check(opened, settings, expected or {})
    if found is not None:
        return _refused(frame, opened, found, settings, now)
    return _taken(frame, opened, settings, now, expected or {})


def _spoken(frame: Frame, opened: Opened, settings: Hl7Settings, now: datetime) -> Received | None:
    """Return what is kept of a query or a reply, None for what is neither or not taken."""
    assert opened.message is not None
    kind, _ = _place(opened.message)
    if not opened.message.header.peek(10):
        return None
    if kind in _ANSWERS:
        return _received(frame, opened, state="done", ack_mode="reply")
    if kind != _QUERY or _misplaced(opened.message, settings, query=True):
        return None
    if _strange(opened, settings):
        return None
    accepts = wants(opened.message.header.peek(15), positive=True)
    ack = acknowledge(opened.header, "CA", now) if accepts else None
    return _received(frame, opened, state="done", ack_mode="query", ack=ack)


def _check(opened: Opened, settings: Hl7Settings, expected: Mapping[str, int]) -> Finding | None:
    assert opened.message is not None  # without one there is a finding already
    message = opened.message
    if not message.header.peek(10):
        return Finding("AR", "CE", "BAD_MSH", _at("The control id is missing", "101", 10))
    if _restarts(opened, settings):
        return None  # it says nothing but that
    return (
        _misplaced(message, settings)
        or _strange(opened, settings)
        or _missing(message)
        or (check_sequence(message, opened.sender, expected) if settings.sequence else None)
    )


def _restarts(opened: Opened, settings: Hl7Settings) -> bool:
    assert opened.message is not None
    return settings.sequence and sequence_number(opened.message) == 0


def _misplaced(message: Message, settings: Hl7Settings, *, query: bool = False) -> Finding | None:
    """Return why a message is none of those that this channel takes."""
    msh = message.header
    kind, event = place = _place(message)
    if kind in _ANSWERS:
        problem = _at("An acknowledgement is not expected here", "200", 9)
        return Finding("", "", "UNSUPPORTED_MESSAGE", problem)
    listed = settings.accepted_types
    taken = not listed or kind in listed or f"{kind}^{event}" in listed
    if not taken or not (query or supports(*place) or settings.accept_unknown):
        code = "201" if knows_type(kind) else "200"
        problem = _at("The message type is not supported", code, 9)
        return Finding("AR", "CR", "UNSUPPORTED_MESSAGE", problem)
    processing = msh.peek(11)
    if processing and processing not in settings.accepted_processing_ids:
        problem = _at("The processing id is not accepted", "202", 11)
        return Finding("AR", "CR", "WRONG_PROCESSING_ID", problem)
    if settings.strict_version and msh.peek(12) not in _VERSIONS:
        problem = _at("The version is not supported", "203", 12)
        return Finding("AR", "CR", "UNSUPPORTED_MESSAGE", problem)
    return None


def _strange(opened: Opened, settings: Hl7Settings) -> Finding | None:
    """Return why the sender is nobody that is known, where that matters."""
    attribution = opened.attribution
    if not settings.strict_sender or attribution is None or not attribution.doubt:
        return None
    # The names of other profiles are the operator's, not the sender's.
    problem = _at("The sender is not known", "207", 3)
    return Finding("AR", "CR", attribution.doubt, problem)


def _missing(message: Message) -> Finding | None:
    present = {segment.name for segment in message.segments}
    for name, reason in required(*_place(message)):
        if name not in present:
            problem = Problem(f"The {name} segment is missing", "100", name)
            return Finding("AE", "CE", reason, problem)
    return None


def _place(message: Message) -> tuple[str, str]:
    kind = message.header.first(9)
    return (kind.peek(1), kind.peek(2)) if kind else ("", "")


def _at(text: str, code: str, number: int) -> Problem:
    return Problem(text, code, "MSH", 1, number)


def leftover(content: bytes, reason: str, text: str) -> Received:
    """Return what is kept of bytes that are no message, and that nobody is told of."""
    return Received(
        raw=content,
        sha256=hashlib.sha256(content).digest(),
        state="dead",
        sender="-",
        partition_keys=(),
        reason=reason,
        detail=text,
    )


def _refused(
    frame: Frame, opened: Opened, finding: Finding, settings: Hl7Settings, now: datetime
) -> Received:
    enhanced = opened.message is not None and is_enhanced(opened.message)
    code = finding.accept if enhanced else finding.original
    orders = settings.order_response == "orl" and not enhanced
    ack: bytes | None = acknowledge(
        opened.header,
        code,
        now,
        (finding.problem,),
        expected=finding.expected,
        response=response_form(opened.header) if orders else None,
    )
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
        ack=ack if code else None,
    )


def _taken(
    frame: Frame,
    opened: Opened,
    settings: Hl7Settings,
    now: datetime,
    expected: Mapping[str, int],
) -> Received:
    assert opened.message is not None
    mode: AckMode = "original" if settings.ack_when == "stored" else "committed"
    restarts = _restarts(opened, settings)
    awaited = expected.get(opened.sender, UNKNOWN) if restarts else None
    ack: bytes | None = None
    if is_enhanced(opened.message):
        mode = "enhanced"
        if wants(opened.message.header.peek(15), positive=True):
            ack = acknowledge(opened.header, "CA", now, expected=awaited)
    elif mode == "original" or restarts:
        orders = settings.order_response == "orl"
        form = response_form(opened.header) if orders else None
        ack = acknowledge(opened.header, "AA", now, expected=awaited, response=form)
    number = sequence_number(opened.message) if settings.sequence else None
    return _received(
        frame,
        opened,
        state="done" if restarts else "stored",
        ack_mode=mode,
        ack=ack,
        sequence=number if number and number > 0 else None,
        warnings=_warnings(frame, opened),
    )


def _warnings(frame: Frame, opened: Opened) -> dict[str, int]:
    doubt = opened.attribution.doubt if opened.attribution else ""
    found = {
        "charset_guessed": int(opened.guessed),
        "stray_fs": int(frame.stray_fs),
        "ambiguous_sender": int(doubt == "AMBIGUOUS_SENDER"),
    }
    return dict(+Counter(found))


def _received(frame: Frame, opened: Opened, **said: object) -> Received:
    raw, message = frame.content, opened.message
    header = opened.header
    known: dict[str, object] = {"sender": "-", "partition_keys": ()}
    if message is not None:
        kind, event = _place(message)
        known = {
            "sender": opened.sender,
            "partition_keys": partition_keys(message, opened.sender, opened.partition),
            "content_sha256": _content_hash(raw),
            "control_id": kept_control_id(header.control_id),
            "type": kind,
            "event": event,
            "version": message.header.peek(12),
            "charset": message.header.peek(18),
            "processing_id": message.header.peek(11),
        }
        if frame.kind is Kind.SLOW:  # the same message may come again, whole
            known["control_id"] = None
    return Received(raw=raw, sha256=hashlib.sha256(raw).digest(), **{**known, **said})  # type: ignore[arg-type]


def _content_hash(raw: bytes) -> bytes:
    """Return the hash of all but MSH, by which a resent content is known again."""
    end = raw.find(b"\r", raw.find(b"MSH"))
    return hashlib.sha256(raw[end + 1 :] if end >= 0 else b"").digest()


def _detail(problem: Problem) -> str:
    place = f"{problem.segment}-{problem.number}" if problem.number else problem.segment
    return f"{place}: {problem.text}" if place else problem.text
