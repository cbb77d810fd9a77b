"""A folder of files that leaves the installation, sealed under a key of its own.

Each file is sealed for its name in the folder. SHA256SUMS lists every other one with the SHA-256
of its content, so that one that is missing is found.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fhir_server.at_rest import master
from fhir_server.at_rest.keys import ID_BYTES, Damaged, DataKey
from fhir_server.at_rest.sealed import HEADER, MAGIC, SealedFile, Sealer, file_key, key_id
from fhir_server.errors import Conflict

SUMS: Final = "SHA256SUMS"
"""The file that lists every other one with its SHA-256."""

_PIECE: Final = 1 << 20
_BUFFER: Final = 1 << 16


class Writing:
    """A file of the folder, which takes its content piece by piece."""

    def __init__(self, file: BinaryIO, key: DataKey | None) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._sealer = Sealer(file.write, key) if key else None

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises OSError."""
        self._hash.update(piece)
        (self._sealer or self._file).write(piece)

    def finish(self, name: str) -> str:
        """End the content of the file of this name; return its SHA-256 in hexadecimal."""
        if self._sealer:
            self._sealer.finish(_bound(name))
        return self._hash.hexdigest()


class Folder:
    """A new folder; without a `key` its files can be read by everyone who has them."""

    def __init__(self, root: Path, key: DataKey | None) -> None:
        self.root = root
        self._key = key
        self._sums: dict[str, str] = {}

    @contextmanager
    def create(self, name: str) -> Iterator[Writing]:
        """Lend a new file of this name below the folder. Raises OSError."""
        place = self.root / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with place.open("wb", buffering=_BUFFER) as file:
            made = Writing(file, self._key)
            yield made
            self._sums[name] = made.finish(name)

    def close(self) -> None:
        """Write the list of the files; the folder is whole then."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._sums.items())]
        with self.create(SUMS) as file:
            file.write("".join(lines).encode())


def new_key(path: Path) -> DataKey:
    """Make the key of a folder, and its file. Conflict when that is there already."""
    key = master.new()
    if not master.write(path, [key], fresh=True):
        raise Conflict(f"The key file {path} is there already; name a new one")
    return _named(key)


def unsealed(sealed: Path, key_file: Path, out: Path) -> int:
    """Write the files of a sealed folder to a new one as they were; return how many.

    Damaged when one was changed, moved or is missing, or the key is another's; Conflict when
    `out` is there already.
    """
    key = _named(master.read(key_file).keys[0])
    try:
        out.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict("The folder is there already; name a new one") from error
    found: dict[str, str] = {}
    for place in sorted(sealed.rglob("*")):
        if place.is_file():
            name = str(place.relative_to(sealed))
            found[name] = _opened(place, name, key, out / name)
    if SUMS not in found:
        raise Damaged(f"The folder has no {SUMS}: it was not written to its end")
    del found[SUMS]
    lines = [f"{digest}  {name}\n" for name, digest in sorted(found.items())]
    if (out / SUMS).read_text() != "".join(lines):
        raise Damaged(f"The files are not those of {SUMS}")
    return len(found)


def _opened(place: Path, name: str, key: DataKey, out: Path) -> str:
    digest = hashlib.sha256()
    out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with io.FileIO(place) as file:
        header = file.read(HEADER.size)
        if not header.startswith(MAGIC) or key_id(header) != key.id:
            raise Damaged(f"{name} is not sealed under this key")
        content = SealedFile(file, header, file_key(key, header))
        content.check(_bound(name))
        with io.BufferedReader(content) as reader, out.open("xb") as copy:
            while piece := reader.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
    return digest.hexdigest()


def _named(key: bytes) -> DataKey:
    return DataKey(hashlib.sha256(key).digest()[:ID_BYTES], key)


def _bound(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
