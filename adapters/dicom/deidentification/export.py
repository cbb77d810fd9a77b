"""Studies written to a directory, as they are stored or as a project may have them."""

import hashlib
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from adapters.dicom.deidentification import project_keys
from adapters.dicom.deidentification.copies import Review, Source, copied
from adapters.dicom.deidentification.pixels import Blocked
from adapters.dicom.deidentification.profile import CHOICES
from adapters.dicom.deidentification.project import KEY_BYTES, Project, known_options
from fhir_server.at_rest.keys import Keys
from fhir_server.blobs import Blobs
from fhir_server.errors import BadRequest, Conflict, NotFound

_PIECE: Final = 1 << 20

Connection = psycopg.Connection[tuple[Any, ...]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UID = re.compile(r"\d+(\.\d+)*", re.ASCII)

_SOURCES = """
SELECT study_instance_uid, series_instance_uid, sop_instance_uid, transfer_syntax_uid,
       encode(blob, 'hex'), data_set_offset, pixel_offset
FROM dicom_instance WHERE study_instance_uid = ANY (%s) AND state = 'live'
ORDER BY study_instance_uid, series_instance_uid, instance_number, sop_instance_uid
"""
_ADD = """
INSERT INTO dicom_project (name, key, options) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_GET = "SELECT name, key, options FROM dicom_project WHERE name = %s"
_LIST = "SELECT name, options FROM dicom_project ORDER BY name"


@dataclass(slots=True)
class Tally:
    """What became of the instances: how many were written, why others were not, faces."""

    written: int = 0
    faces: int = 0
    blocked: Counter[str] = field(default_factory=Counter)


def add_project(connection: Connection, keys: Keys, name: str, options: Sequence[str]) -> Project:
    """Make a project with a key of its own. Raises BadRequest, and Conflict for a known name."""
    if not _NAME.fullmatch(name):
        raise BadRequest("A project's name has letters, digits, dots and hyphens, 64 at most")
    try:
        chosen = known_options(options, CHOICES)
    except ValueError as error:
        raise BadRequest(f"{error}; there are {', '.join(sorted(CHOICES))}") from None
    project = Project(name, secrets.token_bytes(KEY_BYTES), chosen)
    sealed = project_keys.kept(keys, name, project.key)
    if not connection.execute(_ADD, (name, sealed, sorted(chosen))).rowcount:
        raise Conflict(f"There is a project {name} already")
    return project


def project(connection: Connection, keys: Keys, name: str) -> Project:
    """Return the project of this name. Raises NotFound, Damaged."""
    row = connection.execute(_GET, (name,)).fetchone()
    if row is None:
        raise NotFound(f"There is no project {name}")
    return Project(row[0], project_keys.opened(keys, row[0], bytes(row[1])), frozenset(row[2]))


def projects(connection: Connection) -> list[tuple[str, list[str]]]:
    """Return the names of all projects, with their options."""
    return [(name, sorted(options)) for name, options in connection.execute(_LIST).fetchall()]


def sources(connection: Connection, studies: Sequence[str]) -> list[Source]:
    """Return the instances of studies that may be seen. Raises NotFound where one has none."""
    found = [Source(*row) for row in connection.execute(_SOURCES, (list(studies),))]
    missing = set(studies) - {one.study_instance_uid for one in found}
    if missing:
        raise NotFound(f"There is no study {', '.join(sorted(missing))}")
    return found


def export(blobs: Blobs, found: Sequence[Source], out: Path) -> Iterator[None]:
    """Write instances as they are stored, to `out`/study/series/instance.dcm; yield after each."""
    for one in found:
        place = out / _folder(one.study_instance_uid) / _folder(one.series_instance_uid)
        place.mkdir(parents=True, exist_ok=True)
        target = place / f"{_folder(one.sop_instance_uid)}.dcm"
        with blobs.open(one.blob) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _PIECE)
        yield


def export_deidentified(
    blobs: Blobs, found: Sequence[Source], out: Path, to: Project, review: Review, tally: Tally
) -> Iterator[None]:
    """Write copies for a project, under their new UIDs, and count them; yield after each."""
    for one in found:
        try:
            copy = copied(blobs.stored(one.blob), one, to, review)
            place = out / _folder(copy.study_instance_uid) / _folder(copy.series_instance_uid)
            place.mkdir(parents=True, exist_ok=True)
            _write(place / f"{_folder(copy.sop_instance_uid)}.dcm", copy.pieces)
            tally.written += 1
            tally.faces += copy.face
        except Blocked as reason:
            tally.blocked[str(reason)] += 1
        yield


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a file; what breaks off leaves none."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _folder(uid: str) -> str:
    """Return a name for a UID's file: the UID itself, but for those that could lead elsewhere."""
    return uid if _UID.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()
