"""What a caller may see, as a condition in an adapter's own statement.

So that the statement's pages, counts and order are as if nothing else were stored.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from fhir_server.access import masking
from fhir_server.access.queries import there
from fhir_server.access.reach import reading
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions import coded
from fhir_server.search.condition import ALWAYS, NEVER, Condition
from fhir_server.search.passing import passing
from fhir_server.server import Server
from fhir_server.store import read as store


class Test(NamedTuple):
    """SQL with `%s` places, and the values that go there."""

    sql: str
    values: tuple[Any, ...]


NOTHING: Final = Test("false", ())

_EXISTS: Final = """EXISTS (
    SELECT FROM resource r
    WHERE r.type_id = %s::smallint AND r.id = {id} AND NOT r.deleted{wall})"""


_EACH: Final = """(
    SELECT true FROM resource r
    WHERE r.type_id = %s::smallint AND r.id = {id} AND NOT r.deleted{wall} LIMIT 1)"""


async def visible(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str,
    letter: str,
    id_: str,
    *,
    each: bool = False,
) -> Test:
    """Return the test that the caller may see the resource of an id, by one of `LETTERS`.

    `id_` is SQL of ours for the id. With `each` it is asked of one row after the other: else
    the planner may begin with all that the caller may see, for a page of which hardly any row
    may be hidden. What cannot be decided is not seen, nor what is shown in part,
    as an adapter shows all that it has; Unavailable where the terminology cannot tell what the
    rights mean.
    """
    parts = masking.parts(caller.rights)
    if parts is not None:
        caller = replace(caller, rights=parts.whole)
    await coded.answer_rights(server, connection, caller)
    condition: Condition = ALWAYS
    if caller.rights.walls:
        condition = there(server, caller.rights, type_name, letter)
    if condition == NEVER:
        return NOTHING
    wall = passing(None if condition == ALWAYS else condition)
    type_id = server.definitions.type_ids[type_name]
    form = _EACH if each else _EXISTS
    return Test(form.format(id=id_, wall=wall.sql), (type_id, *wall.values))


async def require_reached(
    server: Server, caller: Caller, places: Iterable[tuple[str, str]]
) -> None:
    """Raise HiddenError where the second wall keeps back one of the resources (type, id).

    An adapter answers of tables of its own, on which there is no row policy: what it is about to
    show must be a caller's to fetch as a resource too.
    """
    if not caller.rights.walls:
        return
    ids = server.definitions.type_ids
    async with reading(server, caller) as connection:
        await store.require_all(connection, [(ids[name], id_) for name, id_ in places])
