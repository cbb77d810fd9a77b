"""A SNOMED CT package of our own making: `python -m benchmarks.synthetic_rf2 DIRECTORY`.

It has the shape of a real one (hierarchy with several parents, names, two language
refsets, attributes in groups, simple and map refsets, history) and nothing of its content
but the identifiers that its format needs. The same seed gives the same files.
"""

import argparse
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TextIO

DATE = "20260101"
ROOT = 138875005
CORE, MODEL = 900000000000207008, 900000000000012004
PRIMITIVE, DEFINED = 900000000000074008, 900000000000073002
FSN, SYNONYM, DEFINITION = 900000000000003001, 900000000000013009, 900000000000550004
INFERRED, SOME, IS_A = 900000000000011006, 900000000000451002, 116680003
CASELESS = 900000000000448009
US, GB = 900000000000509007, 900000000000508004
PREFERRED, ACCEPTABLE = 900000000000548007, 900000000000549004
SIMPLE, MAP, SAME_AS, REPLACED = (
    723264001,
    447562003,
    900000000000527005,
    900000000000526001,
)
ATTRIBUTES = (363698007, 116676008, 246075003)
STRENGTH = 1142135004
DEPENDENCIES = 900000000000534007
# Concepts that the format itself speaks of, each below the root.
METADATA = {
    CORE: "Core module",
    MODEL: "Model component module",
    IS_A: "Is a",
    US: "United States of America English",
    GB: "Great Britain English",
    SIMPLE: "Simple set",
    MAP: "Extended map",
    SAME_AS: "SAME AS association",
    REPLACED: "REPLACED BY association",
    ATTRIBUTES[0]: "Finding site",
    ATTRIBUTES[1]: "Associated morphology",
    ATTRIBUTES[2]: "Causative agent",
    STRENGTH: "Strength value",
    DEPENDENCIES: "Module dependency",
}
BRANCHES = 3
HEADERS = {
    "Concept": "id effectiveTime active moduleId definitionStatusId",
    "Description": "id effectiveTime active moduleId conceptId languageCode typeId term"
    " caseSignificanceId",
    "TextDefinition": "id effectiveTime active moduleId conceptId languageCode typeId term"
    " caseSignificanceId",
    "Relationship": "id effectiveTime active moduleId sourceId destinationId"
    " relationshipGroup typeId characteristicTypeId modifierId",
    "RelationshipConcreteValues": "id effectiveTime active moduleId sourceId value"
    " relationshipGroup typeId characteristicTypeId modifierId",
    "Language": "id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId",
    "Simple": "id effectiveTime active moduleId refsetId referencedComponentId",
    "Association": "id effectiveTime active moduleId refsetId referencedComponentId"
    " targetComponentId",
    "ExtendedMap": "id effectiveTime active moduleId refsetId referencedComponentId mapGroup"
    " mapPriority mapRule mapAdvice mapTarget correlationId mapCategoryId",
    "ModuleDependency": "id effectiveTime active moduleId refsetId referencedComponentId"
    " sourceEffectiveTime targetEffectiveTime",
}
SYLLABLES = [
    "ba",
    "co",
    "di",
    "fe",
    "gu",
    "ha",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
    "va",
    "xe",
    "yo",
    "zi",
    "cra",
    "pto",
    "sten",
    "osi",
    "ile",
    "ema",
]
TAGS = ("disorder", "finding", "procedure", "body structure", "substance")

# Verhoeff's check digit: multiplication of the dihedral group, and its permutation.
_TIMES = [
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
]
_PERMUTATION = (
    "0123456789 1576283094 5803796142 8916043527 9453126870 4286573901 2793806415 7046913258"
)
_SHUFFLED = _PERMUTATION.split()
_INVERSE = "0432156789"


def sctid(item: int, partition: str) -> int:
    """The identifier of an item: its digits, the partition and Verhoeff's check digit."""
    digits = f"{item}{partition}"
    state = 0
    for place, digit in enumerate(reversed(digits), start=1):
        state = int(_TIMES[state][int(_SHUFFLED[place % 8][int(digit)])])
    return int(f"{digits}{_INVERSE[state]}")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a package is, and what its chance begins with."""

    concepts: int
    seed: int = 1


def concept_id(number: int) -> int:
    """The identifier of concept `number`, 0 is the root."""
    return sctid(2_000_000 + number, "00") if number else ROOT


def parents(number: int, chance: random.Random) -> list[int]:
    """The parents of concept `number` > 0: of three each, now and then one more nearby."""
    first = (number - 1) // BRANCHES
    found = [first]
    if first > BRANCHES and chance.random() < 0.12:
        other = chance.randrange(first // 2, first)
        found.append(other)
    return found


def write_package(directory: Path, size: Size) -> Path:
    """Write the Snapshot of a package below a directory; returns its folder."""
    folder = directory / f"SnomedCT_Synthetic_{DATE}" / "Snapshot"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        files: dict[str, TextIO] = {
            name: opened.enter_context(
                (folder / f"x_{name}_Snapshot_{DATE}.txt").open("w", newline="")
            )
            for name in HEADERS
        }
        for name, header in HEADERS.items():
            files[name].write("\t".join(header.split()) + "\r\n")
        _Package(files, size).write()
    return folder.parent


class _Package:
    """The files of a package under way."""

    def __init__(self, files: dict[str, TextIO], size: Size) -> None:
        self._files, self._size = files, size
        self._chance = random.Random(size.seed)
        self._words = sorted({self._word() for _ in range(4_000)})
        self._items = 10_000_000
        self._ids = [concept_id(number) for number in range(size.concepts)]

    def write(self) -> None:
        """Write every row."""
        self._row("ModuleDependency", CORE, DEPENDENCIES, MODEL, DATE, DATE)
        self._concept(ROOT, "SNOMED CT Concept", "SNOMED RT+CTV3", PRIMITIVE)
        for id_, name in METADATA.items():
            self._concept(id_, name, "core metadata concept", PRIMITIVE)
            self._relationship(id_, ROOT, 0, IS_A)
        for number in range(1, self._size.concepts):
            self._numbered(number)

    def _numbered(self, number: int) -> None:
        chance, id_ = self._chance, self._ids[number]
        name = " ".join(chance.choices(self._words, k=2 + number % 3)).capitalize()
        if number % 50 == 49:
            self._retired(id_, name, number)
            return
        above = [p for p in parents(number, chance) if p % 50 != 49] or [0]
        for parent in above:
            self._relationship(id_, self._ids[parent], 0, IS_A)
        self._concept(id_, name, TAGS[number % BRANCHES], DEFINED if number % 4 else PRIMITIVE)
        self._attributes(id_, number)
        if number % 20 == 0:
            self._row("Simple", CORE, SIMPLE, id_)
        if number % 4 == 0:
            self._map(id_, number)
        if number % 60 == 0:
            text = f"{name}, told at some length."
            self._description("TextDefinition", id_, DEFINITION, text)
            self._concrete(id_, number % 500)

    def _concept(self, id_: int, name: str, tag: str, status: int) -> None:
        self._write("Concept", id_, 1, CORE, status)
        full = self._description("Description", id_, FSN, f"{name} ({tag})")
        usual = self._description("Description", id_, SYNONYM, name)
        for refset in (US, GB):
            self._row("Language", CORE, refset, full, PREFERRED)
            self._row("Language", CORE, refset, usual, PREFERRED)
        if self._chance.random() < 0.7:
            other = self._description("Description", id_, SYNONYM, f"{name} of {tag}")
            for refset in (US, GB):
                self._row("Language", CORE, refset, other, ACCEPTABLE)

    def _retired(self, id_: int, name: str, number: int) -> None:
        self._write("Concept", id_, 0, CORE, PRIMITIVE)
        full = self._description("Description", id_, FSN, f"{name} ({TAGS[0]})")
        self._row("Language", CORE, US, full, PREFERRED)
        kind = SAME_AS if number % 100 == 49 else REPLACED
        self._row("Association", CORE, kind, id_, self._ids[max(number - 1, 1)])

    def _attributes(self, id_: int, number: int) -> None:
        for place in range(number % 4):
            other = self._ids[self._chance.randrange(1, number + 1)]
            self._relationship(id_, other, 1 + place // 2, ATTRIBUTES[place])

    def _map(self, id_: int, number: int) -> None:
        target = f"{chr(65 + number % 26)}{number % 100:02}.{number % 10}"
        advice = f"ALWAYS {target}"
        self._row("ExtendedMap", CORE, MAP, id_, 1, 1, "TRUE", advice, target, 447561005, 447637006)

    def _concrete(self, id_: int, number: int) -> None:
        rest = (f"#{number}.5", 1, STRENGTH, INFERRED, SOME)
        self._write("RelationshipConcreteValues", self._new("02"), 1, CORE, id_, *rest)

    def _relationship(self, source: int, target: int, group: int, kind: int) -> None:
        rest = (source, target, group, kind, INFERRED, SOME)
        self._write("Relationship", self._new("02"), 1, CORE, *rest)

    def _description(self, table: str, concept: int, kind: int, term: str) -> int:
        id_ = self._new("01")
        self._write(table, id_, 1, CORE, concept, "en", kind, term, CASELESS)
        return id_

    def _row(self, table: str, module: int, *rest: object) -> None:
        """Write a member of a refset, whose identifiers are UUIDs."""
        self._items += 1
        self._write(table, f"00000000-0000-4000-8000-{self._items:012}", 1, module, *rest)

    def _write(self, table: str, id_: object, active: int, *rest: object) -> None:
        self._files[table].write(f"{id_}\t{DATE}\t{active}\t" + "\t".join(map(str, rest)) + "\r\n")

    def _new(self, partition: str) -> int:
        self._items += 1
        # Of these nobody looks at the check digit, and there are millions.
        return int(f"{self._items}{partition}0")

    def _word(self) -> str:
        return "".join(self._chance.choices(SYLLABLES, k=self._chance.randrange(2, 5)))


def names(folder: Path) -> Iterator[str]:
    """The files of a package with their bytes."""
    for path in sorted(folder.rglob("*.txt")):
        yield f"{path.name}  {path.stat().st_size:,}"


def main() -> None:
    """Write the package that the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks.synthetic_rf2", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--concepts", type=int, default=350_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = perf_counter()
    folder = write_package(options.directory, Size(options.concepts, options.seed))
    print("\n".join(names(folder)))
    print(f"{options.concepts:,} concepts in {perf_counter() - began:.1f} s: {folder}")


if __name__ == "__main__":
    main()
