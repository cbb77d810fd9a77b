"""Small data sets as values and back: the identifiers of queries and of their answers.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_7.1
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.1.1.3
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from adapters.dicom.dataset.charset import CharacterSet, character_set, decode, encode
from adapters.dicom.dataset.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Broken,
    Encoding,
)
from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG as EXPLICIT_BIG_UID
from adapters.dicom.dataset.syntaxes import IMPLICIT_LITTLE as IMPLICIT_LITTLE_UID

UNICODE = "ISO_IR 192"
MAX_DEPTH = 16

_CHARACTER_SET = 0x00080005
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_TEXT = frozenset(("SH", "LO", "ST", "LT", "PN", "UC", "UT"))
_SINGLE = frozenset(("ST", "LT", "UT", "UR"))
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


@dataclass(frozen=True, slots=True)
class Key:
    """An element of an identifier: its values as text or numbers, or the items of a sequence.

    An empty element has no values.
    """

    tag: int
    vr: str
    values: tuple[Any, ...]


Keys = Mapping[int, Key]


def encoding_of(transfer_syntax: str) -> Encoding:
    """Return how elements are encoded in a transfer syntax without compression."""
    if transfer_syntax == IMPLICIT_LITTLE_UID:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if transfer_syntax == EXPLICIT_BIG_UID else EXPLICIT_LITTLE


def read(data: bytes, transfer_syntax: str) -> dict[int, Key]:
    """Return the elements of a data set by tag; Broken when it cannot be parsed.

    Values are decoded in the data set's own character sets; group lengths are left out.
    """
    reader = _Reader(data, encoding_of(transfer_syntax))
    keys, _ = reader.elements(0, len(data), CharacterSet("ascii", True), 0)
    return keys


@lru_cache(maxsize=4096)
def keyword(tag: int) -> str:
    """Return the keyword of a tag, "" for a private or unknown one."""
    return keyword_for_tag(tag)


@lru_cache(maxsize=4096)
def tag_of(name: str) -> int:
    """Return the tag of a keyword; KeyError for what is none."""
    tag = tag_for_keyword(name)
    if tag is None:
        raise KeyError(name)
    return int(tag)


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """Return the VR of a tag in the dictionary, the first where there is a choice, else UN."""
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


def terms_of(keys: Keys) -> tuple[str, ...]:
    """Return the defined terms of (0008,0005)."""
    found = keys.get(_CHARACTER_SET)
    return tuple(str(value) for value in found.values) if found else ()


class _Reader:
    """A pass over one small data set."""

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self._data = data
        self._encoding = encoding
        self._order = "<" if encoding.little else ">"

    def elements(
        self, offset: int, end: int | None, inherited: CharacterSet, depth: int
    ) -> tuple[dict[int, Key], int]:
        """Return what lies between `offset` and `end`, or the item's delimiter, and its end."""
        if depth > MAX_DEPTH:
            raise Broken("Sequences are nested too deep")
        keys: dict[int, Key] = {}
        used = inherited
        while end is None or offset < end:
            tag, vr, length, start = self._header(offset)
            if tag == _ITEM_END and end is None:
                return keys, start
            if vr == "SQ" or length == _UNDEFINED:
                values, offset = self._items(start, length, used, depth)
                keys[tag] = Key(tag, "SQ", values)
                continue
            offset = start + length
            self._require(offset)
            if tag & 0xFFFF:
                keys.setdefault(tag, Key(tag, vr, self._values(vr, self._data[start:offset], used)))
            if tag == _CHARACTER_SET:
                used = character_set([str(value) for value in keys[tag].values])
        return keys, offset

    def _header(self, offset: int) -> tuple[int, str, int, int]:
        self._require(offset + 8)
        group, element, length = self._encoding.implicit_header.unpack_from(self._data, offset)
        tag = group << 16 | element
        if group == 0xFFFE or not self._encoding.explicit:  # noqa: PLR2004  (items have no VR)
            return tag, vr_of(tag), length, offset + 8
        vr, short = struct.unpack_from(f"{self._order}2sH", self._data, offset + 4)
        if vr not in _LONG:
            return tag, vr.decode("ascii", "replace"), short, offset + 8
        self._require(offset + 12)
        length = self._encoding.length.unpack_from(self._data, offset + 8)[0]
        return tag, vr.decode(), length, offset + 12

    def _items(
        self, offset: int, length: int, used: CharacterSet, depth: int
    ) -> tuple[tuple[dict[int, Key], ...], int]:
        end = None if length == _UNDEFINED else offset + length
        self._require(end or offset)
        items: list[dict[int, Key]] = []
        while end is None or offset < end:
            tag, _, size, offset = self._header(offset)
            if tag == _SEQUENCE_END and end is None:
                break
            if tag != _ITEM:
                raise Broken("A sequence holds something that is not an item")
            stop = None if size == _UNDEFINED else offset + size
            self._require(stop or offset)
            item, offset = self.elements(offset, stop, used, depth + 1)
            items.append(item)
        return tuple(items), offset

    def _values(self, vr: str, value: bytes, used: CharacterSet) -> tuple[Any, ...]:
        if vr in _NUMBERS:
            size = struct.calcsize(_NUMBERS[vr])
            count = len(value) // size
            return struct.unpack(f"{self._order}{count}{_NUMBERS[vr]}", value[: count * size])
        if vr == "AT":
            pairs = struct.iter_unpack(f"{self._order}HH", value[: len(value) // 4 * 4])
            return tuple(f"{group:04X}{element:04X}" for group, element in pairs)
        text = decode(value, used, name=vr == "PN")[0] if vr in _TEXT else _plain(value)
        parts = [text] if vr in _SINGLE else text.split("\\")
        found = tuple(part.replace("\0", " ").strip() for part in parts)
        return found if any(found) else ()

    def _require(self, end: int) -> None:
        if end > len(self._data):
            raise Broken("An element is longer than the data set")


def _plain(value: bytes) -> str:
    return value.decode("ascii", "replace")


def write(
    elements: Iterable[Key],
    transfer_syntax: str,
    terms: Sequence[str] = (),
    *,
    stated: bool = False,
) -> bytes:
    """Return a data set of these elements, in the order of their tags.

    Text is in the character sets of `terms` if they can carry all of it, else in UTF-8;
    (0008,0005) says which, where something is not ASCII (PS3.5, 6.1.2.3) or it is to be
    `stated`.
    """
    keys = {key.tag: key for key in elements if key.tag != _CHARACTER_SET}
    encoding = encoding_of(transfer_syntax)
    if all(text.isascii() for text in _texts(keys.values())) and not (stated and terms):
        return _encoded(keys, encoding, ())
    used = tuple(terms) if terms and carries(terms, keys.values()) else (UNICODE,)
    keys[_CHARACTER_SET] = Key(_CHARACTER_SET, "CS", used)
    return _encoded(keys, encoding, used)


def carries(terms: Sequence[str], keys: Iterable[Key]) -> bool:
    """Return whether the character sets can express all text of these elements."""
    return all(encode(text, terms) is not None for text in _texts(keys))


def _texts(keys: Iterable[Key]) -> Iterator[str]:
    for key in keys:
        for value in key.values:
            if isinstance(value, Mapping):
                yield from _texts(value.values())
            elif key.vr in _TEXT:
                yield str(value)


def _encoded(keys: Keys, encoding: Encoding, terms: Sequence[str]) -> bytes:
    return b"".join(_element(keys[tag], encoding, terms) for tag in sorted(keys))


def _element(key: Key, encoding: Encoding, terms: Sequence[str]) -> bytes:
    value = _value(key, encoding, terms)
    group, element = key.tag >> 16, key.tag & 0xFFFF
    if not encoding.explicit:
        return encoding.implicit_header.pack(group, element, len(value)) + value
    vr = key.vr.encode()
    if vr in _LONG:
        head = encoding.explicit_header.pack(group, element, vr, 0)
        return head + encoding.length.pack(len(value)) + value
    return encoding.explicit_header.pack(group, element, vr, len(value)) + value


def _value(key: Key, encoding: Encoding, terms: Sequence[str]) -> bytes:
    if key.vr == "SQ":
        return b"".join(_item(item, encoding, terms) for item in key.values)
    order = "<" if encoding.little else ">"
    if key.vr in _NUMBERS:
        return struct.pack(f"{order}{len(key.values)}{_NUMBERS[key.vr]}", *key.values)
    if key.vr == "AT":
        tags = [int(value, 16) for value in key.values]
        return b"".join(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    text = "\\".join(str(value) for value in key.values)
    raw = (encode(text, terms) or b"") if key.vr in _TEXT else text.encode("ascii", "replace")
    return raw + (b"\0" if key.vr in {"UI", "UN"} else b" ") * (len(raw) % 2)


def _item(item: Keys, encoding: Encoding, terms: Sequence[str]) -> bytes:
    body = _encoded(item, encoding, terms)
    return encoding.implicit_header.pack(0xFFFE, 0xE000, len(body)) + body
