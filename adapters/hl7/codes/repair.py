"""What was stored, or held, before a local code had a translation, put right."""

import json as standard_json
from collections.abc import Sequence
from typing import Final

from adapters.hl7.codes.task import Asked
from adapters.hl7.inbox.replay import Chosen, replay
from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.datatypes.hd import escaped
from adapters.hl7.mapping.sender_rules import Translation
from adapters.hl7.profiles.compose import UNIT_FIELD
from fhir_server.caller import Caller
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.search import search_on
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

_ACTOR: Final = "codes"
_PAGE: Final = 50
_MESSAGES: Final = 500
_PLACES: Final = {
    "OBX-3": (("Observation", "code", "code"),),
    "OBX-5": (("Observation", "value-concept", "valueCodeableConcept"),),
    "OBR-4": (("ServiceRequest", "code", "code"), ("DiagnosticReport", "code", "code")),
    "SPM-4": (("Specimen", "type", "type"),),
}
"""Type, search parameter and element of what a field becomes."""

_HELD: Final = """
SELECT id FROM hl7_message
WHERE state = 'dead' AND reason = 'UNMAPPED_CODE_HELD' AND position(%(code)s::bytea IN raw) > 0
  AND id > %(after)s
ORDER BY id LIMIT %(most)s
"""
# A Quantity cannot be searched by a unit alone, so the messages that have it are mapped again.
_WITH_UNIT: Final = """
SELECT id FROM hl7_message
WHERE id > %(after)s AND sender = %(sender)s AND state IN ('done', 'stale')
  AND id BETWEEN
    (SELECT first_message FROM hl7_code
     WHERE sender = %(sender)s AND system = %(system)s AND code = %(local)s) AND
    (SELECT last_message FROM hl7_code
     WHERE sender = %(sender)s AND system = %(system)s AND code = %(local)s)
  AND position(%(code)s::bytea IN raw) > 0
ORDER BY id LIMIT %(most)s
"""


async def resume(server: Server, asked: Asked) -> int:
    """Have the messages mapped again that were held for the code; return how many.

    One that has another code without translation is held again. It goes page by page, each
    its own transaction: done twice, it maps the messages twice to the same.
    """
    count = await _again(server, _HELD, asked)
    return count + (await _again(server, _WITH_UNIT, asked) if asked.is_unit else 0)


async def _again(server: Server, query: str, asked: Asked) -> int:
    """Replay what a query finds; what was taken once is not taken again, whatever becomes of it."""
    after = count = 0
    while True:
        values = {
            "code": _bytes(asked.code),
            "sender": asked.sender,
            "system": asked.system,
            "local": asked.code,
            "after": after,
            "most": _MESSAGES,
        }
        async with server.database.transaction() as connection:
            cursor = await connection.execute(query, values)
            ids = [id_ for (id_,) in await cursor.fetchall()]
            if ids:
                count += len(await replay(connection, Chosen(ids=ids), _ACTOR))
        if len(ids) < _MESSAGES:
            return count
        after = ids[-1]


def _bytes(code: str) -> bytes:
    """Return the longest part of a code that stands in a message as it is.

    Other characters may be escaped there, or in another character set.
    """
    parts = "".join(c if c.isascii() and c.isalnum() else " " for c in code).split()
    return max(parts, key=len, default="").encode()


async def add_codings(
    server: Server, caller: Caller, asked: Asked, meant: Sequence[Translation]
) -> int:
    """Add the codings to stored resources that have the local code alone; return how many.

    It goes page by page, each its own transaction: done twice, it does nothing more.
    """
    if not meant:
        return 0
    return sum(
        [
            await _everywhere(server, caller, place, asked, meant)
            for field in asked.fields
            if field != UNIT_FIELD
            for place in _PLACES[field]
        ]
    )


async def _everywhere(
    server: Server,
    caller: Caller,
    place: tuple[str, str, str],
    asked: Asked,
    meant: Sequence[Translation],
) -> int:
    kind, parameter, element = place
    first = meant[0]
    pairs = [
        (parameter, _token(asked.system, asked.code)),
        (f"{parameter}:not", _token(first.system, first.code)),
        ("_count", str(_PAGE)),
    ]
    count = 0
    while True:
        async with server.database.transaction() as connection:
            text = await search_on(server, connection, caller, kind, pairs)
            found = [one["resource"] for one in json.decode_keeping(text).get("entry", ())]
            entries = [
                _entry(kind, changed)
                for one in found
                if (changed := _with(one, element, asked, meant)) is not None
            ]
            if not entries:
                return count
            await transaction(server, connection, caller, entries)
            count += len(entries)


def _token(system: str, code: str) -> str:
    return f"{escaped(system)}|{escaped(code)}"


def _with(resource: Json, element: str, asked: Asked, meant: Sequence[Translation]) -> Json | None:
    """Return the resource with the codings before the local one; None where they are there."""
    concept = resource.get(element, {})
    codings = concept.get("coding", [])
    has = {(one.get("system"), one.get("code")) for one in codings}
    missing = [one for one in meant if (one.system, one.code) not in has]
    if (asked.system, asked.code) not in has or not missing:
        return None
    return {**resource, element: {**concept, "coding": [*map(_coding, missing), *codings]}}


def _coding(meant: Translation) -> Json:
    coding = {"system": meant.system, "code": meant.code}
    return {**coding, "display": meant.display} if meant.display else coding


def _entry(kind: str, resource: Json) -> Entry:
    version = f'W/"{resource["meta"]["versionId"]}"'
    url = f"{kind}/{resource['id']}"
    return Entry("PUT", url, resource=resource, raw=json.encode(resource), if_match=version)


def meant_of(target: object) -> tuple[Translation, ...]:
    """Return the codings that a row keeps."""
    said = standard_json.loads(target) if isinstance(target, str) else target
    return tuple(Translation(*one) for one in said) if isinstance(said, list) else ()
