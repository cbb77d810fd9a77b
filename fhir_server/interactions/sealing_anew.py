"""Files sealed anew under the present data key, while they are read and written.

A new file takes the place of the old one by a rename, as one that arrives does: who has the
old one open reads on in it. What cannot be read whole stays as it is, and is counted.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhir_server.at_rest.files import sealed_under
from fhir_server.at_rest.keys import Damaged
from fhir_server.blobs import Blobs

log = logging.getLogger(__name__)

_PIECE: Final = 1 << 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
FOLDERS: Final = 1 << 16
"""Folders of a directory of blobs: of each first two bytes of a digest one."""


@dataclass(slots=True)
class Tally:
    """Files that were looked at, those of them sealed anew, and those that could not be."""

    seen: int = 0
    renewed: int = 0
    failed: int = 0


def renew(blobs: Blobs, digests: Iterable[str], tally: Tally) -> None:
    """Seal those of the blobs anew that are not sealed under the present key, and count."""
    for digest in digests:
        tally.seen += 1
        try:
            tally.renewed += renewed(blobs, digest)
        except FileNotFoundError:
            continue  # it was removed meanwhile
        except OSError as error:
            log.error("the blob %s could not be sealed anew: %s", digest, error)  # noqa: TRY400  (says it)
            tally.failed += 1


def renewed(blobs: Blobs, digest: str) -> bool:
    """Seal a blob anew if it is not sealed under the present key; return whether it was done.

    Raises FileNotFoundError, Damaged, OSError.
    """
    assert blobs.keys is not None
    place = blobs.path(digest)
    before = place.stat()
    if sealed_under(place) == blobs.keys.current().id:
        return False
    arrival = blobs.arrive()
    try:
        with blobs.open(digest) as file:
            while piece := file.read(_PIECE):
                arrival.write(piece)
        if arrival.digest().hex() != digest:
            raise Damaged("The content is not what its name says")
        written = arrival.synced()
        # The sweep and the object store's cache judge files by their age.
        os.utime(written, ns=(before.st_atime_ns, before.st_mtime_ns))
        with blobs.still():
            if not place.exists():
                return False
            blobs.replace(written, digest)
    finally:
        arrival.drop()
    return True


def local(blobs: Blobs, folder: int) -> Iterator[str]:
    """Yield the digests of the blobs on disk whose first two bytes are the number `folder`."""
    name = f"{folder:04x}"
    for path in _listed(blobs.root / name[:2] / name[2:]):
        if _DIGEST.fullmatch(path.name):
            yield path.name


def folders(blobs: Blobs, first: int) -> Iterator[int]:
    """Yield the numbers of the folders that are there, from `first` on."""
    for upper in range(first >> 8, FOLDERS >> 8):
        names = {path.name for path in _listed(blobs.root / f"{upper:02x}")}
        for lower in range(256):
            number = upper << 8 | lower
            if number >= first and f"{lower:02x}" in names:
                yield number


def arriving_under(blobs: Blobs) -> set[bytes | None]:
    """Return the ids of the keys under which files arrive now; None where one is not sealed."""
    found: set[bytes | None] = set()
    for path in _listed(blobs.incoming):
        try:
            if path.stat().st_size:
                found.add(sealed_under(path))
        except (FileNotFoundError, Damaged):
            continue  # it has arrived; or its header is being written, under the present key
    return found


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
