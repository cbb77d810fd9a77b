"""Criteria of conditional interactions: normalised, locked, answered.

The lock is taken in a statement of its own before the search, so that the
search's snapshot is younger than the lock and two writers with the same
criteria cannot both find nothing.

https://hl7.org/fhir/R4/http.html#ccreate
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import parse_qsl, urlencode

from fhir_server.caller import Caller
from fhir_server.database import Connection, plan_for_values
from fhir_server.errors import BadRequest, NotSupported
from fhir_server.interactions.search import matching_ids
from fhir_server.search.token import identifier_term
from fhir_server.server import Server
from fhir_server.store.identifiers import by_terms

_ALTERNATIVES = re.compile(r"(?<!\\),")
_NO_CRITERIA = frozenset(
    ("_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "_contained")
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """A conditional URL's query. `identifier` is (system, value) where that is all it asks."""

    type: str
    pairs: tuple[tuple[str, str], ...]
    identifier: tuple[str, str] | None

    def lock_keys(self) -> list[int]:
        """Return the advisory lock keys: one per identifier token, else the whole query."""
        given = [value for name, value in self.pairs if name == "identifier"]
        tokens = [token for value in given for token in _ALTERNATIVES.split(value)]
        return [_hash(self.type, t) for t in tokens] or [_hash(self.type, urlencode(self.pairs))]


def criteria(type_name: str, query: str) -> Criteria:
    """Return the criteria of a query string, sorted; refused when it asks for nothing."""
    pairs = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
    for name, _ in pairs:
        if name.split(":")[0] in _NO_CRITERIA:
            raise NotSupported("This parameter cannot be a criterion", expression=name)
    if not any(value for _, value in pairs):
        raise BadRequest("The criteria ask for nothing", code="required")
    return Criteria(type_name, pairs, _identifier(pairs))


def _identifier(pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    if len(pairs) != 1 or pairs[0][0] != "identifier":
        return None
    system, bar, value = pairs[0][1].partition("|")
    plain = system and bar and value and not set(pairs[0][1][len(system) + 1 :]) & set("|,\\$")
    return (system, value) if plain and not set(system) & set(",\\") else None


async def lock(connection: Connection, wanted: Sequence[Criteria]) -> None:
    """Hold the advisory locks of all criteria until the transaction ends."""
    keys = sorted({key for one in wanted for key in one.lock_keys()})
    if keys:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k", (keys,)
        )


async def match(
    server: Server, connection: Connection, caller: Caller, wanted: Sequence[Criteria]
) -> list[list[str]]:
    """Return for each criteria up to two ids of current resources that match.

    All that ask for one identifier are answered by one statement.
    """
    found: list[list[str]] = [[] for _ in wanted]
    by_identifier = [
        (index, server.definitions.type_ids[one.type], _term(server, one))
        for index, one in enumerate(wanted)
        if one.identifier
    ]
    for index, id_ in await by_terms(connection, by_identifier):
        found[index].append(id_)
    for index, one in enumerate(wanted):
        if not one.identifier:
            await plan_for_values(connection)
            found[index] = await matching_ids(server, connection, caller, one.type, one.pairs)
    return found


def _term(server: Server, one: Criteria) -> int:
    system, value = one.identifier or ("", "")
    return identifier_term(server.registry, one.type, system, value)


def _hash(type_name: str, text: str) -> int:
    digest = blake2b(f"{type_name}?{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
