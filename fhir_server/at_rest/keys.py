"""Data keys, and what goes wrong with what they seal."""

import errno
import secrets
from dataclasses import dataclass, field
from typing import Final, Protocol

KEY_BYTES: Final = 32
ID_BYTES: Final = 16


class Damaged(OSError):
    """A file or text that cannot be opened: changed, cut, moved, or of another's key.

    Its `errno` is EIO, as of what a disk cannot read.
    """

    def __init__(self, text: str) -> None:
        super().__init__(errno.EIO, text)


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of 256 bits, and the id by which what it sealed names it."""

    id: bytes
    key: bytes = field(repr=False)


class Keys(Protocol):
    """The data keys of one tenant."""

    def current(self) -> DataKey:
        """Return the key that seals what is written now. Raises OSError when it is not known."""

    def of(self, id_: bytes) -> DataKey:
        """Return the key of this id; Damaged when the tenant has none such."""

    def plain(self) -> bool:
        """Return whether files that are not sealed are believed: those of before."""


def new() -> DataKey:
    """Return a new key."""
    return DataKey(secrets.token_bytes(ID_BYTES), secrets.token_bytes(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class One:
    """A single key that is kept nowhere, for what ends with its use."""

    key: DataKey = field(default_factory=new)

    def current(self) -> DataKey:
        """Return the key."""
        return self.key

    def of(self, id_: bytes) -> DataKey:
        """Return the key if it is its id."""
        if id_ != self.key.id:
            raise Damaged("It was sealed under a key that is not here")
        return self.key

    def plain(self) -> bool:
        """Return that nothing else is believed."""
        return False
