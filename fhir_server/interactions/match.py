"""Criteria of conditional interactions: normalised, locked, answered.

The lock is taken in a statement of its own before the search, so that the
search's snapshot is younger than the lock and two writers with the same
criteria cannot both find nothing.

https://hl7.org/fhir/R4/http.html#ccreate
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from fhir_server.caller import Caller
from fhir_server.database import OWN, Connection, plan_for_values
from fhir_server.errors import BadRequest, NotSupported, SangamError
from fhir_server.interactions.search import matching_ids
from fhir_server.search.clause import split
from fhir_server.search.token import identifier_term
from fhir_server.server import Server
from fhir_server.store.identifiers import by_terms

ONE_TOO_MANY = 2
_NO_CRITERIA = frozenset(
    (
        *("_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total"),
        *("_contained", "_containedType", "_type", "_format", "_pretty", "_cursor", "_score"),
        "_explain",
    )
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """A conditional URL's query, normalised: equal ones ask for the same.

    `identifier` is (system, value) where that is all it asks.
    """

    type: str
    pairs: tuple[tuple[str, str], ...]
    identifier: tuple[str, str] | None

    def lock_keys(self) -> list[int]:
        """Return the advisory lock keys: one per identifier, else the whole query.

        An identifier is locked by its value, in whichever case and of whichever system:
        `value`, `|value` and `system|value` may ask for the same resource.
        """
        given = [value for name, value in self.pairs if name == "identifier"]
        values = [split(token, "|")[-1].casefold() for one in given for token in split(one, ",")]
        return [_hash(self.type, v) for v in values] or [_hash(self.type, urlencode(self.pairs))]


class UnanswerableError(Exception):
    """The refusal of criteria, for who knows where they stand."""

    def __init__(self, criteria: Criteria, refusal: SangamError) -> None:
        super().__init__(refusal.text)
        self.criteria = criteria
        self.refusal = refusal


class Match(NamedTuple):
    """A resource that meets criteria; the version that met them, where it is known."""

    id: str
    version: int | None


def criteria(type_name: str, query: str) -> Criteria:
    """Return the criteria of a query string; refused when it asks for nothing."""
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The criteria cannot be read", code="value") from error
    for name, _ in given:
        if name.split(":")[0] in _NO_CRITERIA:
            raise NotSupported("This parameter cannot be a criterion", expression=name)
    if not any(value for _, value in given):
        raise BadRequest("The criteria ask for nothing", code="required")
    pairs = tuple(sorted({(name, _sorted(name, value)) for name, value in given}))
    return Criteria(type_name, pairs, _identifier(pairs))


def _sorted(name: str, value: str) -> str:
    """Return a value with its alternatives in order; an expression has none."""
    whole = name in ("_filter", "_text", "_content")
    return value if whole else ",".join(sorted(set(split(value, ","))))


def _identifier(pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    if len(pairs) != 1 or pairs[0][0] != "identifier":
        return None
    system, bar, value = pairs[0][1].partition("|")
    plain = system and bar and value and not set(pairs[0][1][len(system) + 1 :]) & set("|,\\$")
    return (system, value) if plain and not set(system) & set(",\\") else None


async def lock(connection: Connection, wanted: Iterable[Criteria]) -> None:
    """Hold the advisory locks of all criteria until the transaction ends."""
    keys = sorted({key for one in wanted for key in one.lock_keys()})
    if keys:
        await connection.execute(
            f"SELECT pg_advisory_xact_lock(k # {OWN}) FROM unnest(%s::bigint[]) AS k", (keys,)
        )


async def match(
    server: Server,
    connection: Connection,
    caller: Caller,
    wanted: Sequence[Criteria],
    limit: int = ONE_TOO_MANY,
) -> list[list[Match]]:
    """Return for each criteria up to `limit` current resources that match, in the order of ids.

    All that ask for one identifier are answered by one statement. UnanswerableError
    for criteria that search refuses.
    """
    found: list[list[Match]] = [[] for _ in wanted]
    by_identifier = [
        (index, server.definitions.type_ids[one.type], _term(server, one))
        for index, one in enumerate(wanted)
        if _by_term(caller, one)
    ]
    for index, id_, version in await by_terms(connection, by_identifier, limit):
        found[index].append(Match(id_, version))
    others = [index for index, one in enumerate(wanted) if not _by_term(caller, one)]
    if others:
        await plan_for_values(connection)
    for index in others:
        one = wanted[index]
        try:
            ids = await matching_ids(server, connection, caller, one.type, one.pairs, limit)
        except SangamError as error:
            raise UnanswerableError(one, error) from error
        found[index] = [Match(id_, None) for id_ in ids]
    return [sorted(one) for one in found]


def _by_term(caller: Caller, one: Criteria) -> bool:
    """Whether the criteria are answered by a look at one term, which knows of no rights."""
    return one.identifier is not None and not caller.rights.walls


def _term(server: Server, one: Criteria) -> int:
    system, value = one.identifier or ("", "")
    return identifier_term(server.registry, one.type, system, value)


def _hash(type_name: str, text: str) -> int:
    digest = blake2b(f"{type_name}?{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
