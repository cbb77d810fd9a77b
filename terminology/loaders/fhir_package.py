"""Terminology resources of FHIR packages, such as THO and implementation guides.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from terminology.concepts import Json
from terminology.loaders.release import Resources
from terminology.loaders.report import LoadRefused, Report

KINDS = frozenset({"CodeSystem", "ValueSet", "ConceptMap"})
MAX_MEMBERS = 200_000
MAX_MEMBER = 256 << 20
MAX_UNPACKED = 8 << 30
ENDINGS = (".tgz", ".tar.gz")


def is_package(path: Path) -> bool:
    """True for what is named as a package is."""
    return path.name.lower().endswith(ENDINGS)


def package(path: Path) -> Resources:
    """The code systems, value sets and concept maps of a package, read when they are asked for."""
    report = Report()
    return Resources(path.name, _resources(path, report), report)


def _resources(path: Path, report: Report) -> Iterator[Json]:
    unpacked = 0
    try:
        with gzip.open(path) as file, _tar(_Stepwise(file, path.name)) as archive:
            for number, member in enumerate(archive):
                unpacked += member.size
                if number > MAX_MEMBERS or unpacked > MAX_UNPACKED:
                    raise LoadRefused(f"{path.name}: too many files, or too large")
                if not _is_resource(member):
                    continue
                if member.size > MAX_MEMBER:
                    raise LoadRefused(f"{path.name}/{member.name}: is larger than {MAX_MEMBER}")
                content = archive.extractfile(member)
                assert content is not None
                resource = _read(f"{path.name}/{member.name}", content.read(), report)
                if resource:
                    yield resource
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise LoadRefused(f"{path.name}: no package, or damaged ({error})") from None


class _Stepwise:
    """An unpacked archive of which little is read at once, whatever a header in it asks for."""

    def __init__(self, file: gzip.GzipFile, name: str) -> None:
        self._file, self._name = file, name
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read so many bytes; LoadRefused for very many."""
        if size > MAX_MEMBER:
            raise LoadRefused(f"{self._name}: a header larger than {MAX_MEMBER}")
        return self._file.read(size)


def _tar(file: _Stepwise) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:")  # type: ignore[call-overload, no-any-return]


def _is_resource(member: tarfile.TarInfo) -> bool:
    """True for a file directly in `package`; links and what lies elsewhere are not read."""
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    return member.isreg() and folder == "package" and name.endswith(".json")


def _read(name: str, raw: bytes, report: Report) -> Json | None:
    try:
        resource = json.loads(raw)
    except (ValueError, RecursionError):
        report.add("bad row", name, 0, "is not JSON")
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") not in KINDS:
        return None
    if not isinstance(resource.get("url"), str):
        report.add("bad row", name, 0, "has no url")
        return None
    return resource
