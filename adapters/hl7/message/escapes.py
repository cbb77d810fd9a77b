"""The escape sequences of a leaf.

HL7 v2.9 chapter 2, section 2.7.
"""

import re
from collections import Counter
from typing import Final

_NEWLINE = {".br", ".ce"}
_LAYOUT = re.compile(r"\.(in|ti)[+-]?\d*\Z|\.(fi|nf)\Z|[HN]\Z")
_SKIP = re.compile(r"\.(sp|sk)\+?(\d{0,3})\Z")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")
_SET_SWITCH = re.compile(r"(?:C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2})?)\Z")
# What reads the sets of ISO 2022: the Japanese ones, then those of East Asia and of Europe.
_ASCII: Final = "C2842"
_ISO_2022: Final = ("iso2022_jp_ext", "iso2022_jp_2")
_FORBIDDEN = {code: None for code in range(0x20) if code not in {0x09, 0x0A, 0x0D}}


def unescape(text: str, characters: str, codec: str, counts: Counter[str]) -> str:
    """Return the leaf with its escape sequences resolved, in one pass from left to right.

    `characters` are the field, component, subcomponent, repetition and escape
    characters of the message, then the truncation character if it has one.
    `counts` learns of layout commands that were dropped (`formatting`) and of
    ISO 2022 switches to sets that are not known, which stay as they are with what
    follows them (`charset_switch`).
    """
    escape = characters[4]
    standing = dict(zip("FSTREP", characters, strict=False))
    pieces: list[str] = []
    position = 0
    while (start := text.find(escape, position)) >= 0:
        end = text.find(escape, start + 1)
        if end < 0:
            break
        body = text[start + 1 : end]
        if _SET_SWITCH.match(body):
            run_end = end + 1 if body == _ASCII else _next_switch(text, end + 1, escape)
            run = text[end + 1 : run_end]
            if body[0] == "C":  # single bytes, in which other sequences go on
                run = unescape(run, characters, codec, counts)
            pieces += (text[position:start], _switched(body, run, escape, counts))
            position = run_end
            continue
        replaced = _sequence(body, standing, codec, counts)
        if replaced is None:
            # The last mark of what is no sequence may begin one.
            pieces.append(text[position:end])
            position = end
        else:
            pieces += (text[position:start], replaced)
            position = end + 1
    pieces.append(text[position:])
    return "".join(pieces)


def without_controls(text: str, counts: Counter[str]) -> str:
    """Return the text without the control characters that FHIR forbids, counted."""
    kept = text.translate(_FORBIDDEN)
    if len(kept) != len(text):
        counts["control_characters"] += len(text) - len(kept)
    return kept


def _sequence(body: str, standing: dict[str, str], codec: str, counts: Counter[str]) -> str | None:
    if body in standing:
        return standing[body]
    if body in _NEWLINE:
        return "\n"
    if body.startswith("Z"):
        return f"{standing['E']}{body}{standing['E']}"
    if match := _HEX.match(body):
        return _characters(match[1], codec)
    return _command(body, counts)


def _command(body: str, counts: Counter[str]) -> str | None:
    if match := _SKIP.match(body):
        return ("\n" if match[1] == "sp" else " ") * int(match[2] or 1)
    if _LAYOUT.match(body):
        counts["formatting"] += 1
        return ""
    return None


def _next_switch(text: str, position: int, escape: str) -> int:
    """Return where the text stops being in the set that was switched to."""
    while (start := text.find(escape, position)) >= 0:
        end = text.find(escape, start + 1)
        if end < 0:
            break
        if _SET_SWITCH.match(text[start + 1 : end]):
            return start
        position = end
    return len(text)


def _switched(body: str, run: str, escape: str, counts: Counter[str]) -> str:
    """Return the text after a switch as its set says, or all as it came where that fails."""
    switch = b"\x1b" + bytes.fromhex(body[1:])
    for codec in _ISO_2022:
        try:
            decoded = (switch + run.encode("ascii")).decode(codec)
        except UnicodeError:
            continue
        if "\x1b" not in decoded:  # which an unknown switch leaves there
            return decoded
    counts["charset_switch"] += 1
    return f"{escape}{body}{escape}{run}"


def _characters(digits: str, codec: str) -> str | None:
    try:
        return bytes.fromhex(digits).decode(codec)
    except UnicodeDecodeError:
        return None
