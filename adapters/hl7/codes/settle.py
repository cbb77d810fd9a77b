"""What a local code means, written where mapping reads it."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from psycopg.types.json import Jsonb

from adapters.hl7.codes import concept_map
from adapters.hl7.codes.task import Asked
from adapters.hl7.inbox.untranslated import JOB
from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.sender_rules import Translation
from adapters.hl7.profiles.maps import url_of
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.search import search_on
from fhir_server.interactions.transaction import transaction
from fhir_server.jobs import enqueue
from fhir_server.r4 import json
from fhir_server.server import Server

# Whoever maps meanwhile may still do so without the new code: what is stored is repaired when
# every process has seen it.
SEEN_SECONDS: Final = 1.0

_SETTLED: Final = """
INSERT INTO hl7_code AS c (
    sender, system, code, fields, display, unit, count, first_message, last_message, state, target
) VALUES (%(sender)s, %(system)s, %(code)s, %(fields)s, %(display)s, %(unit)s, 0, 0, 0,
    'settled', %(target)s)
ON CONFLICT (sender, system, code) DO UPDATE
SET state = 'settled', target = excluded.target, last_at = now()
"""


async def settle(
    server: Server,
    connection: Connection,
    caller: Caller,
    base: str,
    asked: Asked,
    meant: Sequence[Translation],
) -> None:
    """Write what a code means into the ConceptMaps of its fields; () that nothing does.

    The job repairs what is stored after a moment. Inside the caller's transaction.
    """
    for field in asked.fields:
        url = url_of(base, asked.sender, field)
        entry = await _entry(server, connection, caller, url)
        resource = concept_map.mapped(
            entry.resource or concept_map.new(url, asked.sender, field),
            (asked.system, asked.code, asked.display),
            meant,
        )
        await transaction(server, connection, caller, [_with(entry, resource)])
    values = {
        "sender": asked.sender,
        "system": asked.system,
        "code": asked.code,
        "fields": list(asked.fields),
        "display": asked.display,
        "unit": asked.unit,
        "target": Jsonb([[one.system, one.code, one.display] for one in meant]),
    }
    await connection.execute(_SETTLED, values)
    await enqueue(connection, [JOB])


async def _entry(server: Server, connection: Connection, caller: Caller, url: str) -> Entry:
    """Return the write of the stored map, or of a new one."""
    pairs = [("url", url), ("_sort", "-_lastUpdated"), ("_count", "10")]
    found = json.decode_keeping(await search_on(server, connection, caller, "ConceptMap", pairs))
    stored: list[Json] = [one["resource"] for one in found.get("entry", ())]
    active = [one for one in stored if one.get("status") == "active"] or stored
    if not active:
        return Entry("POST", "ConceptMap", if_none_exist=f"url={quote(url, safe='')}")
    map_ = {**active[0], "status": "active"}
    version = f'W/"{map_["meta"]["versionId"]}"'
    return Entry("PUT", f"ConceptMap/{map_['id']}", resource=map_, if_match=version)


def _with(entry: Entry, resource: Json) -> Entry:
    return Entry(
        entry.method,
        entry.url,
        resource=resource,
        raw=json.encode(resource),
        if_none_exist=entry.if_none_exist,
        if_match=entry.if_match,
    )
