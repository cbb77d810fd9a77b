"""The removal of files that a crash left behind.

A crash between the rename of a file and the commit of its row leaves a blob
without row; one before the rename leaves a partial file in `incoming`. What is removed here,
or was expunged, goes from the object store with the next sweep.
"""

import secrets
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from adapters.dicom.storage.tiered import Tiered
from fhir_server.blobs import Blobs

AGE_SECONDS = 3600.0
_BATCH = 1000

_KNOWN = """
SELECT encode(blob, 'hex') FROM dicom_instance WHERE blob = ANY (%(blobs)s)
UNION SELECT encode(blob, 'hex') FROM dicom_conflict WHERE blob = ANY (%(blobs)s)
"""


def sweep(
    connection: psycopg.Connection[tuple[Any, ...]], blobs: Blobs, *, age: float = AGE_SECONDS
) -> int:
    """Remove partial files and blobs without a row that are older than `age` seconds.

    Returns how many were removed.
    """
    before = time.time() - age
    removed = 0
    for path in list(_old(blobs.incoming.iterdir(), before)):
        path.unlink(missing_ok=True)
        removed += 1
    candidates = _old(blobs.root.glob("[0-9a-f][0-9a-f]/*/*"), before)
    while batch := list(islice(candidates, _BATCH)):
        known = _known(connection, [path.name for path in batch])
        removed += sum(_remove(blobs, path, before) for path in batch if path.name not in known)
    if isinstance(blobs, Tiered):
        _settle(connection, blobs, before)
    return removed


def _settle(connection: psycopg.Connection[tuple[Any, ...]], blobs: Tiered, before: float) -> None:
    """Remove from the object store what was dropped and nobody needs."""
    dropped = iter(blobs.dropped(before))
    while batch := list(islice(dropped, _BATCH)):
        known = _known(connection, batch)
        for digest in batch:
            blobs.settle(digest, before, needed=digest in known)


def _known(connection: psycopg.Connection[tuple[Any, ...]], names: list[str]) -> set[str]:
    digests = [bytes.fromhex(name) for name in names]
    return {row[0] for row in connection.execute(_KNOWN, {"blobs": digests})}


def _old(paths: Iterator[Path], before: float) -> Iterator[Path]:
    return (path for path in paths if _modified(path) < before)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _remove(blobs: Blobs, path: Path, before: float) -> bool:
    """Take the file away and look again: equal content may have arrived meanwhile.

    An arrival renames its own, new file to this place, before or after ours is taken.
    """
    aside = blobs.incoming / secrets.token_hex(16)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    if _modified(aside) >= before and not path.exists():
        aside.rename(path)
        return False
    aside.unlink()
    if isinstance(blobs, Tiered):
        blobs.drop(path.name)
    return True
