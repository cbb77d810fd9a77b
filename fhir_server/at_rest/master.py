"""The master key: a file of its own, which no database or backup of one holds.

A line is a key of 256 bits in base64. The first one wraps; the others still open what they
wrapped, so that a key can be changed while servers run.
"""

import base64
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.at_rest.keys import ID_BYTES, KEY_BYTES, DataKey
from fhir_server.errors import Conflict
from fhir_server.seal import derived

FILE: Final = "master.key"
"""The file's name in the data directory, where no other is set."""

_NONCE: Final = 12
_MARK: Final = 8
# Digits of a mark by which operators tell keys apart.
_SHOWN: Final = 8
_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH | stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class Master:
    """The keys of the file; the first wraps."""

    keys: Sequence[bytes] = field(repr=False)

    def wrapped(self, tenant: str, key: DataKey) -> bytes:
        """Return a data key as the database keeps it: mark of the master key, nonce, ciphertext."""
        nonce = os.urandom(_NONCE)
        content = AESGCM(_wrapping(self.keys[0])).encrypt(nonce, key.key, _bound(tenant, key.id))
        return mark(self.keys[0]) + nonce + content

    def unwrapped(self, tenant: str, id_: bytes, wrapped: bytes) -> DataKey:
        """Return the data key of a tenant. Conflict when no key of the file has wrapped it."""
        for one in self.keys:
            if mark(one) == wrapped[:_MARK]:
                nonce, content = wrapped[_MARK : _MARK + _NONCE], wrapped[_MARK + _NONCE :]
                try:
                    opened = AESGCM(_wrapping(one)).decrypt(nonce, content, _bound(tenant, id_))
                except (InvalidTag, ValueError):
                    raise Conflict(
                        "A data key of this database was changed, or is another tenant's"
                    ) from None
                return DataKey(id_, opened)
        there = ", ".join(mark(one).hex()[:_SHOWN] for one in self.keys)
        raise Conflict(
            "The master key file does not hold the key under which this database's data are "
            f"sealed: that is {mark_of(wrapped).hex()[:_SHOWN]}, and there is {there}. Put the "
            f"right file in its place (security.at_rest.master_key_file, else {FILE} in the data "
            "directory), or have the command print it; docs/security-encryption.md says more. "
            "Nothing was changed."
        )

    def opens(self, wrapped: bytes) -> bool:
        """Return whether a key of these has wrapped this."""
        return any(mark(one) == wrapped[:_MARK] for one in self.keys)

    def wraps(self, wrapped: bytes) -> bool:
        """Return whether the first key has wrapped this."""
        return wrapped[:_MARK] == mark(self.keys[0])


def mark(key: bytes) -> bytes:
    """Return by what a master key is known without being told."""
    return derived(key, "master key mark", _MARK)


def mark_of(wrapped: bytes) -> bytes:
    """Return by what the master key is known that has wrapped a data key."""
    return wrapped[:_MARK]


def read(path: Path) -> Master:
    """Return what the file holds.

    Conflict when it is away, may be read by every account or changed by others, or holds no key.
    """
    try:
        mode = path.stat().st_mode
        said = path.read_bytes()
    except FileNotFoundError:
        raise Conflict(
            f"There is no master key at {path}, and this database's data are sealed under one. "
            "Bring the file back from where it is kept: without it they cannot be read."
        ) from None
    except OSError as error:
        raise Conflict(f"The master key {path} cannot be read ({type(error).__name__})") from None
    if mode & _OTHERS:
        raise Conflict(f"Other accounts may read or change the master key: chmod 0400 {path}")
    return parsed(said, f"The master key file {path}")


def parsed(said: bytes, where: str) -> Master:
    """Return the keys in the lines of a file, or of what a command printed. Conflict without one.

    `where` begins the sentence that tells what is wrong.
    """
    lines = said.decode("ascii", "replace").splitlines()
    keys = [_key(line, where) for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise Conflict(f"{where} holds no key")
    return Master(tuple(keys))


def make(path: Path) -> bool:
    """Write a file with a new key, unless there is one; return whether it was written."""
    return write(path, (new(),), fresh=True)


def new() -> bytes:
    """Return a new master key."""
    return secrets.token_bytes(KEY_BYTES)


def write(path: Path, keys: Sequence[bytes], *, fresh: bool = False) -> bool:
    """Write the keys to the file, durably and at once; `fresh`: unless it is there.

    Returns whether it was written. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            os.link(temporary, path)  # which fails where another was first
        else:
            temporary.replace(path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)
    return True


def _key(line: str, where: str) -> bytes:
    try:
        found = base64.b64decode(line.strip(), validate=True)
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise Conflict(f"{where} has a line that is no key: 32 bytes in base64")
    return found


def _wrapping(key: bytes) -> bytes:
    return derived(key, "data keys")


def _bound(tenant: str, id_: bytes) -> bytes:
    assert len(id_) == ID_BYTES
    return id_ + tenant.encode()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
