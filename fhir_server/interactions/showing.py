"""What of an answer its receiver sees: resources in part, where the rights show no more.

Done where answers leave, whatever made them: reads, searches, histories, Bundles, operations and
what is fetched later.

https://hl7.org/fhir/R4/search.html#elements
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from fhir_server.access import masking
from fhir_server.access.masking import Json, Parts
from fhir_server.access.queries import Walls
from fhir_server.access.reach import reading
from fhir_server.caller import Caller
from fhir_server.interactions import coded
from fhir_server.r4 import json
from fhir_server.rights import ANY
from fhir_server.search.condition import NEVER
from fhir_server.server import Server
from fhir_server.store import read as store

_TYPED = re.compile(rb'"resourceType"\s*:\s*"(\w+)"')


async def shown(server: Server, caller: Caller, body: bytes) -> bytes:
    """Return the JSON text of an answer as far as the caller may see what is in it.

    A resource that a whole grant lets through as well is shown whole, in its present version.
    """
    parts = masking.parts(caller.rights)
    if parts is None or not _is_about(parts, body):
        return body
    answer = json.decode_keeping(body)
    found = list(masking.resources(answer, parts))
    whole = await _whole(server, caller, parts, found) if found else set()
    for one in found:
        if _place(one) not in whole:
            cut = masking.masked(one, parts.of(one["resourceType"]), parts.types)
            one.clear()
            one.update(cut)
    return json.encode(answer) if found else body


def _is_about(parts: Parts, body: bytes) -> bool:
    if ANY in parts.left_out:
        return bool(body)
    return any(one.decode() in parts.left_out for one in set(_TYPED.findall(body)))


def _place(resource: Json) -> tuple[str, str, str]:
    """Return type, id and version, "" for what is not said."""
    meta = resource.get("meta") or {}
    version = str(meta.get("versionId", ""))
    return str(resource["resourceType"]), str(resource.get("id", "")), version


async def _whole(
    server: Server, caller: Caller, parts: Parts, found: Sequence[Json]
) -> set[tuple[str, str, str]]:
    """Return the places of those that the caller may see whole."""
    types = sorted({one["resourceType"] for one in found})
    able = replace(caller, rights=parts.whole)
    ids, names = server.definitions.type_ids, server.definitions.type_names
    asked = {(ids[kind], id_) for kind, id_, _ in map(_place, found) if id_}
    async with reading(server, able) as connection:
        await coded.answer_rights(server, connection, able)
        walls = Walls(server, able.rights, types, "r")
        if walls.any in (None, NEVER):
            return set()
        present = await store.currents(connection, asked, walls.any)
    return {
        (names[type_id], id_, str(one.version))
        for (type_id, id_), one in present.items()
        if not one.deleted
    }
