"""Files of sealed segments, written once and read from any place.

    header    64 bytes: magic and version, binary logarithm of the segment's bytes, NULs,
              id of the data key, salt
    segments  each AES-256-GCM of so many bytes, the last of what is left, with its tag
    seal      tag over the size and the SHA-256 of the content

The key of a file is derived from the data key, the salt and the rest of the header, so that a
nonce needs to be unique in its file alone: it is the number of the segment and what it is (a
segment, the last one, the seal). A segment that was changed, moved or left out is found when it
is read; a file that was cut, lengthened or given another's name when it is opened.

https://csrc.nist.gov/pubs/sp/800/38/d/final
https://www.rfc-editor.org/rfc/rfc5869
"""

import io
import os
import secrets
import struct
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fhir_server.at_rest.keys import KEY_BYTES, Damaged, DataKey

MAGIC: Final = b"\0SANGAM\1"
"""What every sealed file begins with; its last byte is the version."""

SEGMENT_BITS: Final = 16
HEADER: Final = struct.Struct(">8sB7s16s32s")
TAG: Final = 16

_SALT: Final = 32
_NULS: Final = bytes(7)
_NONCE: Final = struct.Struct(">3xQB")
_SEAL: Final = struct.Struct(">Q32s")
_INNER, _LAST, _WHOLE = 0, 1, 2
# Ciphertext read at once from the disk, in segments.
_RUN: Final = 16
_BITS: Final = range(12, 25)
_CHANGED: Final = "A sealed file was changed, cut, or is not the one of its name"


class Sealer:
    """Content on its way into a sealed file: `write` it, then `finish` with its SHA-256."""

    def __init__(self, write: Callable[[memoryview], object], key: DataKey) -> None:
        self._write = write
        header = HEADER.pack(MAGIC, SEGMENT_BITS, _NULS, key.id, secrets.token_bytes(_SALT))
        self._cipher = AESGCM(file_key(key, header))
        self._held = bytearray()
        self._out = bytearray((1 << SEGMENT_BITS) + TAG)
        self._index = 0
        self._size = 0
        write(memoryview(header))

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece; what fills no segment is held."""
        self._size += len(piece)
        rest, segment = memoryview(piece), 1 << SEGMENT_BITS
        # The last segment is marked, so that one that is full waits for what follows.
        while len(self._held) + len(rest) > segment:
            if self._held:
                room = segment - len(self._held)
                self._held += rest[:room]
                rest = rest[room:]
                self._segment(self._held, _INNER)
                self._held.clear()
            else:
                self._segment(rest[:segment], _INNER)
                rest = rest[segment:]
        self._held += rest

    def finish(self, digest: bytes) -> None:
        """Write what is held and the seal; the file is whole."""
        if self._held:
            self._segment(self._held, _LAST)
            self._held.clear()
        nonce = _NONCE.pack(self._index, _WHOLE)
        self._write(memoryview(self._cipher.encrypt(nonce, b"", _SEAL.pack(self._size, digest))))

    def _segment(self, content: bytearray | memoryview, kind: int) -> None:
        out = memoryview(self._out)[: len(content) + TAG]
        self._cipher.encrypt_into(_NONCE.pack(self._index, kind), content, None, out)
        self._index += 1
        self._write(out)


class SealedFile(io.RawIOBase):
    """A sealed file, read as what it holds. Reading raises Damaged.

    `file` is unbuffered, and closed with this; `name` is its path, as open files have one.
    """

    def __init__(self, file: io.FileIO, header: bytes, key: bytes) -> None:
        self._file = file
        self.name = file.name
        self.header = header
        self._cipher = AESGCM(key)
        self._segment: int = 1 << HEADER.unpack(header)[1]
        stored = os.fstat(file.fileno()).st_size - HEADER.size - TAG
        sealed = self._segment + TAG
        self._count = -(-stored // sealed)
        self.size: int = stored - self._count * TAG
        if stored < 0 or (self._count and stored - (self._count - 1) * sealed <= TAG):
            raise Damaged(_CHANGED)
        self._place = 0
        self._kept: tuple[int, bytes] = (-1, b"")

    def check(self, digest: bytes) -> None:
        """Raise Damaged unless this is the whole of the content of this SHA-256."""
        end = HEADER.size + self.size + self._count * TAG
        seal = os.pread(self._file.fileno(), TAG, end)
        nonce = _NONCE.pack(self._count, _WHOLE)
        try:
            self._cipher.decrypt(nonce, seal, _SEAL.pack(self.size, digest))
        except (InvalidTag, ValueError):
            raise Damaged(_CHANGED) from None

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the content."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("There is nothing before the start")
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        """Return the place in the content."""
        return self._place

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill `target` as far as there is content."""
        with memoryview(target) as view, view.cast("B") as flat:
            length = max(0, min(len(flat), self.size - self._place))
            self._fill(self._place, flat[:length])
        self._place += length
        return length

    def pread(self, start: int, end: int) -> bytes:
        """Return the content from `start` up to `end`, as far as there is any."""
        found = bytearray(max(0, min(end, self.size) - start))
        self._fill(start, memoryview(found))
        return bytes(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _fill(self, start: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            done += self._some(start + done, target[done:])

    def _some(self, start: int, target: memoryview) -> int:
        """Fill the beginning of `target` with what lies at `start`; return how much it is."""
        index, within = divmod(start, self._segment)
        if within or len(target) < self._length(index):
            piece = self._opened(index)[within : within + len(target)]
            target[: len(piece)] = piece
            return len(piece)
        return self._run(index, target)

    def _opened(self, index: int) -> bytes:
        """Return the content of a segment, kept for who reads on in it."""
        known, content = self._kept
        if known != index:
            found = bytearray(self._length(index))
            self._decrypted(index, self._stored(index, 1), memoryview(found))
            content = bytes(found)
            self._kept = (index, content)
        return content

    def _run(self, first: int, target: memoryview) -> int:
        """Open whole segments into `target`, as many as fit and are read at once."""
        count = min(_RUN, self._count - first, -(-len(target) // self._segment))
        if len(target) < (count - 1) * self._segment + self._length(first + count - 1):
            count -= 1
        stored, sealed = self._stored(first, count), self._segment + TAG
        done = 0
        for number in range(count):
            length = self._length(first + number)
            piece = stored[number * sealed : number * sealed + length + TAG]
            self._decrypted(first + number, piece, target[done : done + length])
            done += length
        return done

    def _stored(self, first: int, count: int) -> memoryview:
        sealed = self._segment + TAG
        length = (count - 1) * sealed + self._length(first + count - 1) + TAG
        found = os.pread(self._file.fileno(), length, HEADER.size + first * sealed)
        return memoryview(found)

    def _decrypted(self, index: int, stored: memoryview, target: memoryview) -> None:
        nonce = _NONCE.pack(index, _LAST if index == self._count - 1 else _INNER)
        try:
            self._cipher.decrypt_into(nonce, stored, None, target)
        except (InvalidTag, ValueError):
            raise Damaged(_CHANGED) from None

    def _length(self, index: int) -> int:
        """Return the bytes of content of a segment."""
        return min(self._segment, self.size - index * self._segment)


def key_id(header: bytes) -> bytes:
    """Return the id of the data key that a header names. Raises Damaged."""
    if len(header) < HEADER.size or HEADER.unpack(header)[1] not in _BITS:
        raise Damaged("The header of a sealed file is not one")
    id_: bytes = HEADER.unpack(header)[3]
    return id_


def file_key(key: DataKey, header: bytes) -> bytes:
    """Return the key of the file that begins with this header."""
    said, salt = header[:-_SALT], header[-_SALT:]
    return HKDF(SHA256(), KEY_BYTES, salt=salt, info=b"sangam file " + said).derive(key.key)
