"""The DICOM JSON model: data sets as JSON objects, keyed by tag.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#chapter_F
"""

import base64
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.dicom.dataset.charset import CharacterSet, character_set, decode
from adapters.dicom.dataset.elements import PIXEL_DATA
from adapters.dicom.dataset.identifier import UNICODE, tag_of, vr_of
from adapters.dicom.dataset.tree import Buffer, Element, Elements, numbers

Json = dict[str, Any]

CHARACTER_SET: Final = 0x00080005
LONG_TEXT: Final = 64 << 10
"""Characters of a text from which on it is linked to."""

_WORDS = {"OB": 1, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2, "UN": 1}
# fmt: off
_CODES = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}
# fmt: on
_DECODED = frozenset(("SH", "LO", "ST", "LT", "PN", "UC", "UT"))
# These keep spaces in front, and are one value however many backslashes they hold.
_SINGLE = frozenset(("ST", "LT", "UT", "UR"))
_KEPT = _SINGLE | {"UC"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
# Numbers of JSON are doubles in the programs of many who read them.
_SAFE = 1 << 53
_ORIGINAL, _MODIFIED = "04000561", "04000550"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class Links:
    """Where long values are found: the instance's URL, and from how many bytes on they are long."""

    instance: str
    threshold: int

    def of(self, path: str) -> str:
        """Return the URL of a value by its path of tags and item numbers."""
        return f"{self.instance}/bulkdata/{path}"

    @property
    def pixels(self) -> str:
        """Return the URL of the pixel data."""
        return f"{self.instance}/frames"


def data_set(
    data: Buffer, found: Elements, links: Links, used: CharacterSet | None = None, path: str = ""
) -> Json:
    """Return a data set, or the item at `path`, as JSON; text is in Unicode.

    Group lengths are left out (F.2.2).
    """
    inherited = used or CharacterSet("ascii", True)
    own = _terms(data, found) if CHARACTER_SET in found else inherited
    made: Json = {}
    for tag in sorted(found):
        if tag >> 16 != 2:  # noqa: PLR2004  (file meta information is not of the data set)
            made[f"{tag:08X}"] = _element(data, found[tag], links, own, path)
    if CHARACTER_SET in found or not path:
        made["00080005"] = {"vr": "CS", "Value": [UNICODE]}
    return dict(sorted(made.items()))


def _terms(data: Buffer, found: Elements) -> CharacterSet:
    one = found[CHARACTER_SET]
    raw = bytes(data[one.start : one.end])
    return character_set(raw.decode("ascii", "replace").strip(" \0").split("\\"))


def _element(data: Buffer, one: Element, links: Links, used: CharacterSet, path: str) -> Json:
    own = f"{path}{one.tag:08X}"
    if one.tag in PIXEL_DATA and not path:
        return {"vr": one.vr, "BulkDataURI": links.pixels}
    if one.items is not None:
        items = [
            data_set(data, item, links, used, f"{own}/{number}/")
            for number, item in enumerate(one.items, 1)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    length = one.end - one.start
    if not length:
        return {"vr": one.vr}
    if one.fragments or (one.vr in _WORDS and length > links.threshold) or length > LONG_TEXT:
        return {"vr": one.vr, "BulkDataURI": links.of(own)}
    if one.vr in _WORDS:
        raw = little_endian(bytes(data[one.start : one.end]), one)
        return {"vr": one.vr, "InlineBinary": base64.b64encode(raw).decode()}
    return valued(one.vr, _values(data, one, used))


def little_endian(raw: bytes, one: Element) -> bytes:
    """Return a binary value in little endian, as everything that leaves is."""
    size = 1 if one.little else word(one.vr)
    return swapped(raw, size)


def word(vr: str) -> int:
    """Return the bytes of one number of a binary VR."""
    return _WORDS.get(vr) or struct.calcsize(_CODES.get(vr, "B"))


def swapped(raw: bytes, size: int) -> bytes:
    """Return words of this size with their bytes turned round; what is left over stays."""
    if size == 1:
        return raw
    whole = len(raw) // size * size
    turned = bytearray(raw)
    for place in range(size):
        turned[place:whole:size] = raw[size - 1 - place : whole : size]
    return bytes(turned)


def _values(data: Buffer, one: Element, used: CharacterSet) -> Sequence[Any]:
    if one.vr in _CODES:
        return numbers(data, one, _CODES[one.vr])
    if one.vr == "AT":
        pairs = iter(numbers(data, one, "H"))
        return [f"{group:04X}{element:04X}" for group, element in zip(pairs, pairs, strict=False)]
    raw = bytes(data[one.start : one.end])
    text = _text(raw, one.vr, used)
    return [text] if one.vr in _SINGLE else text.split("\\")


def _text(raw: bytes, vr: str, used: CharacterSet) -> str:
    if vr in _DECODED:
        return decode(raw, used, name=vr == "PN")[0]
    return raw.decode("ascii", "replace")


def valued(vr: str, values: Sequence[Any]) -> Json:
    """Return an element with these values: texts or numbers, as its VR has them."""
    shape = _SHAPES.get(vr, _plain if vr not in _KEPT else _ending)
    made = [shape(value) for value in values]
    if all(value is None for value in made):
        return {"vr": vr}
    return {"vr": vr, "Value": made}


def _plain(value: Any) -> Any:  # noqa: ANN401  (a text, or a number that was one)
    return str(value).strip(" \0\t\r\n") or None


def _ending(value: Any) -> Any:  # noqa: ANN401
    return str(value).rstrip(" \0") or None


def _decimal(value: Any) -> Any:  # noqa: ANN401
    """Return a DS value as a number; as text where it is none, or none that JSON has."""
    text = _plain(value)
    if text is None or not _NUMBER.fullmatch(text):
        return text
    if _WHOLE.fullmatch(text):
        return _integer(text)
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, int):
        return value if abs(value) < _SAFE else str(value)
    text = _plain(value)
    if text is None or not _WHOLE.fullmatch(text):
        return text
    number = int(text)
    return number if abs(number) < _SAFE else text


def _real(value: Any) -> Any:  # noqa: ANN401
    """Return a binary number; JSON has none for what is not finite."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _name(value: Any) -> Json | None:  # noqa: ANN401
    groups = [group.strip(" \0") for group in str(value).split("=")]
    made = {name: group for name, group in zip(_GROUPS, groups, strict=False) if group}
    return made or None


_SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "DS": _decimal,
    "IS": _integer,
    "PN": _name,
    "FL": _real,
    "FD": _real,
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), _integer),
}


def record(found: Mapping[str, Sequence[Any]]) -> Json:
    """Return attributes by keyword, as the index has them, as JSON."""
    return dict(sorted(_attribute(name, values) for name, values in found.items()))


def _attribute(name: str, values: Sequence[Any]) -> tuple[str, Json]:
    tag = tag_of(name)
    vr = vr_of(tag)
    if vr != "SQ":
        return f"{tag:08X}", valued(vr, values)
    items = [record(item) for item in values]
    return f"{tag:08X}", {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def corrected(
    made: Mapping[str, Json], values: Mapping[str, Sequence[Any]], said: Mapping[str, str]
) -> Json:
    """Return a data set with other values, and those that it had in (0400,0561).

    `said` has the other attributes of the new item there (PS3.3, C.12.1.1.9).
    """
    new = record(values)
    original = {tag: made.get(tag, {"vr": one["vr"]}) for tag, one in new.items()}
    item = record({name: [value] for name, value in said.items()})
    item[_MODIFIED] = {"vr": "SQ", "Value": [original]}
    before = made.get(_ORIGINAL, {}).get("Value", [])
    history = {"vr": "SQ", "Value": [*before, dict(sorted(item.items()))]}
    return dict(sorted({**made, **new, _ORIGINAL: history}.items()))
