"""Frames of a message, and the checks on one that came.

CLSI LIS01-A2 (ASTM E1381), section 6.3: https://clsi.org/shop/standards/lis01/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STX: Final = 0x02
ETX: Final = 0x03
EOT: Final = 0x04
ENQ: Final = 0x05
ACK: Final = 0x06
LF: Final = 0x0A
CR: Final = 0x0D
NAK: Final = 0x15
ETB: Final = 0x17

LONGEST: Final = 63_993
"""Characters of text in one frame of LIS01-A2; E1381-95 allows 240."""

_NUMBERS: Final = 8
_HEXADECIMAL: Final = frozenset(b"0123456789ABCDEFabcdef")
# Of the control characters only CR, the end of a record, may be in the text (6.3.1.2);
# analyzers send tabs too, and bytes above 7F are characters of some alphabet.
_FORBIDDEN: Final = frozenset(range(0x20)) - {CR, 0x09}


@dataclass(frozen=True, slots=True)
class Frame:
    """A good frame: its number 0-7, its text, and whether it ends the message (ETX)."""

    number: int
    text: bytes
    final: bool


class BadFrame(ValueError):
    """The frame is damaged; `kind` says how."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def checksum(content: bytes) -> bytes:
    """Return the two hexadecimal digits of what stands from FN to ETB or ETX inclusive."""
    return b"%02X" % (sum(content) & 0xFF)


def read(body: bytes) -> Frame:
    """Return the frame in the bytes from FN to the checksum; raises BadFrame."""
    content, digits = body[:-2], body[-2:]
    if len(content) < 2:  # noqa: PLR2004  (FN, and ETB or ETX)
        raise BadFrame("short")
    if not _HEXADECIMAL.issuperset(digits) or checksum(content) != digits.upper():
        raise BadFrame("checksum")
    number = content[0] - 0x30
    if not 0 <= number < _NUMBERS:
        raise BadFrame("number")
    text = content[1:-1]
    if not _FORBIDDEN.isdisjoint(text):
        raise BadFrame("control")
    return Frame(number, text, content[-1] == ETX)


def written(number: int, text: bytes, *, final: bool) -> bytes:
    """Return a frame as it goes over the line."""
    content = b"%d%s%c" % (number % _NUMBERS, text, ETX if final else ETB)
    return b"\x02" + content + checksum(content) + b"\r\n"


def split(records: Sequence[bytes], longest: int) -> list[bytes]:
    """Return the frames of a message: each record begins one, and long ones need several.

    `records` have their CR; the numbers begin with 1, as they do after each ENQ.
    """
    found: list[bytes] = []
    for record in records:
        pieces = [record[at : at + longest] for at in range(0, len(record), longest)]
        for place, piece in enumerate(pieces, 1):
            found.append(written(len(found) + 1, piece, final=place == len(pieces)))
    return found
