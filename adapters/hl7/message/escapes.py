"""The escape sequences of a leaf.

HL7 v2.9 chapter 2, section 2.7.
"""

import re
from collections import Counter

_NEWLINE = {".br", ".ce"}
_LAYOUT = re.compile(r"\.(in|ti)[+-]?\d*\Z|\.(fi|nf)\Z|[HN]\Z")
_SKIP = re.compile(r"\.(sp|sk)\+?(\d{0,3})\Z")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")
_SET_SWITCH = re.compile(r"C[0-9A-Fa-f]{4}\Z|M[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2})?\Z")
_FORBIDDEN = {code: None for code in range(0x20) if code not in {0x09, 0x0A, 0x0D}}


def unescape(text: str, characters: str, codec: str, counts: Counter[str]) -> str:
    """Return the leaf with its escape sequences resolved, in one pass from left to right.

    `characters` are the field, component, subcomponent, repetition and escape
    characters of the message, then the truncation character if it has one.
    `counts` learns of layout commands that were dropped (`formatting`) and of
    ISO 2022 switches that stay as they are (`charset_switch`).
    """
    escape = characters[4]
    standing = dict(zip("FSTREP", characters, strict=False))
    pieces: list[str] = []
    position = 0
    while (start := text.find(escape, position)) >= 0:
        end = text.find(escape, start + 1)
        if end < 0:
            break
        replaced = _sequence(text[start + 1 : end], standing, codec, counts)
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
    if _SET_SWITCH.match(body):
        counts["charset_switch"] += 1
    return None


def _characters(digits: str, codec: str) -> str | None:
    try:
        return bytes.fromhex(digits).decode(codec)
    except UnicodeDecodeError:
        return None
