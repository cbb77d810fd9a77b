"""Batches of messages: FHS, BHS, BTS and FTS around them.

HL7 v2.9 chapter 2, section 2.10.3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Finding = Literal["", "BATCH_INCOMPLETE", "BATCH_COUNT_MISMATCH"]

_BEGINS: Final = (b"FHS", b"BHS")
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n\x00"
_SECOND: Final = (b"\rMSH", b"\nMSH")
_LINE_END: Final = re.compile(rb"[\r\n]")
_CONTROL_ID: Final = 11


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """What an answer takes from BHS, or from FHS where that is alone: each byte a character."""

    field: str = "|"
    marks: str = "^~\\&"
    sending: tuple[str, str] = ("", "")
    receiving: tuple[str, str] = ("", "")
    control_id: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of a frame or file that are more than one, or are in an envelope.

    `envelope` are the header and trailer segments; `header` is None where there are
    none. BATCH_INCOMPLETE: a header has no trailer; BATCH_COUNT_MISMATCH: BTS-1 or
    FTS-1 says another number.
    """

    messages: tuple[bytes, ...]
    envelope: bytes = b""
    header: BatchHeader | None = None
    finding: Finding = ""


def is_batch(content: bytes) -> bool:
    """Whether there is an envelope, or a second message."""
    if any(mark in content for mark in _SECOND):
        return split(content) is not None
    start = content[:16].lstrip(_BLANKS)
    return start.startswith(_BEGINS)


def split(content: bytes) -> Batch | None:
    """Return the batch, None for a single message or for what is none.

    Segments are looked for in bytes: in none of the character sets that come in
    frames does CR or LF stand inside a character.
    """
    start = len(content) - len(content.lstrip(_BLANKS))
    if content[start : start + 3] not in {*_BEGINS, b"MSH"}:
        return None
    parts = list(_parts(content, start))
    names = [name for name, _ in parts]
    if names.count(b"MSH") == len(parts) == 1:
        return None
    messages = tuple(text for name, text in parts if name == b"MSH")
    envelope = [(name, text) for name, text in parts if name != b"MSH"]
    return Batch(
        messages,
        b"".join(text.rstrip(b"\r\n") + b"\r" for _, text in envelope),
        _header(envelope),
        _finding(parts),
    )


def _parts(content: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each segment of the envelope, and each message with all its segments."""
    separator = re.escape(content[start + 3 : start + 4])
    mark = re.compile(rb"(?<=[\r\n])(FHS|BHS|MSH|BTS|FTS)(?=" + separator + rb"|[\r\n]|\Z)")
    found = [(start, content[start : start + 3])]
    found += [(one.start(), one[1]) for one in mark.finditer(content, start + 3)]
    ends = [*(at for at, _ in found[1:]), len(content)]
    for (at, name), end in zip(found, ends, strict=True):
        yield name, content[at:end]


def _finding(parts: list[tuple[bytes, bytes]]) -> Finding:
    """Return whether headers and trailers belong together and count what is there."""
    names = [name for name, _ in parts]
    if b"FHS" in names and b"FTS" not in names:
        return "BATCH_INCOMPLETE"
    counts = True
    opened, inside, batches = False, 0, 0
    for name, text in parts:
        if name in {b"BHS", b"FTS"} and opened:
            return "BATCH_INCOMPLETE"
        if name == b"BHS":
            opened, inside, batches = True, 0, batches + 1
        elif name == b"MSH":
            inside += 1
        elif name == b"BTS":
            counts &= _agrees(text, inside)
            opened, inside = False, 0
        elif name == b"FTS":
            counts &= _agrees(text, batches) or not batches
    if opened:
        return "BATCH_INCOMPLETE"
    return "" if counts else "BATCH_COUNT_MISMATCH"


def _agrees(trailer: bytes, count: int) -> bool:
    """Whether the first field says this number, or nothing."""
    fields = _fields(trailer)
    said = fields[1].strip() if len(fields) > 1 else ""
    return not said or (said.isdecimal() and int(said) == count)


def _header(envelope: list[tuple[bytes, bytes]]) -> BatchHeader | None:
    for wanted in (b"BHS", b"FHS"):
        for name, text in envelope:
            if name == wanted:
                return _read(_fields(text))
    return BatchHeader() if envelope else None


def _read(fields: list[str]) -> BatchHeader:
    said = [fields[0][3:4] or "|", *fields[1:], *[""] * _CONTROL_ID]
    return BatchHeader(
        field=said[0],
        marks=said[1] or "^~\\&",
        sending=(said[2], said[3]),
        receiving=(said[4], said[5]),
        control_id=said[_CONTROL_ID - 1],
    )


def _fields(segment: bytes) -> list[str]:
    """Return the fields of an envelope's segment; the first holds the separator too."""
    line = _LINE_END.split(segment, maxsplit=1)[0].decode("latin-1")
    separator = line[3:4] or "|"
    name, *rest = line.split(separator)
    return [name + separator, *rest]
