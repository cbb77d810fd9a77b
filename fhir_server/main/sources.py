"""FHIR documents in files: JSON, NDJSON, also gzipped and in tar archives.

https://hl7.org/fhir/R4/nd-json.html
"""

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Hospitals and practitioners of Synthea come first, as its patients refer to them.
_FIRST = ("hospitalInformation", "practitionerInformation")
_ARCHIVES = (".tgz", ".tar.gz", ".tar")
_DOCUMENTS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON text and where it came from: a file, or `file:line` of NDJSON."""

    name: str
    raw: bytes


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
    return sorted(found, key=lambda path: not path.name.startswith(_FIRST))


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
        for member in sorted(members, key=_order):
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


def _order(member: tarfile.TarInfo) -> tuple[bool, str]:
    name = member.name.rpartition("/")[2].lstrip("0-")
    return not name.startswith(_FIRST), member.name


def _read(name: str, file: IO[bytes] | gzip.GzipFile) -> Iterator[Document]:
    if not name.endswith(".ndjson"):
        yield Document(name, file.read())
        return
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield Document(f"{name}:{number}", line)
