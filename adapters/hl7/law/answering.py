"""Queries of analyzers for work, and their answers to what they were given.

IHE Laboratory Technical Framework, volume 2b, transactions LAB-27 and LAB-28.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from adapters.hl7 import metrics
from adapters.hl7.acknowledgement.ack import Header
from adapters.hl7.inbox.received import Received
from adapters.hl7.laboratory import specimen_orders
from adapters.hl7.law import giving, outcomes
from adapters.hl7.law.query import Asked, asked, response
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.outbound import queue, replies
from adapters.hl7.outbound.queue import Queued
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Loaded
from adapters.hl7.recorded import asked as recorded
from adapters.hl7.records.query import Request
from adapters.hl7.uri_base import uri_base
from fhir_server.audit.peers import WORK, System
from fhir_server.database import Connection
from fhir_server.server import Server

KIND: Final = ("RSP", "K11", "RSP_K11")
_PROFILE: Final = ("LAB-27", "IHE")
_PAGE: Final = 50

_WAITS: Final = """
SELECT id, attempts FROM hl7_outbound
WHERE destination = %s AND control_id = %s AND state = 'queued' FOR UPDATE
"""
_SENT: Final = """
UPDATE hl7_outbound SET attempts = attempts + (sent_at IS NOT NULL)::int, sent_at = now()
WHERE id = %s
"""
_UNSETTLED: Final = """
SELECT m.sender, m.raw FROM hl7_message AS m
WHERE m.ack_mode = 'reply' AND m.received_at >= (
    SELECT min(sent_at) FROM hl7_outbound
    WHERE via = 'connection' AND state = 'queued' AND sent_at IS NOT NULL
) ORDER BY m.id
"""


@dataclass(slots=True)
class Work:
    """What analyzers are told on their connections; `flying` is what has no answer yet.

    By sender it has the connection, the number of the message and when it was sent.
    """

    server: Server
    flying: dict[str, tuple[str, int, float]] = field(default_factory=dict)

    async def answer(
        self,
        header: Header,
        message: Message,
        loaded: Loaded | None,
        now: datetime,
        asker: System,
    ) -> bytes:
        """Return RSP^K11, and queue the work that was asked for.

        It is recorded together with that which orders the `asker` is given.
        """
        field_ = loaded.profile.law.isolate_field if loaded else 9
        query = asked(message, field_)
        known = loaded is not None and giving.is_analyzer(loaded)
        problem = query.problem if known else "No profile says what this analyzer can do"
        status = "AE" if problem else "OK"
        metrics.queries.labels(_named(query), status).inc()
        if loaded is not None and not problem:
            await self._give(loaded, query, asker, "|".join(message.named("QPD")[0].fields))
        told = {"problem": problem, "profile": _PROFILE}
        return response(header, message, now, status, KIND, **told)  # type: ignore[arg-type]

    async def _give(self, loaded: Loaded, query: Asked, asker: System, text: str) -> None:
        server = self.server
        to = giving.analyzer(server, await uri_base(server), loaded)
        number = query.container or query.place
        named = ((("", number),)) if number else ()
        found = await specimen_orders.active(server, Request(named, frozenset(), cancels=False))
        given = [("ServiceRequest", one["id"]) for _, orders in found for one in orders.requests]
        async with server.database.transaction() as connection:
            await recorded(connection, asker, WORK, text, given)
            count = 0
            for label, orders in found:
                # What stands at a place is known by its own number.
                own = label if query.container else ""
                count += await giving.give(server, connection, to, orders, own)
            if not count:
                await giving.say_no_work(connection, to, number)

    async def following(self, sender: str, origin: Origin) -> bytes | None:
        """Return what is to be sent to an analyzer on this connection, if its line is free."""
        async with self.server.database.transaction() as connection:
            row = await _next(connection, sender)
            if row is None or self._is_flying(sender, origin, row.id):
                return None
            await connection.execute(_SENT, (row.id,))
        self.flying[sender] = (origin.peer, row.id, time.monotonic())
        return row.payload

    def _is_flying(self, sender: str, origin: Origin, id_: int) -> bool:
        peer, last, at = self.flying.get(sender, ("", 0, 0.0))
        patience = 30.0
        return (peer, last) == (origin.peer, id_) and time.monotonic() - at < patience

    async def replied(self, received: Received, origin: Origin) -> None:
        """Take the answer to a message that went out on a connection, on this or another."""
        del origin
        async with self.server.database.transaction() as connection:
            await settle(connection, received.sender, received.raw)
        self.flying.pop(received.sender, None)


def _named(query: Asked) -> str:
    """Return the name of a query for a label: only known ones, as senders make them up."""
    return "other" if query.problem else query.name


async def _next(connection: Connection, sender: str) -> Queued | None:
    rows = await queue.page(connection, sender, 0, _PAGE, "connection")
    return next(iter(queue.startable(rows, set())), None)


async def settle(connection: Connection, sender: str, raw: bytes) -> None:
    """Note the answer to a message, if it is to one that waits."""
    said = outcomes.outcome(raw)
    if said is None:
        return
    cursor = await connection.execute(_WAITS, (sender, said.control_id))
    row = await cursor.fetchone()
    reply = replies.read(raw, said.control_id)
    if row is None:
        if state := replies.APPLIED.get(reply.code):
            detail = None if state == "done" else reply.detail
            await queue.applied(connection, sender, said.control_id, state, raw, detail)
        return
    if reply.verdict in {"done", "accepted"}:
        # What was accepted is answered once more, by its application.
        if reply.verdict == "done":
            await queue.settled(connection, row[0], "done", raw, None)
    elif reply.verdict in {"refused", "rejected"}:
        await queue.settled(connection, row[0], "dead", raw, reply.detail)


async def recover(server: Server) -> None:
    """Take the answers that were stored when the process ended before they were read."""
    async with server.database.transaction() as connection:
        cursor = await connection.execute(_UNSETTLED, binary=True)
        rows: Sequence[Any] = await cursor.fetchall()
        for sender, raw in rows:
            await settle(connection, sender, bytes(raw))
