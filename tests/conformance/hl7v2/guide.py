"""The maps of the HL7 v2-to-FHIR guide, as rows.

https://hl7.org/fhir/uv/v2mappings/STU1/
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "data/hl7v2/v2-to-fhir-maps"
# What the guide misspells, as R4 spells it: (found in the path, read as).
SPELLING: Final = (
    (r"=\".*$", ""),
    (r"extension(\[\d+\])?\.uri$", r"extension\1.url"),
    (r"valuedateTime", "valueDateTime"),
    (r"valueSampedData", "valueSampledData"),
    (r"\.sytem", ".system"),
    (r"coding\.value$", "coding.code"),
    (r"(code|type)\.coding\.value\)", r"\1.coding.code)"),
    (r"function\.coding\.uri", "function.coding.system"),
    (r"participant\.function\.coding\.", "participant.function.coding."),
    (r"^payer", "payor"),
    (r"occurenceTiming|occurneceTiming|occurrenceTIming", "occurrenceTiming"),
    (r"PractitionerRole\.Practitioner\(", "PractitionerRole.practitioner("),
    (r"practioner\(", "practitioner("),
    (r"\(Practioner\.", "(Practitioner."),
    (r"organziation\.\(|organization\.\(", "organization("),
    (r"([tT]iming)\.(bounds|duration)", r"\1.repeat.\2"),
    (r"doseAndRate\.timing", "timing"),
    (r"value\.CodeableConcept", "valueCodeableConcept"),
    (r"^(\[\d\])\.location\(Location\.([\w.]+)\)", r"\1.\2"),
    (r"^Quantity\.", ""),
    (r"\.reference\(", "("),
    (r"^extension\[1\]:[a-z\-]+\.url", "extension.url"),
    (r"^extension\[1\]:[a-z\-]+\.", "extension.extension."),
    (r"^code\[1\]\.value$", "code.coding.code"),
    (r"Medication\.doseForm", "Medication.form"),
    (r"^medication\(", "medicationReference("),
    (r"extension(\[\d+\])?\.uri\)", r"extension\1.url)"),
)
# Maps to MedicationRequest that call its timing by the name it has in ServiceRequest.
_DOSAGE: Final = ("TQ[MedicationRequest]", "TQ1[MedicationRequest]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a map: `map` is as the guide calls it (`PID[Patient]`), `line` is in the file."""

    map: str
    line: int
    identifier: str
    data_type: str
    condition: str
    narrative: str
    attribute: str
    data_type_map: str
    vocabulary: str
    assignment: str

    @property
    def path(self) -> str:
        """The FHIR path, its misspellings read as R4 spells them."""
        found = self.attribute
        if self.map in _DOSAGE:
            found = re.sub(r"^occu\w+Timing", "dosageInstruction.timing", found)
        for wrong, right in SPELLING:
            found = re.sub(wrong, right, found)
        return found

    @property
    def place(self) -> tuple[str, int]:
        """The segment or data type, and the number of the field or component (0: all)."""
        name, _, number = re.sub(r"[-.]", "-", self.identifier).partition("-")
        return name.strip(), int(number) if number.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the map of a message: `kind` is the type that the segment becomes or fills."""

    structure: str
    line: int
    segment: str
    kind: str
    map: str


@dataclass(frozen=True, slots=True)
class Code:
    """One row of a code map: a v2 code, and the code and system that it becomes ("" for none)."""

    line: int
    code: str
    target: str
    system: str


def rows(shared: Path, kind: str) -> Iterator[Row]:
    """Yield the rows of all maps of a kind (`segments`, `datatypes`), with and without target."""
    for file in sorted((shared / FOLDER / kind).glob("*.csv")):
        name = file.name.split("R4_ ")[1].split(" - ")[0]
        for line, cells in _cells(file):
            if any(cells):
                yield Row(name, line, cells[1], cells[3], *_conditions(cells), *_target(cells))


def places(shared: Path) -> Iterator[Place]:
    """Yield the rows of the maps of messages that have a target."""
    for file in sorted((shared / FOLDER / "messages").glob("*.csv")):
        structure = file.name.split("R4_ ")[1].split(" - ")[0].strip()
        for line, cells in _cells(file):
            if target := cells[9]:
                types = re.findall(r"(?<![A-Za-z.])[A-Z][A-Za-z]+", target)
                segment = cells[1].rpartition(".")[2]
                yield Place(structure, line, segment, types[-1], cells[10])


def codes(shared: Path) -> dict[str, list[Code]]:
    """Return the code maps by their name (`PatientClass[EncounterClass]`)."""
    found = {}
    for file in sorted((shared / FOLDER / "codesystems").glob("*.csv")):
        name = file.name.split("Map_ ")[1].split(" - ")[0]
        found[name] = [
            Code(line, cells[0], cells[6], cells[9]) for line, cells in _cells(file) if any(cells)
        ]
    return found


def _cells(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) below the two rows of headings, with 20 cells at least."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        for line, cells in enumerate(csv.reader(opened), 1):
            if line > 2:
                found = [cell.replace("\xa0", " ").strip() for cell in cells]
                yield line, found + [""] * (20 - len(found))


def _conditions(cells: list[str]) -> tuple[str, str]:
    return cells[6], cells[8]


def _target(cells: list[str]) -> tuple[str, str, str, str]:
    return cells[9], cells[14], cells[15], cells[16]
