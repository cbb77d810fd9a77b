"""Current resources by their identifiers, held until the transaction ends.

For a writer that decides by what is stored what it writes: what is found stays as it
was read, and what is not found is made by nobody else meanwhile.

https://hl7.org/fhir/R4/http.html#cond-update
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fhir_server.database import Connection
from fhir_server.interactions.match import Criteria, lock
from fhir_server.r4 import json
from fhir_server.search.token import identifier_term
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.identifiers import by_terms

Named: TypeAlias = tuple[str, str, str]
"""A resource type and an identifier: its system and value."""

_MOST = 20
_SPECIAL = re.compile(r"([\\,|$])")


@dataclass(frozen=True, slots=True)
class Held:
    """The current version of a resource that is not deleted."""

    version: int
    body: bytes

    def resource(self) -> dict[str, Any]:
        """Return the resource, numbers with their digits."""
        found: dict[str, Any] = json.decode(self.body)
        return found


async def named(
    server: Server,
    connection: Connection,
    wanted: Iterable[Named],
    new: Collection[str] = (),
) -> dict[Named, tuple[str, ...]]:
    """Return the ids of the resources that have each identifier, in their order.

    Identifiers that nothing has are held: nobody else makes a resource with them by a
    conditional request until this transaction ends. So are those of the types of which most
    are `new`, which are looked for once instead of before and after. Of more than 20
    resources with one identifier, 20 are found.
    """
    asked = list(dict.fromkeys(wanted))
    found = await _find(server, connection, [one for one in asked if one[0] not in new])
    missing = [one for one in asked if one not in found]
    await lock(connection, [_criteria(*one) for one in missing])
    return found | await _find(server, connection, missing)


async def _find(
    server: Server, connection: Connection, asked: Collection[Named]
) -> dict[Named, tuple[str, ...]]:
    type_ids, registry = server.definitions.type_ids, server.registry
    places = list(asked)
    terms = [
        (number, type_ids[kind], identifier_term(registry, kind, system, value))
        for number, (kind, system, value) in enumerate(places)
    ]
    ids: dict[Named, list[str]] = {}
    for number, id_, _ in await by_terms(connection, terms, _MOST):
        ids.setdefault(places[number], []).append(id_)
    return {one: tuple(sorted(set(some))) for one, some in ids.items()}


def _criteria(kind: str, system: str, value: str) -> Criteria:
    """Return what a conditional request with this identifier asks."""
    system, value = (_SPECIAL.sub(r"\\\1", text) for text in (system, value))
    return Criteria(kind, (("identifier", f"{system}|{value}"),), None)


async def current(
    server: Server, connection: Connection, references: Iterable[str], changing: Collection[str]
) -> Mapping[str, Held]:
    """Return what lies at these references (`Patient/1`), those that are not deleted.

    Those that will be `changing` are locked first, in the order in which all writers do.
    """
    places = {_place(server, one): one for one in references}
    if not places:
        return {}
    if changing:
        wanted = [place for place, one in places.items() if one in changing]
        await store.lock(connection, wanted, "NO KEY UPDATE")
    stored = await store.currents(connection, places)
    return {
        places[place]: Held(found.version, found.body)
        for place, found in stored.items()
        if not found.deleted
    }


def _place(server: Server, reference: str) -> tuple[int, str]:
    kind, _, id_ = reference.partition("/")
    return server.definitions.type_ids[kind], id_
