"""What a replay of a message would change, seen by carrying it out and undoing it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from adapters.hl7.inbox.apply import apply, begin
from adapters.hl7.inbox.differences import Difference, differences
from adapters.hl7.inbox.merge import CALLER
from adapters.hl7.inbox.turns import load
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

_AGAIN: Final = """
UPDATE hl7_message SET state = 'stored', reason = NULL, detail = NULL, attempts = 0,
    next_attempt = NULL, confirmed = confirmed OR %s
WHERE id = %s AND control_id IS NOT NULL RETURNING id
"""
_BECAME: Final = "SELECT state, reason, detail, result_versions FROM hl7_message WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that a replay would create or update, and in what it would differ."""

    reference: str
    kind: Literal["create", "update"]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a message: its state, the reason with its text, the changes."""

    id: int
    state: str
    reason: str | None
    detail: str | None
    changes: tuple[Change, ...]


async def preview(server: Server, id_: int, *, confirmed: bool = False) -> Preview:
    """Return what a replay with the present settings and maps would do; nothing is changed.

    NotFound where there is no such message. What it writes is locked meanwhile, as in
    a replay.
    """
    async with server.database.trial() as database:
        tried = replace(server, database=database)
        async with database.statement() as connection:
            cursor = await connection.execute(_AGAIN, (confirmed, id_))
            if await cursor.fetchone() is None:
                raise NotFound("There is no such message that could be replayed")
        await apply(await begin(tried), await load(tried, [id_]))
        async with database.connection() as connection:
            cursor = await connection.execute(_BECAME, (id_,))
            became = await cursor.fetchone()
            assert became is not None
            state, reason, detail, versions = became
            if state == "stored":
                # It would be tried again: something is locked, or changed at the same time.
                return Preview(id_, state, reason, detail, ())
            references = _references(versions or ()) if state == "done" else []
            after = [await _body(server, connection, one) for one in references]
    async with server.database.connection() as connection:
        before = [await _body(server, connection, one) for one in references]
    changes = tuple(
        Change(reference, "update" if old else "create", tuple(found))
        for reference, old, new in zip(references, before, after, strict=True)
        if (found := differences(old, new))
    )
    return Preview(id_, state, reason, detail, changes)


def _references(versions: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(one.partition("/_history/")[0] for one in versions))


async def _body(server: Server, connection: Connection, reference: str) -> bytes | None:
    try:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", reference)])
    except (NotFound, Gone):
        return None
    return outcome.body
