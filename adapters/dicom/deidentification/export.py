"""Studies written to a directory, as they are stored or as a project may have them."""

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from adapters.dicom.deidentification import project_keys
from adapters.dicom.deidentification.copies import Review, Source, copied
from adapters.dicom.deidentification.pixels import Blocked
from adapters.dicom.deidentification.profile import CHOICES
from adapters.dicom.deidentification.project import KEY_BYTES, Project, known_options
from fhir_server.at_rest.folder import Folder
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


def export(blobs: Blobs, found: Sequence[Source], to: Folder) -> Iterator[None]:
    """Write instances as they are stored, as study/series/instance.dcm; yield after each."""
    for one in found:
        name = _name(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)
        with blobs.open(one.blob) as source, to.create(name) as copy:
            while piece := source.read(_PIECE):
                copy.write(piece)
        yield


def export_deidentified(
    blobs: Blobs, found: Sequence[Source], to: Folder, of: Project, review: Review, tally: Tally
) -> Iterator[None]:
    """Write copies for a project, under their new UIDs, and count them; yield after each."""
    for one in found:
        try:
            copy = copied(blobs.stored(one.blob), one, of, review)
            name = _name(copy.study_instance_uid, copy.series_instance_uid, copy.sop_instance_uid)
            with to.create(name) as file:
                for piece in copy.pieces:
                    file.write(piece)
            tally.written += 1
            tally.faces += copy.face
        except Blocked as reason:
            tally.blocked[str(reason)] += 1
        yield


def _name(study: str, series: str, instance: str) -> str:
    return f"{_folder(study)}/{_folder(series)}/{_folder(instance)}.dcm"


def _folder(uid: str) -> str:
    """Return a name for a UID's file: the UID itself, but for those that could lead elsewhere."""
    return uid if _UID.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()
