"""Codings that are none: unknown codes, wrong displays, supplements taken for systems.

https://hl7.org/fhir/R4/datatypes.html#Coding
"""

from typing import Final, NamedTuple

from terminology.concepts import Concept
from terminology.issues import Refusal
from terminology.library import Library
from terminology.once import Once

_MOST_ASKED: Final = 2_000


class Coding(NamedTuple):
    """A code of a system, and the text that it is displayed by."""

    system: str
    code: str
    display: str | None


class Codings:
    """What a library says of codings; those not looked up yet are noted in `asked`."""

    __slots__ = ("_known", "_library", "asked")

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[Coding, str | None] = {}
        self.asked: dict[Coding, None] = {}

    def problem(self, system: str, code: str, display: str | None) -> str | None:
        """Return what is wrong with a coding; None where nothing is, or nobody knows yet."""
        coding = Coding(system, code, display)
        if coding not in self._known and len(self._known) + len(self.asked) < _MOST_ASKED:
            self.asked[coding] = None
        return self._known.get(coding)

    async def find(self) -> None:
        """Look up what was noted; of what the library cannot tell, nothing is said."""
        library = Once(self._library)
        for coding in self.asked:
            try:
                self._known[coding] = await _problem(library, coding)
            except Refusal:
                self._known[coding] = None
        self.asked.clear()


async def _problem(library: Library, coding: Coding) -> str | None:
    systems = await library.code_systems(coding.system)
    if systems and all(one.head.supplements for one in systems):
        return "The system is a supplement"
    whole = [one for one in systems if one.head.content == "complete"]
    found = [
        concept
        for one in whole
        if (concept := (await one.find([coding.code])).get(coding.code)) is not None
    ]
    if whole and not found:
        return "The code system has no such code"
    known = {text.casefold() for one in found for text in _names(one)}
    shown = " ".join((coding.display or "").split()).casefold()
    return "The display is none of the code's" if shown and known and shown not in known else None


def _names(concept: Concept) -> list[str]:
    names = [concept.display or "", *(one.value for one in concept.designations)]
    return [name for name in names if name]
