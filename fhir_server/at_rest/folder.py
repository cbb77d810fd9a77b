"""A folder of files that leaves the installation, sealed under a key of its own.

Each file is sealed for its name in the folder. SHA256SUMS lists every other one with the SHA-256
of its content, so that one that is missing is found. KEY, where it is, is the key in an envelope
(envelope.py), and stands for itself.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from fhir_server.at_rest import envelope, master
from fhir_server.at_rest.keys import ID_BYTES, Damaged, DataKey
from fhir_server.at_rest.sealed import HEADER, MAGIC, SealedFile, Sealer, file_key, key_id
from fhir_server.errors import Conflict

SUMS: Final = "SHA256SUMS"
"""The file that lists every other one with its SHA-256."""

_PIECE: Final = 1 << 20
_BUFFER: Final = 1 << 16
# Of some four million files.
_LONGEST_SUMS: Final = 1 << 29
_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}"
_LINE: Final = re.compile(rf"([0-9a-f]{{64}})  ({_PART}(?:/{_PART}){{0,2}})")


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
        try:
            with open(place, "wb", _BUFFER, opener=_for_us) as file:
                made = Writing(file, self._key)
                yield made
                self._sums[name] = made.finish(name)
        except BaseException:
            place.unlink(missing_ok=True)  # what breaks off leaves none
            raise

    def close(self) -> None:
        """Write the list of the files; the folder is whole then."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._sums.items())]
        with self.create(SUMS) as file:
            file.write("".join(lines).encode())


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def new_key(path: Path) -> DataKey:
    """Make the key of a folder, and its file. Conflict when that is there already."""
    key = master.new()
    if not master.write(path, [key], fresh=True):
        raise Conflict(f"The key file {path} is there already; name a new one")
    return named(key)


def unsealed(sealed: Path, key_file: Path, out: Path) -> int:
    """Write the files of a sealed folder to a new one as they were; return how many.

    Damaged when one was changed, moved or is missing, or the key is another's; Conflict when
    `out` is there already.
    """
    key = named(master.read(key_file).keys[0])
    return write_out(Reading(sealed, key), out)


def write_out(reading: "Reading", out: Path) -> int:
    """Write all files of a sealed folder to a new one, and return how many; as `unsealed`."""
    try:
        out.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict("The folder is there already; name a new one") from error
    with reading.open(SUMS) as sums, _copy(out / SUMS) as copy:
        while piece := sums.read(_PIECE):
            copy.write(piece)
    for name in reading.sums:
        with _copy(out / name) as copy:
            reading.check(name, copy.write)
    return len(reading.sums)


def _copy(place: Path) -> BinaryIO:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place.open("xb")


class Reading:
    """A sealed folder that is read: what it holds is what was sealed under its key.

    `sums` are the SHA-256 of its files by name. A file that is away, one more, a link, or a name
    that would lead out of the folder is found before anything is read: Damaged.
    """

    def __init__(self, root: Path, key: DataKey) -> None:
        self.root = root
        self._key = key
        found = set(_files(root))
        if SUMS not in found:
            raise Damaged(f"The folder has no {SUMS}: it was not written to its end")
        self.sums = self._read_sums()
        if found - {SUMS, envelope.NAME} != self.sums.keys():
            raise Damaged(f"The files are not those of {SUMS}")

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Lend the content of a file; Damaged, at once or while it is read, if it was changed."""
        descriptor = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with io.FileIO(descriptor) as file:
            header = file.read(HEADER.size)
            if not header.startswith(MAGIC) or key_id(header) != self._key.id:
                raise Damaged(f"{name} is not sealed under this key")
            content = SealedFile(file, header, file_key(self._key, header))
            content.check(_bound(name))
            with io.BufferedReader(content, _PIECE) as reader:
                yield cast("BinaryIO", reader)

    def check(self, name: str, take: Callable[[bytes], object] = len) -> None:
        """Read a whole file and give its pieces to `take`; Damaged unless it is as it was."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                take(piece)
        if digest.hexdigest() != self.sums[name]:
            raise Damaged(f"{name} is not the file of {SUMS}")

    def text(self, name: str, most: int) -> bytes:
        """Return a small file; Damaged when it has more than `most` bytes."""
        with self.open(name) as file:
            found = file.read(most + 1)
        if len(found) > most:
            raise Damaged(f"{name} is too long")
        return found

    def size(self, name: str) -> int:
        """Return how many bytes a file has on disk."""
        return (self.root / name).stat().st_size

    def digest(self) -> str:
        """Return a digest of the whole folder, by which two people may compare theirs."""
        lines = (f"{digest}  {name}\n" for name, digest in sorted(self.sums.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _read_sums(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self.text(SUMS, _LONGEST_SUMS).decode("ascii", "replace").splitlines():
            said = _LINE.fullmatch(line)
            if said is None or said[2] in found:
                raise Damaged(f"{SUMS} is not as it is written here")
            found[said[2]] = said[1]
        return found


def _files(root: Path) -> Iterator[str]:
    """Yield the names of all files; a link or a device leads elsewhere and is refused."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = Path(folder, name)
            mode = place.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise Damaged(f"{place.relative_to(root)} is a link, which no export has")
            if stat.S_ISREG(mode):
                yield place.relative_to(root).as_posix()


def named(key: bytes) -> DataKey:
    """Return the key of a folder with its id."""
    return DataKey(hashlib.sha256(key).digest()[:ID_BYTES], key)


def _bound(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
