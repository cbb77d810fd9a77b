"""Tables in the shape of LOINC's: `python -m benchmarks.synthetic_loinc DIRECTORY`.

Terms, parts, a hierarchy of parts, answer lists and names in another language, all made
up. The same seed gives the same files.
"""

import argparse
import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PARTS_PER_TERM = 20
ANSWERS = 4
TERMS = (
    "LOINC_NUM COMPONENT PROPERTY TIME_ASPCT SYSTEM SCALE_TYP METHOD_TYP CLASS CLASSTYPE STATUS"
    " SHORTNAME LONG_COMMON_NAME RELATEDNAMES2 ORDER_OBS EXAMPLE_UCUM_UNITS"
    " EXTERNAL_COPYRIGHT_NOTICE"
)
PARTS = "PartNumber PartTypeName PartName PartDisplayName Status"
LINKS = "LoincNumber LongCommonName PartNumber PartName PartTypeName LinkTypeName Property"
HIERARCHY = "PATH_TO_ROOT SEQUENCE IMMEDIATE_PARENT CODE CODE_TEXT"
ANSWER_LISTS = "AnswerListId AnswerListName AnswerStringId SequenceNumber DisplayText"
ANSWER_LINKS = "LoincNumber LongCommonName AnswerListId AnswerListName AnswerListLinkType"
VARIANT = "LOINC_NUM COMPONENT CLASS LONG_COMMON_NAME LinguisticVariantDisplayName"
MATTERS = ("Examplin", "Testose", "Samplase", "Mockium", "Placeholdol")
PLACES = ("Bld", "Ser/Plas", "Urine", "CSF")


def code(number: int, prefix: str = "") -> str:
    """The code of a number, with its check digit (Luhn, as LOINC's are)."""
    total = 0
    for place, digit in enumerate(reversed(str(number))):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{prefix}{number}-{-total % 10}"


def write_tables(folder: Path, terms: int, seed: int = 1) -> Path:
    """Write the tables; returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    parts = max(terms // PARTS_PER_TERM, 2)
    of_part = [chance.randrange(1, parts) for _ in range(terms)]
    _write(folder / "Loinc.csv", TERMS, (_term(n, of_part[n]) for n in range(terms)))
    _write(folder / "Part.csv", PARTS, (_part(n) for n in range(parts)))
    _write(folder / "Links.csv", LINKS, (_link(n, of_part[n]) for n in range(terms)))
    _write(folder / "Hierarchy.csv", HIERARCHY, _hierarchy(parts, of_part))
    lists = range(parts // 10)
    _write(folder / "AnswerList.csv", ANSWER_LISTS, (row for n in lists for row in _answers(n)))
    links = ((code(n + 1), "", code(n + 1, "LL"), "", "EXAMPLE") for n in lists)
    _write(folder / "AnswerLinks.csv", ANSWER_LINKS, links)
    names = ((code(n + 1), "", "", "", f"Beispiel {n}") for n in range(0, terms, 3))
    _write(folder / "deDE1LinguisticVariant.csv", VARIANT, names)
    return folder


def _name(number: int) -> str:
    return f"{MATTERS[number % len(MATTERS)]} {number}"


def _term(number: int, part: int) -> Sequence[object]:
    place, name = PLACES[number % len(PLACES)], _name(part)
    status = "DEPRECATED" if number % 40 == 39 else "ACTIVE"
    axes = (name, "MCnc", "Pt", place, "Qn", "", "CHEM", 1, status)
    text = f"{name} [Mass/volume] in {place} (test {number})"
    return (code(number + 1), *axes, f"{name} {place}", text, f"{name}; level", "Both", "mg/dL", "")


def _part(number: int) -> Sequence[object]:
    return (code(number + 1, "LP"), "COMPONENT", _name(number), _name(number), "ACTIVE")


def _link(number: int, part: int) -> Sequence[object]:
    uri = "http://loinc.org/property/COMPONENT"
    return (code(number + 1), "", code(part + 1, "LP"), _name(part), "COMPONENT", "Primary", uri)


def _hierarchy(parts: int, of_part: list[int]) -> Iterator[Sequence[object]]:
    for number in range(parts):
        above = code((number - 1) // 5 + 1, "LP") if number else ""
        yield ("", 1, above, code(number + 1, "LP"), _name(number))
    for number, part in enumerate(of_part):
        yield ("", 1, code(part + 1, "LP"), code(number + 1), "")


def _answers(number: int) -> Iterator[Sequence[object]]:
    for place in range(ANSWERS):
        answer = code(number * ANSWERS + place + 1, "LA")
        yield (code(number + 1, "LL"), f"Answers {number}", answer, place + 1, f"Answer {place}")


def _write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(header.split())
        writer.writerows(rows)


def main() -> None:
    """Write the tables that the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks.synthetic_loinc", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--terms", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(write_tables(options.directory, options.terms, options.seed))


if __name__ == "__main__":
    main()
