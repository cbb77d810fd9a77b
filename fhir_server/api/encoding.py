"""Content-Encoding: gzip in both directions.

https://www.rfc-editor.org/rfc/rfc9110#name-content-codings
"""

import gzip
import zlib
from functools import lru_cache
from typing import Protocol

from fhir_server.errors import BadRequest, UnsupportedMedia

GZIP = frozenset(("gzip", "x-gzip"))
PLAIN = frozenset(("", "identity"))
# Two thirds of the gain for a quarter of the time of the default.
LEVEL = 1


class Unpacker(Protocol):
    """What turns the pieces of a body as sent into those of the content."""

    def take(self, piece: bytes, most: int) -> bytes:
        """Return the content of the next piece, or its first `most` bytes."""
        ...

    def end(self) -> None:
        """Raise BadRequest when the body is cut off."""
        ...


class _Plain:
    def take(self, piece: bytes, most: int) -> bytes:  # noqa: ARG002  (nothing grows here)
        return piece

    def end(self) -> None:
        pass


class _Gzip:
    """Members of a gzip file, of which there may be several in a row."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._begun = False

    def take(self, piece: bytes, most: int) -> bytes:
        content = []
        while piece and most > 0:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(wbits=31)
            self._begun = True
            try:
                part = self._inflate.decompress(piece, max_length=most)
            except zlib.error as error:
                raise _broken() from error
            content.append(part)
            most -= len(part)
            # `unconsumed_tail` is left only when `most` is reached: the body is refused then.
            piece = self._inflate.unused_data
        return b"".join(content)

    def end(self) -> None:
        if self._begun and not self._inflate.eof:
            raise _broken()


def gzip_or_plain(encoding: str | None) -> Unpacker:
    """Return what unpacks a body of this Content-Encoding; UnsupportedMedia for any other."""
    name = (encoding or "").strip().lower()
    if name in PLAIN:
        return _Plain()
    if name in GZIP:
        return _Gzip()
    raise UnsupportedMedia(
        "Content-Encoding must be gzip or identity", headers={"Accept-Encoding": "gzip"}
    )


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: bytes | None) -> bool:
    """Whether a client with this Accept-Encoding takes gzip; not one that only takes anything."""
    said = (accept_encoding or b"").decode("latin-1").lower()
    for part in said.split(","):
        name, _, weight = part.partition(";")
        if name.strip() in GZIP:
            return not weight or weight.partition("=")[2].strip().rstrip("0.") != ""
    return False


def packed(body: bytes) -> bytes:
    """Return the body as gzip; equal bodies give equal bytes."""
    return gzip.compress(body, LEVEL, mtime=0)


def _broken() -> BadRequest:
    return BadRequest("The body is not gzip", code="structure")
