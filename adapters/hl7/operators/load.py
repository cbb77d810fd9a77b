"""Files of messages put into the inbox: `sangam hl7 load`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adapters.hl7.inbox.receive import store
from adapters.hl7.inbox.received import Received
from adapters.hl7.mllp.arrival import Desk, file_arrivals
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.origin import Origin
from fhir_server.server import Server

CHANNEL: Final = "file"


async def load(server: Server, files: Sequence[Path]) -> list[tuple[Path, Received]]:
    """Store the messages of files, each file in one commit; return what became of each.

    They are of the channel `file`: loading a file again changes nothing.
    """
    agreed = agreements(server)
    await agreed.refresh()
    found: list[tuple[Path, Received]] = []
    for file in files:
        settings = server.settings.hl7.of(CHANNEL)
        desk = Desk(settings, Origin(CHANNEL, framed=False), agreed.profiles, {})
        rows = [
            one
            for whole in file_arrivals(file.read_bytes(), desk, datetime.now(UTC))
            for one in whole.received
        ]
        await store(server.database, CHANNEL, [(one, file.name) for one in rows])
        found += [(file, one) for one in rows]
    return found
