"""The archive's files for a rotation of data keys, those in the object store among them."""

from typing import Final

from adapters.dicom.storage.tiered import Tiered, archive_blobs
from fhir_server.database import Connection
from fhir_server.interactions.data_key_rotation import Store
from fhir_server.server import Server

_FOLDER_BYTES: Final = 2
_LAST: Final = (1 << 8 * _FOLDER_BYTES) - 1
# The next digest of either table, by its index.
_NEXT: Final = """
SELECT least((SELECT min(blob) FROM dicom_instance WHERE blob >= %(start)s),
             (SELECT min(blob) FROM dicom_conflict WHERE blob >= %(start)s))
"""
_IN_FOLDER: Final = """
SELECT encode(blob, 'hex') FROM dicom_instance WHERE substr(blob, 1, 2) = %(start)s
  AND blob >= %(start)s AND (%(end)s::bytea IS NULL OR blob < %(end)s)
UNION SELECT encode(blob, 'hex') FROM dicom_conflict WHERE substr(blob, 1, 2) = %(start)s
  AND blob >= %(start)s AND (%(end)s::bytea IS NULL OR blob < %(end)s)
"""


def store(server: Server) -> Store:
    """Return the files of the archive; what lies in the object store alone is known by its row."""
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    return Store(blobs, next_folder, digests) if isinstance(blobs, Tiered) else Store(blobs)


async def next_folder(connection: Connection, start: int) -> int | None:
    """Return the number of the next folder that has files, from `start` on."""
    if start > _LAST:
        return None
    row = await (await connection.execute(_NEXT, {"start": _prefix(start)})).fetchone()
    found = row[0] if row else None
    return None if found is None else int.from_bytes(found[:_FOLDER_BYTES], "big")


async def digests(connection: Connection, folder: int) -> list[str]:
    """Return the digests of the files of a folder."""
    end = _prefix(folder + 1) if folder < _LAST else None
    values = {"start": _prefix(folder), "end": end}
    rows = await (await connection.execute(_IN_FOLDER, values)).fetchall()
    return [str(row[0]) for row in rows]


def _prefix(folder: int) -> bytes:
    return folder.to_bytes(_FOLDER_BYTES, "big")
