"""A tenant written to a folder: resources, their versions, large content, settings.

https://hl7.org/fhir/R4/nd-json.html
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import psycopg

from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.at_rest.folder import Folder, Writing
from fhir_server.at_rest.keys import DataKey
from fhir_server.audit.happening import EXPORTED, happened
from fhir_server.blobs import Blobs
from fhir_server.caller import trusted
from fhir_server.errors import Conflict
from fhir_server.interactions.binary import whole
from fhir_server.server import Server
from fhir_server.tenancy.tenant import Tenant

CALLER: Final = trusted("operator", "cli")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PIECE: Final = 1 << 20
_CURRENT: Final = """
SELECT r.type_id, b.json FROM resource AS r JOIN body AS b USING (key, version)
WHERE r.key > 0 AND NOT r.deleted ORDER BY r.type_id, r.id
"""
_VERSIONS: Final = """
SELECT r.type_id, r.id, b.version, b.last_updated, b.json = '', b.json
FROM resource AS r JOIN body AS b ON b.key = r.key
WHERE r.key > 0 ORDER BY r.type_id, r.id, b.version
"""
INSTANCES: Final = """
SELECT encode(blob, 'hex') FROM dicom_instance UNION SELECT encode(blob, 'hex') FROM dicom_conflict
"""
"""What is asked of a tenant for the digests of its DICOM files."""

_MESSAGES: Final = """
SELECT id, channel, sender, received_at, state, encode(raw, 'base64') FROM hl7_message ORDER BY id
"""


async def export(server: Server, tenant: Tenant, root: Path, key: DataKey | None) -> int:
    """Write all that a tenant has to a new folder; return how many resources there are.

    It is sealed under `key`; without one, everybody who has it can read it.

    `resources/` can be loaded again by `sangam load`; `history/` has every version, those of
    deletions too, `messages.ndjson` the HL7 v2 inbox, `blobs/` the large content by its
    SHA-256 (DICOM instances among it). All of the database is of one moment. It is recorded
    first. Conflict when the folder is there already.
    """
    folder = _begun(root, key, tenant, server.base)
    async with server.database.transaction() as recording:
        await happened(recording, CALLER, EXPORTED, about=[tenant.name])
    async with await psycopg.AsyncConnection.connect(server.database.conninfo) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        count = await _written(folder, "resources/", _current(server, connection))
        await _written(folder, "history/", _versions(server, connection))
        await _written(folder, "", _messages(connection))
        instances = await (await connection.execute(INSTANCES)).fetchall()
    archive = archive_blobs(server.blobs, server.settings.dicom)
    for blobs, digests in (
        (server.blobs, _own_files(server.blobs)),
        (archive, (str(digest) for (digest,) in instances)),
    ):
        await asyncio.to_thread(_copy_blobs, blobs, digests, folder)
    folder.close()
    return count


def _begun(root: Path, key: DataKey | None, tenant: Tenant, base: str) -> Folder:
    try:
        root.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict("The folder is there already; name a new one") from error
    for part in ("resources", "history", "blobs"):
        (root / part).mkdir(mode=0o700)
    said = {"name": tenant.name, "settings": tenant.settings, "base": base}
    quotas = {"max_resources": tenant.max_resources, "max_bytes": tenant.max_bytes}
    folder = Folder(root, key)
    with folder.create("tenant.json") as file:
        file.write(msgspec.json.encode({**said, **quotas}))
    return folder


async def _written(folder: Folder, part: str, lines: AsyncIterator[tuple[str, bytes]]) -> int:
    """Write each line to the file that it names in a part of the folder; return how many."""
    count = 0
    with ExitStack() as stack:
        files: dict[str, Writing] = {}
        async for name, line in lines:
            if name not in files:
                file = folder.create(f"{part}{name}.ndjson")
                files[name] = stack.enter_context(file)
            files[name].write(line + b"\n")
            count += 1
    return count


async def _current(
    server: Server, connection: psycopg.AsyncConnection[tuple[object, ...]]
) -> AsyncIterator[tuple[str, bytes]]:
    names = {number: name for name, number in server.definitions.type_ids.items()}
    async with connection.cursor("current_resources") as cursor:
        await cursor.execute(_CURRENT)
        async for type_id, text in cursor:
            yield names[type_id], await whole(server, str(text).encode())  # type: ignore[index]


async def _versions(
    server: Server, connection: psycopg.AsyncConnection[tuple[object, ...]]
) -> AsyncIterator[tuple[str, bytes]]:
    names = {number: name for name, number in server.definitions.type_ids.items()}
    async with connection.cursor("all_versions") as cursor:
        await cursor.execute(_VERSIONS)
        async for type_id, id_, version, at, deleted, text in cursor:
            raw = None if deleted else msgspec.Raw(str(text).encode())
            row = {"id": id_, "version": version, "lastUpdated": at, "resource": raw}
            yield names[type_id], msgspec.json.encode(row)  # type: ignore[index]


async def _messages(
    connection: psycopg.AsyncConnection[tuple[object, ...]],
) -> AsyncIterator[tuple[str, bytes]]:
    columns = ("id", "channel", "sender", "receivedAt", "state", "raw")
    async with connection.cursor("messages") as cursor:
        await cursor.execute(_MESSAGES)
        async for row in cursor:
            yield "messages", msgspec.json.encode(dict(zip(columns, row, strict=True)))


def _copy_blobs(blobs: Blobs, digests: Iterable[str], folder: Folder) -> None:
    """Copy large content as it was given; what the object store alone has is fetched."""
    for digest in digests:
        with blobs.open(digest) as source, folder.create(f"blobs/{digest}") as copy:
            while piece := source.read(_PIECE):
                copy.write(piece)


def _own_files(blobs: Blobs) -> Iterator[str]:
    """Yield the digests of the large content of resources; the archive lies in a folder of it."""
    for place in blobs.root.rglob("*"):
        if _DIGEST.fullmatch(place.name) and place == blobs.place(place.name):
            yield place.name
