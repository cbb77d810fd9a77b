"""Descriptions of SNOMED CT: designations, displays and what language refsets say of them.

https://confluence.ihtsdotools.org/display/DOCRELFMT (Language Reference Set)
"""

import json
from array import array
from bisect import bisect_left
from collections import Counter

from terminology.loaders.release import Options
from terminology.loaders.report import Report
from terminology.loaders.rf2_files import Packages
from terminology.loaders.spool import NULL, Spool, field

SNOMED = "http://snomed.info/sct"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
WORDS = {PREFERRED: "preferred", ACCEPTABLE: "acceptable"}
FSN, SYNONYM, DEFINITION = "900000000000003001", "900000000000013009", "900000000000550004"
US_ENGLISH, GB_ENGLISH = "900000000000509007", "900000000000508004"
USES = {FSN: "Fully specified name", SYNONYM: "Synonym", DEFINITION: "Definition"}
ACTIVE = "1"
# Beyond every identifier, which have 18 digits at most.
_END = (1 << 63) - 1
_TAILS = 20_000
SCTID_DIGITS = 18
# How fit a description is as the display; the best, and of those the first, is taken.
BEST, IN_ENGLISH, ANY_SYNONYM, FULL_NAME = 4, 3, 2, 1


class Dialects:
    """What each language refset says of a description: sorted identifiers, 8 bytes each."""

    def __init__(self, files: Packages, report: Report, options: Options) -> None:
        found: dict[tuple[str, str], array[int]] = {}
        wanted = ("active", "refsetId", "referencedComponentId", "acceptabilityId")
        for reading, rows in files.each("language", wanted, report, options.progress):
            for _, _, flag, refset, description, how in rows:
                if flag != ACTIVE:
                    continue
                known = found.get((refset, how))
                if known is None:
                    if how not in WORDS or not is_sctid(refset):
                        reading.bad("refsetId or acceptabilityId is none of SNOMED CT")
                        continue
                    known = found[refset, how] = array("q")
                try:
                    known.append(int(description))
                except (ValueError, OverflowError):
                    reading.bad("referencedComponentId is none of SNOMED CT")
        self._sorted = {key: array("q", [*sorted(ids), _END]) for key, ids in found.items()}
        self._places = [0] * len(self._sorted)
        self.default = options.language_refset or self._most_used()

    def _most_used(self) -> str | None:
        """US English, else GB English, else the refset that prefers the most descriptions."""
        preferred = Counter(
            {refset: len(ids) for (refset, how), ids in self._sorted.items() if how == PREFERRED}
        )
        usual = next((one for one in (US_ENGLISH, GB_ENGLISH) if one in preferred), None)
        return usual or next((refset for refset, _ in preferred.most_common(1)), None)

    def marks(self, description: int) -> int:
        """A bit for each refset and acceptability that a description has.

        Descriptions come mostly in order, so the next place is looked at before all are searched.
        """
        marks = 0
        for number, ids in enumerate(self._sorted.values()):
            place = self._places[number]
            if ids[place] < description or (place and ids[place - 1] >= description):
                place = self._places[number] = bisect_left(ids, description)
            if ids[place] == description:
                marks |= 1 << number
                self._places[number] = place + 1
        return marks

    def said(self, marks: int) -> dict[str, str]:
        """`preferred` or `acceptable` by language refset."""
        return {
            refset: WORDS[how]
            for place, (refset, how) in enumerate(self._sorted)
            if marks >> place & 1
        }

    def preferring(self) -> int:
        """The bit of what the default refset prefers; 0 without one."""
        key = (self.default, PREFERRED)
        return 1 << list(self._sorted).index(key) if key in self._sorted else 0


class _Tails(dict[tuple[int, str, str, str], str]):
    """The JSON of a description after its id, made once for the many that share it."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects

    def __missing__(self, key: tuple[int, str, str, str]) -> str:
        marks, kind, module, time = key
        rest = {"type": kind, "module": module, "effectiveTime": time}
        made = json.dumps({**rest, "dialects": self._dialects.said(marks)}, ensure_ascii=False)
        if len(self) > _TAILS:
            self.clear()
        self[key] = text = "," + field(made.removeprefix("{"))
        return text


class Terms:
    """The pass over the descriptions."""

    def __init__(self, files: Packages, options: Options, report: Report) -> None:
        self._files, self._options, self._report = files, options, report
        self._displays: list[str | None] = []
        self._fitness = bytearray()
        self._definitions: dict[int, str] = {}

    def read(self, spool: Spool) -> None:
        """Keep the designations, and find the display and definition of each concept."""
        dialects = Dialects(self._files, self._report, self._options)
        numbers = spool.codes.numbers
        self._displays = [None] * (len(numbers) + 1)
        self._fitness = bytearray(len(numbers) + 1)
        uses = {code: spool.use_id(SNOMED, code, text) for code, text in USES.items()}
        tag_id = spool.property_id("semanticTag", "code")
        wanted = ("active", "moduleId", "conceptId", "languageCode", "typeId", "term")
        preferring = dialects.preferring()
        tail = _Tails(dialects)
        files = self._files.each("description", wanted, self._report, self._options.progress)
        for reading, rows in files:
            for id_, time, flag, module, concept, language, kind, term in rows:
                number = numbers.get(concept)
                use = uses.get(kind)
                if number is None:
                    reading.unknown(f"{concept} is not among the concepts")
                    continue
                if use is None or not is_sctid(id_):
                    reading.bad("id or typeId is none of SNOMED CT")
                    continue
                marks = dialects.marks(int(id_))
                preferred = marks & preferring
                line = f"{number}\t{field(language)}\t{use}\t{field(term)}\t"
                flags = f"{'t' if flag == ACTIVE else 'f'}\t{'t' if preferred else 'f'}\t"
                fields = f'{{"id":"{id_}"{tail[marks, kind, module, time]}\n'
                spool.put("designation", line + flags + fields)
                if flag == ACTIVE:
                    if kind == FSN and (tag := semantic_tag(term)):
                        spool.code(number, tag_id, tag)
                    self._name(spool, number, term, kind, language, preferred)

    def _name(
        self, spool: Spool, number: int, term: str, kind: str, language: str, preferred: int
    ) -> None:
        """Keep an active description as what it may be: definition, display, text to search."""
        if kind == DEFINITION:
            self._definitions.setdefault(number, term)
            return
        fit = _fitness(kind, language, preferred=bool(preferred))
        if not self._offer(number, term, fit) or fit != BEST:
            spool.search(number, language, term)

    def _offer(self, number: int, term: str, fit: int) -> bool:
        if fit <= self._fitness[number]:
            return False
        self._fitness[number] = fit
        self._displays[number] = term
        return True

    def concepts(self, spool: Spool, active: bytearray) -> None:
        """Keep the concepts, with the best display of each."""
        for code, number in spool.codes.numbers.items():
            display = self._displays[number]
            definition = self._definitions.get(number)
            mark = "t" if active[number] else "f"
            if display is not None:
                spool.search(number, None, display)
            spool.put(
                "concept",
                f"{number}\t{code}\t{field(display)}\t{field(definition)}\t{mark}\tf\t"
                f"{NULL}\t{number}\n",
            )


def _fitness(kind: str, language: str, *, preferred: bool) -> int:
    if kind == FSN:
        return FULL_NAME
    if preferred:
        return BEST
    return IN_ENGLISH if language == "en" else ANY_SYNONYM


def semantic_tag(name: str) -> str | None:
    """The words in the parentheses that end a fully specified name."""
    if not name.endswith(")"):
        return None
    return name[name.rfind("(") + 1 : -1].strip() or None


def is_sctid(text: str) -> bool:
    """True for what can be an identifier of SNOMED CT."""
    return text.isdecimal() and text.isascii() and len(text) <= SCTID_DIGITS
