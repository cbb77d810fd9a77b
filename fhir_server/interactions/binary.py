"""Binary: content of any type, its data kept apart as a blob where it is large.

https://hl7.org/fhir/R4/binary.html
"""

import asyncio
import logging
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.at_rest.keys import Damaged
from fhir_server.blobs import Blob
from fhir_server.errors import Unavailable, Unprocessable
from fhir_server.interactions.entry import Entry
from fhir_server.r4 import json
from fhir_server.r4.summary import with_elements
from fhir_server.server import Server
from fhir_server.store.mark import marked

log = logging.getLogger(__name__)

BINARY = "Binary"
# Data of more bytes than this are kept as a blob.
LARGE = 1 << 20
# Read at once from a blob; a multiple of 3, so that each piece becomes base64 by itself.
PIECE = 3 << 17
_ALL_BUT_DATA = ("implicitRules", "language", "contentType", "securityContext")


@dataclass(frozen=True, slots=True)
class Content:
    """What a Binary holds: its media type, its securityContext, and its bytes or their blob."""

    media_type: str
    context: str | None
    data: bytes | Blob

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self.data.size if isinstance(self.data, Blob) else len(self.data)


async def set_aside(server: Server, entry: Entry) -> Entry:
    """Return the entry of a write with a Binary's large data as its `blob`, which is durable.

    Any other entry comes back as it is. Unprocessable when the data are not base64.
    """
    data = entry.resource
    text = data.get("data") if data and data.get("resourceType") == BINARY else None
    if data is None or not isinstance(text, str) or len(text) <= LARGE:
        return entry
    blob = await asyncio.to_thread(_kept, server, text)
    if blob is None:
        return entry
    rest = {name: value for name, value in data.items() if name != "data"}
    raw = entry.raw
    if raw is not None:
        others = json.members(raw)
        raw = json.encode({name: value for name, value in others.items() if name != "data"})
    return replace(entry, resource=rest, raw=raw, blob=blob)


def _kept(server: Server, text: str) -> Blob | None:
    """Keep base64 data as a blob, None when they are not large once decoded."""
    try:
        content = b64decode("".join(text.split()), validate=True)
    except (NotBase64, ValueError):
        raise Unprocessable(
            "Not a valid base64Binary", code="value", expression="Binary.data"
        ) from None
    if len(content) <= LARGE:
        return None
    return Blob(server.blobs.put(content), len(content))


async def whole(server: Server, text: bytes) -> bytes:
    """Return the text of a resource with all its data; most have them in it already."""
    found = marked(text)
    if found is None:
        return text
    head, blob = found
    content = await asyncio.to_thread(_read, server, blob)
    return b'%b,"data":"%b"}' % (head, await asyncio.to_thread(b64encode, content))


async def page(server: Server, texts: Sequence[bytes]) -> list[bytes]:
    """Return the texts of a page: with their data as far as the page's size allows.

    The data of the others are left out, and these tagged SUBSETTED.
    """
    if not any(map(marked, texts)):
        return list(texts)
    left = server.settings.limits.page_data_bytes
    shown = []
    for text in texts:
        found = marked(text)
        if found is None:
            shown.append(text)
        elif found[1].size <= left:
            left -= found[1].size
            shown.append(await whole(server, text))
        else:
            shown.append(without_data(server, text))
    return shown


def without_data(server: Server, text: bytes) -> bytes:
    """Return the text of a Binary without its data, tagged SUBSETTED."""
    return with_elements(server.definitions, text, _ALL_BUT_DATA)


def content(text: bytes) -> Content:
    """Return what the Binary in `text` holds."""
    found = marked(text)
    data: dict[str, Any] = json.decode(found[0] + b"}" if found else text)
    context = data.get("securityContext")
    reference = context.get("reference") if isinstance(context, dict) else None
    held = found[1] if found else b64decode("".join(data.get("data", "").split()))
    return Content(str(data["contentType"]), reference, held)


async def in_base64(
    server: Server, text: bytes
) -> tuple[int, Callable[[], AsyncIterator[bytes]]] | None:
    """Return length and pieces of a text whose data are a blob, None for any other.

    The pieces together are what `whole` returns.
    """
    found = marked(text)
    if found is None:
        return None
    head, blob = found
    await require(server, blob)

    async def pieces() -> AsyncIterator[bytes]:
        yield head + b',"data":"'
        async for piece in read(server, blob, 0, blob.size):
            yield b64encode(piece)
        yield b'"}'

    length = len(head) + len(b',"data":""}') + 4 * -(-blob.size // 3)
    return length, pieces


async def read(server: Server, blob: Blob, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes from `start` up to `end` of a blob, in pieces of `PIECE`."""
    file = await asyncio.to_thread(server.blobs.open, blob.digest)
    with file:
        file.seek(start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(PIECE, end - start))
            if not piece:
                raise _missing()
            start += len(piece)
            yield piece


async def require(server: Server, blob: Blob) -> None:
    """Raise Unavailable when the blob is not there, or not whole: before an answer begins."""
    # The disk may be slow, and its key one that has to be asked of the database.
    await asyncio.to_thread(_looked_at, server, blob)


def _looked_at(server: Server, blob: Blob) -> None:
    with _told():
        server.blobs.open(blob.digest).close()


def _read(server: Server, blob: Blob) -> bytes:
    with _told():
        return server.blobs.get(blob.digest)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise _missing() from None
    except Damaged as error:
        log.error("the content of a Binary cannot be opened: %s", error)  # noqa: TRY400  (says it)
        text = "The content of this Binary is damaged"
        raise Unavailable(text, code="exception") from None


def _missing() -> Unavailable:
    text = "The content of this Binary is away"
    return Unavailable(text, code="no-store", headers={"Retry-After": "5"})
