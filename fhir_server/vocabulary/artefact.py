"""The artefact of built-in terminology: an index, then each resource compressed by itself.

    magic (8) | length of index (4) | length of dictionary (4) | index | dictionary | resources

The index is msgpack, compressed; the dictionary holds texts that many resources share
(zlib's preset dictionary). The file is mapped, so that processes share its pages and a
resource costs nothing until it is asked for.
"""

import mmap
import struct
import zlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

NAME = "terminology.bin"
MAGIC = b"SGTERM01"
_HEAD = struct.Struct(">8sII")
# zlib looks back so far.
_WINDOW = 32_768


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A resource of the artefact; `package` is its place among the packages, the best last.

    Of a code system `content`, `value_set` and `supplements`; of a concept map `systems`,
    those of its groups. `start` and `length` are those of the compressed text, `size` the
    length of the text in bytes.
    """

    type: str
    url: str
    version: str | None
    package: int
    start: int
    length: int
    size: int
    content: str | None = None
    value_set: str | None = None
    systems: tuple[str, ...] = ()


class Index(msgspec.Struct, frozen=True):
    """What the artefact holds, and of which packages (name#version) it was built."""

    packages: tuple[str, ...]
    entries: tuple[Entry, ...]


def pack(packages: Sequence[str], resources: Iterable[tuple[Entry, bytes]]) -> bytes:
    """Return the artefact's bytes; start, length and size of the entries are set here."""
    known = list(resources)
    shared = _dictionary([text for _, text in known])
    entries, parts, start = [], [], 0
    for entry, text in known:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=shared)
        packed = compressor.compress(text) + compressor.flush()
        entries.append(
            msgspec.structs.replace(entry, start=start, length=len(packed), size=len(text))
        )
        parts.append(packed)
        start += len(packed)
    index = zlib.compress(msgspec.msgpack.encode(Index(tuple(packages), tuple(entries))), 9)
    return b"".join([_HEAD.pack(MAGIC, len(index), len(shared)), index, shared, *parts])


def _dictionary(texts: Sequence[bytes]) -> bytes:
    """Return the heads of texts chosen evenly: the parts that resources have in common."""
    room = _WINDOW // 1024
    step = max(1, len(texts) // room)
    return b"".join(text[:1024] for text in texts[::step][:room])


class Artefact:
    """The artefact opened; ValueError when the file is none, or of another format."""

    def __init__(self, path: Path | None = None) -> None:
        with (path or _built_in()).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, index, shared = _HEAD.unpack_from(self._map)
        if magic != MAGIC:
            raise ValueError("not an artefact of terminology of this format")
        at = _HEAD.size
        self._shared = self._map[at + index : at + index + shared]
        self._start = at + index + shared
        packed = zlib.decompress(self._map[at : at + index])
        self.index = msgspec.msgpack.decode(packed, type=Index)

    def text(self, entry: Entry) -> bytes:
        """Return the JSON text of a resource."""
        start = self._start + entry.start
        unpacker = zlib.decompressobj(-15, zdict=self._shared)
        return unpacker.decompress(self._map[start : start + entry.length])

    def resource(self, entry: Entry) -> dict[str, Any]:
        """Return a resource."""
        found: dict[str, Any] = msgspec.json.decode(self.text(entry))
        return found


def _built_in() -> Path:
    return Path(str(files("fhir_server.vocabulary") / "data" / NAME))
