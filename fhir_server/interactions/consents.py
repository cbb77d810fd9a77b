"""Consents as rows: those that are written, and those that are stored, read anew.

https://hl7.org/fhir/R4/consent.html
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from fhir_server.access.provision_rows import ConsentRow, consent_row
from fhir_server.access.provisions import read
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import consents
from fhir_server.store.transact import Write

KIND: Final = "consents.rebuild"
TYPE: Final = "Consent"
_PAGE: Final = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)

Row: TypeAlias = tuple[int, ConsentRow | None]
"""The key of a Consent, and what it comes to; None where it does not count."""


def among(server: Server, writes: Iterable[Write]) -> list[Row]:
    """Return the rows of the Consents among the writes."""
    type_id = server.definitions.type_ids[TYPE]
    found = [one for one in writes if one.type_id == type_id]
    rows = [row(server, one.key, _content(one)) for one in found]
    if any(made is not None and not made.readable for _, made in rows):
        # It keeps its patient's record from everybody: who runs the server is to know.
        log.warning("a Consent is not understood, and denies all: see `sangam consent unread`")
    return rows


def _content(write: Write) -> Mapping[str, Any] | None:
    return json.decode(write.text.at(_EPOCH)) if write.text is not None else None


def row(server: Server, key: int, data: Mapping[str, Any] | None) -> Row:
    """Return what a Consent comes to; None is one that was deleted."""
    reading = read(data, server.registry.context) if data is not None else None
    return key, consent_row(server.registry, reading) if reading is not None else None


async def rebuild(server: Server, told: Callable[[int], None] = lambda _: None) -> int:
    """Make the rows of all Consents anew and return how many; `told` hears of each page.

    Who is broken off begins again: rows that are there already are made the same.
    """
    type_id, after, done = server.definitions.type_ids[TYPE], 0, 0
    while True:
        async with server.database.transaction() as connection:
            found = await consents.locked(connection, type_id, after, _PAGE)
            rows = [row(server, key, json.decode(text.encode())) for key, text in found]
            await consents.follow(connection, rows)
        if not rows:
            return done
        after, done = rows[-1][0], done + len(rows)
        told(done)


async def run(server: Server, payload: dict[str, Any]) -> None:  # noqa: ARG001  (a job's)
    """Do so as a job."""
    await rebuild(server)
