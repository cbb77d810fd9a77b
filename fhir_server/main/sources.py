"""FHIR documents in files: JSON, NDJSON, also gzipped and in tar archives.

https://hl7.org/fhir/R4/nd-json.html
"""

import gzip
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# What others refer to comes first: Synthea's hospitals and practitioners, and of a bulk
# export, whose files are named by type, the types that stand at the ends of references.
_FIRST = {
    name: rank
    for rank, names in enumerate(
        (
            ("hospitalInformation", "Organization"),
            ("practitionerInformation", "Practitioner", "Location", "Medication", "Device"),
            ("PractitionerRole", "Patient"),
            ("RelatedPerson", "Encounter", "EpisodeOfCare"),
            ("Condition", "ServiceRequest", "CarePlan", "CareTeam", "Specimen"),
        )
    )
    for name in names
}
_LAST = max(_FIRST.values()) + 1
_NAME = re.compile(r"(?:\d+-)?([A-Za-z]+)")
_ARCHIVES = (".tgz", ".tar.gz", ".tar")
_DOCUMENTS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON text and where it came from: a file, or `file:line` of NDJSON.

    Those of a lower `rank` are referred to by those of a higher one.
    """

    name: str
    raw: bytes
    rank: int = _LAST


def rank(name: str) -> int:
    """Return the rank that a file's name tells."""
    found = _NAME.match(name.rpartition("/")[2])
    return _FIRST.get(found[1], _LAST) if found else _LAST


def size(paths: list[Path]) -> int:
    """Return the bytes of all files, as they lie; what progress counts against."""
    return sum(file.stat().st_size for file in files(paths))


def files(paths: list[Path]) -> list[Path]:
    """Return the files of paths and directories, those that others refer to first."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [p for p in sorted(path.rglob("*")) if p.name.endswith(_DOCUMENTS + _ARCHIVES)]
        else:
            found.append(path)
    return sorted(found, key=lambda path: rank(path.name))


def documents(path: Path) -> Iterator[Document]:
    """Return each document of a file, one at a time; OSError when it cannot be read."""
    if path.name.endswith(_ARCHIVES):
        yield from _archived(path)
    elif path.name.endswith(".gz"):
        with gzip.open(path) as file:
            yield from _read(path.name.removesuffix(".gz"), file)
    else:
        with path.open("rb") as file:
            yield from _read(path.name, file)


def _archived(path: Path) -> Iterator[Document]:
    with tarfile.open(path) as archive:
        members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(_DOCUMENTS)]
        for member in sorted(members, key=lambda one: (rank(one.name), one.name)):
            file = archive.extractfile(member)
            if file is None:
                continue
            with file:
                name = f"{path.name}/{member.name}"
                if name.endswith(".gz"):
                    with gzip.open(file) as unpacked:
                        yield from _read(name.removesuffix(".gz"), unpacked)
                else:
                    yield from _read(name, file)


def _read(name: str, file: IO[bytes] | gzip.GzipFile) -> Iterator[Document]:
    if not name.endswith(".ndjson"):
        yield Document(name, file.read(), rank(name))
        return
    place = rank(name)
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield Document(f"{name}:{number}", line, place)
