"""Segments written in the ER7 encoding.

HL7 v2.9 chapter 2, sections 2.6 and 2.7.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.message.tokenizer import Delimiters

Component = str | tuple[str, ...]
"""Text, or subcomponents."""
Repetition = str | tuple[Component, ...]
"""Text, or components."""
Field = Repetition | list[Repetition]
"""One repetition, or a list of them."""

_TEXT_TYPES: Final = frozenset(("FT", "TX", "ST"))
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: its name, and what stands in its fields, by number."""

    name: str
    fields: Mapping[int, Field]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a message is written: the delimiters of MSH-1 and MSH-2, and the Python codec."""

    marks: str = "|^~\\&"
    codec: str = "utf-8"

    @property
    def delimiters(self) -> Delimiters:
        """The delimiters by name."""
        return Delimiters(*self.marks)


def message(segments: Sequence[Segment], encoding: Encoding) -> bytes:
    r"""Return the segments as bytes, each with its CR; the first is MSH without MSH-1 and 2.

    No character is lost: what the character set does not have is written as `\Xhh..\`,
    the bytes of UTF-8.
    """
    text = "".join(f"{segment(one, encoding)}\r" for one in segments)
    return text.encode(encoding.codec)


def segment(one: Segment, encoding: Encoding) -> str:
    """Return a segment as text, without fields that say nothing at its end."""
    marks = encoding.delimiters
    last = max(one.fields, default=0)
    start = 3 if one.name == "MSH" else 1
    texts = [_field(one, number, encoding) for number in range(start, last + 1)]
    head = [f"MSH{marks.field}{encoding.marks[1:]}"] if one.name == "MSH" else [one.name]
    return marks.field.join([*head, *texts]).rstrip(marks.field)


def _field(one: Segment, number: int, encoding: Encoding) -> str:
    content = one.fields.get(number, "")
    repetitions = content if isinstance(content, list) else [content]
    breaks = _is_text(one, number)
    mark = encoding.delimiters.repetition
    return mark.join(_repetition(each, encoding, breaks=breaks) for each in repetitions)


def _is_text(one: Segment, number: int) -> bool:
    """Whether a line end is written as the command of formatted text."""
    place = (one.name, number)
    return place == ("NTE", 3) or (place == ("OBX", 5) and one.fields.get(2) in _TEXT_TYPES)


def _repetition(one: Repetition, encoding: Encoding, *, breaks: bool) -> str:
    if isinstance(one, str):
        return escape(one, encoding, breaks=breaks)
    marks = encoding.delimiters
    components = [_component(part, encoding) for part in one]
    return marks.component.join(components).rstrip(marks.component)


def _component(one: Component, encoding: Encoding) -> str:
    if isinstance(one, str):
        return escape(one, encoding)
    mark = encoding.delimiters.subcomponent
    return mark.join(escape(part, encoding) for part in one).rstrip(mark)


def escape(text: str, encoding: Encoding, *, breaks: bool = False) -> str:
    r"""Return a leaf with delimiters, control characters and foreign characters escaped.

    `breaks`: a line end is `\.br\`; elsewhere it is `\X0A\`.
    """
    if not _needs(text, encoding):
        return text
    marks = encoding.delimiters
    letters = dict(zip(marks.characters, "FSTREP", strict=False))
    if breaks:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(_escaped(one, letters, marks.escape, encoding.codec, breaks) for one in text)


def _needs(text: str, encoding: Encoding) -> bool:
    if _CONTROL.search(text) or any(mark in text for mark in encoding.marks):
        return True
    return not _encodable(text, encoding.codec)


def _encodable(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _escaped(one: str, letters: Mapping[str, str], mark: str, codec: str, breaks: bool) -> str:  # noqa: FBT001
    if one in letters:
        return f"{mark}{letters[one]}{mark}"
    if one == "\n" and breaks:
        return f"{mark}.br{mark}"
    if one < " " or not _encodable(one, codec):
        return f"{mark}X{one.encode().hex().upper()}{mark}"
    return one
