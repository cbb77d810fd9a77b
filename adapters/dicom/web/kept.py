"""Metadata of whole series that are kept, packed, once no more instances arrive.

A row is found by what it was made of, so that nothing has to be kept right when
instances come, are hidden, corrected or removed.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.dicom.web.holdings import Holding
from adapters.dicom.web.service import Web

AT_REST: Final = timedelta(seconds=60)
"""How long nothing may have arrived in a series whose metadata are kept."""

_VERSION: Final = b"1"
_LEVEL: Final = 6

_FIND = """
SELECT body FROM dicom_metadata
WHERE study_instance_uid = %s AND series_instance_uid = %s AND fingerprint = %s
"""

# Nothing is kept of what was removed for good meanwhile (studies/expunge.py).
_KEEP = """
INSERT INTO dicom_metadata (study_instance_uid, series_instance_uid, fingerprint, body)
SELECT study_instance_uid, series_instance_uid, %s, %s FROM dicom_instance
WHERE study_instance_uid = %s AND series_instance_uid = %s AND state = 'live' LIMIT 1
ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE
SET fingerprint = excluded.fingerprint, body = excluded.body, made_at = clock_timestamp()
"""


def fingerprint(web: Web, series: Sequence[Holding]) -> bytes:
    """Return what the metadata of these instances follow from."""
    digest = hashlib.sha256(_VERSION)
    digest.update(f"{web.base}\0{web.settings.bulk_threshold}".encode())
    for one in series:
        digest.update("\0".join(("", one.instance, *one.version)).encode())
    return digest.digest()


async def packed(web: Web, series: Sequence[Holding], mark: bytes) -> bytes | None:
    """Return the array of a series' metadata, packed by gzip; None when it is not kept."""
    async with web.server.database.connection() as connection:
        cursor = await connection.execute(_FIND, (series[0].study, series[0].series, mark))
        row = await cursor.fetchone()
    return row[0] if row else None


async def plain(web: Web, series: Sequence[Holding], mark: bytes) -> bytes | None:
    """Return the members of the array, None when it is not kept."""
    found = await packed(web, series, mark)
    if found is None:
        return None
    return (await asyncio.to_thread(gzip.decompress, found))[1:-1]


async def keep(web: Web, series: Sequence[Holding], mark: bytes, members: bytes) -> None:
    """Keep the members of a series' array, if the series is at rest."""
    newest = max(one.received_at for one in series)
    if datetime.now(UTC) - newest < AT_REST:
        return
    body = await asyncio.to_thread(gzip.compress, b"[" + members + b"]", _LEVEL, mtime=0)
    async with web.server.database.statement() as connection:
        await connection.execute(_KEEP, (mark, body, series[0].study, series[0].series))
