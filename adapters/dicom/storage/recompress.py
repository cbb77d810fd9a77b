"""Uncompressed images packed without loss, once they are older.

Only pixel data changes: the elements before and behind it stay as they came, byte for byte.
What was packed is unpacked and compared, pixel by pixel, before it takes the place of the
original. Images in colour, of one bit, of floats or in other transfer syntaxes than Explicit VR
Little Endian are left as they are.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_A.4
"""

import asyncio
import hashlib
import io
import logging
import struct
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
import pydicom
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder  # type: ignore[attr-defined]

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.storage.tiered import archive_blobs
from fhir_server import jobs
from fhir_server.blobs import Blobs
from fhir_server.server import Server

log = logging.getLogger(__name__)

KIND: Final = "dicom.recompress"
SYNTAXES: Final = {
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
}
_BATCH = 20
_MOST_BYTES = 512 << 20
_UNDEFINED = 0xFFFFFFFF
_HEADER = struct.Struct("<HH2sHI")
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_DEPTHS = frozenset((8, 16))
_GREY = frozenset(("MONOCHROME1", "MONOCHROME2"))

# The walk goes by UID, so that what cannot be packed is passed and not met again.
_NEXT = f"""
SELECT sop_instance_uid, sop_class_uid, encode(blob, 'hex'), calling_ae, size, data_set_offset,
       pixel_offset
FROM dicom_instance
WHERE sop_instance_uid > %(after)s AND transfer_syntax_uid = '{EXPLICIT_LITTLE}'
  AND state = 'live' AND pixel_offset IS NOT NULL AND size <= {_MOST_BYTES}
  AND received_at <= clock_timestamp() - %(days)s * interval '1 day'
  AND attributes -> 'PhotometricInterpretation' ->> 0 IN ('MONOCHROME1', 'MONOCHROME2')
  AND NOT EXISTS (SELECT FROM dicom_recompressed AS r
                  WHERE r.sop_instance_uid = dicom_instance.sop_instance_uid
                    AND r.data_set_hash = dicom_instance.data_set_hash)
ORDER BY sop_instance_uid LIMIT {_BATCH}
"""
_KEEP_KNOWN = """
INSERT INTO dicom_recompressed (sop_instance_uid, transfer_syntax_uid, data_set_hash, size)
SELECT sop_instance_uid, transfer_syntax_uid, data_set_hash, size FROM dicom_instance
WHERE sop_instance_uid = %(uid)s AND blob = decode(%(old)s, 'hex') FOR UPDATE
ON CONFLICT (sop_instance_uid) DO UPDATE SET transfer_syntax_uid = excluded.transfer_syntax_uid,
    data_set_hash = excluded.data_set_hash, size = excluded.size, at = clock_timestamp()
"""
_REPLACE = """
UPDATE dicom_instance
SET transfer_syntax_uid = %(syntax)s, blob = %(blob)s, data_set_hash = %(hash)s,
    size = %(size)s, data_set_offset = %(offset)s
WHERE sop_instance_uid = %(uid)s AND blob = decode(%(old)s, 'hex')
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance as it is stored, its blob in hex."""

    sop_instance_uid: str
    sop_class_uid: str
    blob: str
    calling_ae: str
    size: int
    data_set_offset: int
    pixel_offset: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in a compressed transfer syntax: its bytes, and where its data set begins."""

    content: bytes
    data_set_offset: int


def job() -> jobs.Job:
    """Return the job that packs what is old enough."""
    return jobs.Job(KIND, {}, KIND)


def start(connection: psycopg.Connection[tuple[Any, ...]], way: str) -> None:
    """Have images packed in this way, "" for not at all."""
    if way:
        jobs.enqueue_sync(connection, [job()])


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Pack a batch, and come back while there are more."""
    settings = server.settings.dicom
    if not settings.recompress:
        return
    blobs = archive_blobs(server.blobs, settings)
    after = str(payload.get("after", ""))
    async with server.database.connection() as connection:
        asked = {"after": after, "days": settings.recompress_days}
        found = [Stored(*row) for row in await (await connection.execute(_NEXT, asked)).fetchall()]
    for one in found:
        await _replaced(server, blobs, one, SYNTAXES[settings.recompress])
    if len(found) == _BATCH:
        more = jobs.Job(KIND, {"after": found[-1].sop_instance_uid}, KIND)
        async with server.database.statement() as connection:
            await jobs.enqueue(connection, [more])


async def _replaced(server: Server, blobs: Blobs, one: Stored, syntax: str) -> None:
    """Put a packed file in the place of the stored one, where that is smaller and equal."""
    change = await asyncio.to_thread(_kept, blobs, one, syntax)
    same = {"uid": one.sop_instance_uid, "old": one.blob}
    async with server.database.transaction() as connection:
        cursor = await connection.execute(_KEEP_KNOWN, same)
        if change and cursor.rowcount:
            await connection.execute(_REPLACE, {**same, **change})


def _kept(blobs: Blobs, one: Stored, syntax: str) -> dict[str, Any] | None:
    """Pack and store; return the columns that change, None where it stays as it is."""
    try:
        done = packed(blobs.get(one.blob), one, syntax)
    except Exception as error:  # noqa: BLE001  (whatever a codec makes of it, it stays)
        log.warning("an image was not packed: %s", type(error).__name__)
        return None
    if done is None:
        return None
    data_set = done.content[done.data_set_offset :]
    return {
        "syntax": syntax,
        "blob": bytes.fromhex(blobs.put(done.content)),
        "hash": hashlib.sha256(data_set).digest(),
        "size": len(data_set),
        "offset": done.data_set_offset,
    }


def packed(raw: bytes, one: Stored, syntax: str) -> Packed | None:
    """Return the file in `syntax`, None where it cannot be packed, or would not be smaller.

    Raises what the codec raises.
    """
    data_set = raw[one.data_set_offset :]
    group, element, vr, _, length = _HEADER.unpack_from(data_set, one.pixel_offset)
    start = one.pixel_offset + _HEADER.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(io.BytesIO(raw))
        plain = (group, element) == (0x7FE0, 0x0010) and vr in {b"OW", b"OB"}
        whole = length <= len(data_set) - start
        if not plain or not whole or not _packable(found, length):
            return None
        frames = [bytes(frame) for frame in get_encoder(syntax).iter_encode(found)]
        pixels = encapsulate(frames) + _DELIMITER
        head = _HEADER.pack(group, element, b"OB", 0, _UNDEFINED)
        made = data_set[: one.pixel_offset] + head + pixels + data_set[start + length :]
        meta = file_meta(one.sop_class_uid, one.sop_instance_uid, syntax, one.calling_ae)
        again = pydicom.dcmread(io.BytesIO(meta + made))
        if len(made) >= len(data_set) or not _equal(data_set[start : start + length], again):
            return None
    return Packed(meta + made, len(meta))


def _packable(found: pydicom.Dataset, length: int) -> bool:
    """Return whether pixels are grey, in whole bytes, and all there."""
    depth = int(found.get("BitsAllocated") or 0)
    pixels = int(found.Rows) * int(found.Columns) * int(found.get("NumberOfFrames") or 1)
    expected = pixels * depth // 8
    whole = expected <= length <= expected + expected % 2
    return depth in _DEPTHS and found.get("PhotometricInterpretation") in _GREY and whole


def _equal(native: bytes, again: pydicom.Dataset) -> bool:
    """Return whether unpacked pixels are those of the native data, bit for bit."""
    unpacked = again.pixel_array.tobytes()
    stored = np.frombuffer(native[: len(unpacked)], np.uint8)
    return np.array_equal(stored, np.frombuffer(unpacked, np.uint8))
