"""A server whose worklist is kept, and a listener that answers for it."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

from adapters.dicom.dataset import identifier
from adapters.dicom.dataset.identifier import Keys, keyword
from adapters.dicom.network import classes
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from adapters.dicom.query.matching import criteria
from adapters.dicom.worklist import follow
from adapters.dicom.worklist.find import Asked
from adapters.dicom.worklist.statement import matches
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive, serving
from tests.cluster import no_others

CALLER = trusted("test", "rest")

Json = dict[str, Any]
Write = Callable[..., Awaitable[None]]


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    dicom = DicomSettings(quiet_seconds=0, stop_seconds=5, unscheduled_days=7)
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=dicom)


@pytest.fixture
async def write(server: Server) -> Write:
    """Write resources in one transaction, and let the worklist follow."""
    await followed(server)

    async def written(*resources: Json) -> None:
        entries = [Entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources]
        await carried_out(server, *entries)
        for _ in range(2):  # what is written, and then the ids that this writes to orders
            await followed(server)

    return written


async def followed(server: Server) -> None:
    """Let the worklist follow all that is committed."""
    await no_others(server.database)
    await follow.look(server)


async def carried_out(server: Server, *entries: Entry) -> list[Json]:
    async with server.database.transaction() as connection:
        outcomes = await transaction(server, connection, CALLER, list(entries))
    return [msgspec.json.decode(one.body or b"{}") for one in outcomes]


async def read(server: Server, url: str) -> Json:
    [found] = await carried_out(server, Entry("GET", url))
    return found


@pytest.fixture
def modality(server: Server) -> Iterator[Archive]:
    """A listener over the server's database."""
    with serving(server.settings, server.database.conninfo) as archive:
        yield archive


def asked(archive: Archive, *keys: str, calling: str = "CT1") -> list[tuple[int, Keys]]:
    """Return the responses to a query of the worklist."""
    given = requester.identifier(None, list(keys))
    pairs = requester.contexts(classes.WORKLIST_FIND)
    with Sender(archive.address, called="SANGAM", calling=calling, contexts=pairs) as sender:
        return list(requester.find(sender, classes.WORKLIST_FIND, given))


def plain(found: Keys) -> Json:
    """Return an identifier by keyword, items likewise."""
    return {
        keyword(tag): [plain(one) if isinstance(one, dict) else one for one in key.values]
        for tag, key in found.items()
    }


def ids(answers: list[tuple[int, Keys]], name: str) -> list[str]:
    """Return the first value of a top-level attribute in each match."""
    values = [plain(found).get(name, []) for _, found in answers[:-1]]
    return [one[0] if one else "" for one in values]


async def listed(server: Server, *keys: str, character_set: str = "") -> list[Json]:
    """Return what a query finds, without an association."""
    implicit = "1.2.840.10008.1.2"
    given = {key.tag: key for key in requester.identifier(None, list(keys))}
    statement = matches(criteria(given))
    async with server.database.connection() as connection:
        cursor = await connection.execute(statement.sql, statement.values)
        rows = await cursor.fetchall()
    asks = Asked(given, implicit, character_set)
    return [plain(identifier.read(asks.answer(row), implicit)) for row in rows]
