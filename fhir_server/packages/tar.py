"""Tar archives, read as a stream of regular files and nothing else.

Python's tarfile reads whatever length an extended header claims into memory, and knows
more kinds of members than a package may have.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fhir_server.errors import BadRequest, TooLarge

BLOCK = 512
LONGEST_HEADER = 64 << 10
"""Bytes of an extended header or a long name; longer ones are refused."""

_FILES = frozenset(b"0\x007")
_DIRECTORY, _LONG_NAME, _EXTENDED, _GLOBAL = b"5Lxg"
_KINDS = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a device",
    ord("4"): "a device",
    ord("6"): "a pipe",
    ord("K"): "a link",
    ord("S"): "a sparse file",
}
_RECORD = re.compile(rb"(\d{1,6}) ([^=]{1,100})=")

Read = Callable[[int], bytes]
"""Returns so many bytes of the archive, fewer only at its end."""


@dataclass(frozen=True, slots=True)
class Header:
    """A member: its name as it stands there, its kind and its size in bytes."""

    name: bytes
    kind: int
    size: int


def files(read: Read, most: int) -> Iterator[tuple[bytes, bytes]]:
    """Return name and content of each file, in their order; directories are passed over.

    BadRequest for anything but files and directories, and for what is no tar archive;
    TooLarge for a file over `most` bytes. Names come as they stand.
    """
    given: dict[bytes, bytes] = {}
    while (header := _header(read(BLOCK))) is not None:
        if header.kind in {_LONG_NAME, _EXTENDED, _GLOBAL}:
            _note(given, header, _body(read, header.size, LONGEST_HEADER))
            continue
        name = given.pop(b"path", header.name)
        size = _number(given.pop(b"size", b"")) if b"size" in given else header.size
        if header.kind == _DIRECTORY or (header.kind in _FILES and name.endswith(b"/")):
            _body(read, size, 0)
            continue
        if header.kind not in _FILES:
            raise BadRequest(f"The archive has {_KINDS.get(header.kind, 'an unknown member')}")
        yield name, _body(read, size, most)


def _header(block: bytes) -> Header | None:
    """Return what a header says; None at the end."""
    if not block or not any(block):
        return None
    if len(block) < BLOCK:
        raise BadRequest("The archive is cut off")
    blank = block[:148] + b" " * 8 + block[156:]
    if _octal(block[148:156]) != sum(blank):
        raise BadRequest("This is no tar archive, or it is damaged")
    name = block[:100].split(b"\0", 1)[0]
    # GNU's own format has other things there, and a blank behind the magic word.
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return Header(prefix + b"/" + name if prefix else name, block[156], _octal(block[124:136]))


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{0,12}", digits):
        raise BadRequest("A number in the archive cannot be read")
    return int(digits or b"0", 8)


def _number(text: bytes) -> int:
    if not re.fullmatch(rb"\d{1,15}", text):
        raise BadRequest("A number in the archive cannot be read")
    return int(text)


def _body(read: Read, size: int, most: int) -> bytes:
    if size > most:
        raise TooLarge(f"A member of the archive is larger than {most:,} bytes")
    padded = -(-size // BLOCK) * BLOCK
    found = read(padded)
    if len(found) < padded:
        raise BadRequest("The archive is cut off")
    return found[:size]


def _note(given: dict[bytes, bytes], header: Header, body: bytes) -> None:
    """Keep what a header says of the member that follows."""
    if header.kind == _LONG_NAME:
        given[b"path"] = body.rstrip(b"\0")
        return
    records = _records(body)
    if any(key.startswith(b"GNU.sparse") for key in records):
        raise BadRequest("The archive has a sparse file")
    wanted = {key: value for key, value in records.items() if key in {b"path", b"size"}}
    if wanted and header.kind == _GLOBAL:
        raise BadRequest("The archive gives all its files one name or size")
    given |= wanted


def _records(body: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header, each `length key=value` and a line end."""
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(body):
        match = _RECORD.match(body, place)
        end = place + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(body) or body[end - 1] != ord("\n"):
            raise BadRequest("A header of the archive cannot be read")
        records[match[2]] = body[match.end() : end - 1]
        place = end
    return records
