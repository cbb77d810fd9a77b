"""A HL7 v2 message in the making, each leaf with the leaves of the records it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.message.tokenizer import Address, Message, Source, parse
from adapters.hl7.records.transmission import Leaf

SUBCOMPONENT: Final = "\x1f"
"""Stands between the subcomponents of a text."""
_ESCAPES: Final = str.maketrans(
    {
        SUBCOMPONENT: "&",
        "|": "\\F\\",
        "^": "\\S\\",
        "&": "\\T\\",
        "~": "\\R\\",
        "\\": "\\E\\",
        "\r": " ",
        "\n": " ",
    }
)
_Place = tuple[int, int, int]


@dataclass(slots=True)
class Draft:
    """A segment: texts by (field, repetition, component), and where they came from."""

    name: str
    texts: dict[_Place, str] = field(default_factory=dict)
    origins: dict[_Place, tuple[str, ...]] = field(default_factory=dict)

    def put(
        self,
        number: int,
        text: str,
        origins: Sequence[str] = (),
        *,
        component: int = 1,
        repetition: int = 1,
    ) -> None:
        """Set a leaf, if there is a text for it."""
        if text:
            self.texts[(number, repetition, component)] = text
            self.origins[(number, repetition, component)] = tuple(origins)

    def take(
        self, number: int, leaf: Leaf | None, *, component: int = 1, repetition: int = 1
    ) -> None:
        """Set a leaf to one of a record."""
        if leaf is not None:
            self.put(number, leaf.text, (leaf.address,), component=component, repetition=repetition)

    def written(self) -> str:
        """Return the segment with the usual delimiters."""
        last = max((number for number, _, _ in self.texts), default=0)
        # MSH-1 is the separator itself, and MSH-2 the other marks.
        start = 3 if self.name == "MSH" else 1
        fields = [self._field(number) for number in range(start, last + 1)]
        return "|".join([self.name, *(["^~\\&"] if start > 1 else []), *fields])

    def _field(self, number: int) -> str:
        places = [place for place in self.texts if place[0] == number]
        repetitions = range(1, max((r for _, r, _ in places), default=0) + 1)
        return "~".join(self._repetition(number, one) for one in repetitions)

    def _repetition(self, number: int, repetition: int) -> str:
        last = max((c for n, r, c in self.texts if (n, r) == (number, repetition)), default=0)
        return "^".join(
            self.texts.get((number, repetition, component), "").translate(_ESCAPES)
            for component in range(1, last + 1)
        )


def message(segments: Sequence[Draft], text: str, leaves: dict[str, str]) -> Message:
    """Return the message of these segments; `leaves` are those of `text`, with reasons."""
    found = parse("\r".join(segment.written() for segment in segments))
    origins: dict[Address, tuple[str, ...]] = {}
    for index, segment in enumerate(segments):
        for (number, repetition, component), places in segment.origins.items():
            if places:
                origins[(index, number, repetition, component, 1)] = places
    found.source = Source(text, leaves, origins)
    return found
