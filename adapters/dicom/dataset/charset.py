"""Text of data elements in the character sets of (0008,0005).

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.12.1.1.2
https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_6
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ESCAPE = b"\x1b"

_CODECS = {
    "6": "ascii",
    "100": "iso8859_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "166": "iso8859_11",
    "13": "shift_jis",
    "87": "iso2022_jp",
    "159": "iso2022_jp_2",
    "149": "euc_kr",
    "58": "gb2312",
    "192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "UTF8": "utf_8",
}
_STAND_ALONE = frozenset(("utf_8", "gb18030", "gbk"))

# The escape that ends in ASCII keeps the initial set's upper half (PS3.5, 6.1.2.5.3).
_TO_ASCII = b"(B"
_ESCAPES = {
    b"-A": "iso8859_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-L": "iso8859_5",
    b"-G": "iso8859_6",
    b"-F": "iso8859_7",
    b"-H": "iso8859_8",
    b"-M": "iso8859_9",
    b"-b": "iso8859_15",
    b"-T": "iso8859_11",
    b")I": "shift_jis",
    b"(J": "shift_jis",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}
# Two 7-bit bytes a character: Python's codec wants the escape as part of the text.
_SEVEN_BIT = {b"$B": "iso2022_jp", b"$(D": "iso2022_jp_2"}
_LONGEST_ESCAPE = 3

_TERM = re.compile(r"(?:ISO[ _-]?)?(?:2022[ _-]?)?(?:IR[ _-]?)?(\d+|GBK)")
_DELIMITERS = re.compile(rb"[\\\r\n\f\t]")
_NAME_DELIMITERS = re.compile(rb"[\\\r\n\f\t^=]")


_TEXT_DELIMITERS = re.compile(r"([\\\r\n\f\t^=])")
# The escapes that select a codec; of the two for JIS X 0201 that of its katakana.
_SELECTING = {codec: escape for escape, codec in reversed(_ESCAPES.items())}


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """The initial codec, and whether escapes may switch to others."""

    initial: str
    escapes: bool


def defined_terms(text: str) -> tuple[str, ...]:
    """Return the terms of a value of (0008,0005) as one text, none when it is empty.

    An empty first one stays: it is ASCII, and those after it are reached by escapes.
    """
    return tuple(text.split("\\")) if text.strip("\\ ") else ()


def character_set(terms: Sequence[str]) -> CharacterSet:
    """Return the set of these defined terms; common misspellings are understood.

    An unknown first term counts as absent, which is ASCII.
    """
    codecs = [_codec(term) for term in terms]
    initial = (codecs[0] if codecs else None) or "ascii"
    if initial in {"iso2022_jp", "iso2022_jp_2"}:
        initial = "ascii"  # These are reached by escapes only.
    return CharacterSet(initial, initial not in _STAND_ALONE)


def decode(value: bytes, used: CharacterSet, *, name: bool = False) -> tuple[str, bool]:
    """Return the text, and whether every byte had a meaning in the set.

    Never raises: what cannot be decoded becomes U+FFFD, and 8-bit text without a
    set is read as UTF-8 or else Latin-1. `name` marks a person name, in which also
    `^` and `=` return to the initial set.
    """
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii"), True
    if not used.escapes:
        return _strict(value, used.initial)
    pieces = [_strict(part, codec) for part, codec in _runs(value, used.initial, name=name)]
    return "".join(text for text, _ in pieces), all(good for _, good in pieces)


def encode(text: str, terms: Sequence[str]) -> bytes | None:
    """Return text in the character sets of these terms, None where they cannot carry it.

    Without terms that is ASCII. Further terms are reached by escapes, and the first is
    returned to before each delimiter and at the end (PS3.5, 6.1.2.5.3).
    """
    if text.isascii():
        return text.encode("ascii")
    used = character_set(terms)
    if len(terms) < 2 or not used.escapes:  # noqa: PLR2004  (one set needs no escapes)
        return _all(text, used.initial)
    codecs = [used.initial, *(codec for term in terms[1:] if (codec := _codec(term)))]
    pieces = [_switched(piece, codecs) for piece in _TEXT_DELIMITERS.split(text)]
    return None if None in pieces else b"".join(piece for piece in pieces if piece)


def _switched(text: str, codecs: Sequence[str]) -> bytes | None:
    """Return text between delimiters; runs that are not in the first codec are escaped."""
    raw = b""
    for run, codec in _by_codec(text, codecs):
        if codec is None:
            return None
        if codec == codecs[0]:
            raw += run.encode(codec)
        elif codec in _SEVEN_BIT.values():
            raw += run.encode(codec)  # Python's codec writes the escapes itself.
        else:
            raw += _ESCAPE + _SELECTING[codec] + run.encode(codec) + _back(codec, codecs[0])
    return raw


def _by_codec(text: str, codecs: Sequence[str]) -> list[tuple[str, str | None]]:
    runs: list[tuple[str, str | None]] = []
    for character in text:
        codec = next((one for one in codecs if _all(character, one) is not None), None)
        if runs and runs[-1][1] == codec:
            runs[-1] = (runs[-1][0] + character, codec)
        else:
            runs.append((character, codec))
    return runs


def _back(codec: str, initial: str) -> bytes:
    """Return the escape back to the initial set, where one of its upper half was replaced."""
    return _ESCAPE + _SELECTING[initial] if initial in _SELECTING and initial != codec else b""


def _all(text: str, codec: str) -> bytes | None:
    try:
        raw = text.encode(codec)
    except UnicodeEncodeError:
        return None
    # Of Python's codec, JIS X 0201 is what takes one byte.
    return None if codec == "shift_jis" and len(raw) > len(text) else raw


def _codec(term: str) -> str | None:
    spelled = term.strip().upper().replace("-", "_")
    match = _TERM.fullmatch(spelled)
    return _CODECS.get(match[1] if match else spelled.replace("_", ""))


def _runs(value: bytes, initial: str, *, name: bool) -> list[tuple[bytes, str]]:
    """Split at escapes and delimiters into runs of one codec."""
    delimiters = _NAME_DELIMITERS if name else _DELIMITERS
    first, *rest = value.split(_ESCAPE)
    runs = [(first, initial)]
    for piece in rest:
        escape, codec = _escape(piece, initial)
        if escape in _SEVEN_BIT:
            runs.append((_ESCAPE + piece, codec))
            continue
        text = piece[len(escape) :]
        delimiter = delimiters.search(text)
        end = delimiter.start() if delimiter else len(text)
        runs += [(text[:end], codec), (text[end:], initial)]
    return runs


def _escape(piece: bytes, initial: str) -> tuple[bytes, str]:
    """Return the escape sequence that begins this piece, and the codec it selects."""
    for length in range(_LONGEST_ESCAPE, 1, -1):
        escape = piece[:length]
        codec = _ESCAPES.get(escape) or _SEVEN_BIT.get(escape)
        if codec:
            return escape, codec
    return (_TO_ASCII if piece.startswith(_TO_ASCII) else b""), initial


def _strict(value: bytes, codec: str) -> tuple[str, bool]:
    try:
        return value.decode(codec), True
    except UnicodeDecodeError:
        pass
    if codec != "ascii":
        return value.decode(codec, "replace"), False
    try:
        return value.decode("utf_8"), False
    except UnicodeDecodeError:
        return value.decode("iso8859_1"), False
