"""The job that forgets old messages; a dead letter stays until it is dismissed."""

from typing import Final

from adapters.hl7.inbox import deleted
from fhir_server.database import Connection
from fhir_server.jobs import Job, enqueue
from fhir_server.server import Server

KIND: Final = "hl7.retention"
_EVERY_SECONDS: Final = 3_600.0
JOB: Final = Job(KIND, {}, dedupe_key="inbox", delay_seconds=_EVERY_SECONDS)
_AT_ONCE: Final = 1_000

# A message that was replayed counts from then on. What is dead without an operator having
# seen it is never forgotten, nor is what has yet to be processed.
_FORGET: Final = """
WITH old AS (
    SELECT id FROM hl7_message
    WHERE received_at < now() - least(%(done)s, %(other)s) * interval '1 day'
      AND finished_at < now() - CASE WHEN state = 'done' THEN %(done)s ELSE %(other)s END
                                * interval '1 day'
      AND state IN ('done', 'stale', 'rejected', 'dismissed')
    ORDER BY received_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
DELETE FROM hl7_message USING old WHERE hl7_message.id = old.id
"""

# What was sent is kept as long as what came; what nobody has acknowledged stays.
_FORGET_SENT: Final = """
WITH old AS (
    SELECT id FROM hl7_outbound
    WHERE state IN ('done', 'dismissed')
      AND finished_at < now() - CASE WHEN state = 'done' THEN %(done)s ELSE %(other)s END
                                * interval '1 day'
    ORDER BY state, id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
DELETE FROM hl7_outbound USING old WHERE hl7_outbound.id = old.id
"""

# The records of an order name its patient. Its row outlives them: an order that changes is
# not sent to the analyzer again, and one that is withdrawn later is cancelled there.
_EMPTY_ORDERS: Final = """
WITH old AS (
    SELECT id FROM hl7_astm_order
    WHERE state IN ('sent', 'withdrawn') AND length(records) > 0
      AND finished_at < now() - %(done)s * interval '1 day'
    ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE hl7_astm_order SET records = '' FROM old WHERE hl7_astm_order.id = old.id
"""
_FORGET_ORDERS: Final = """
WITH old AS (
    SELECT id FROM hl7_astm_order
    WHERE state IN ('sent', 'withdrawn', 'dead')
      AND finished_at < now() - %(other)s * interval '1 day'
    ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
DELETE FROM hl7_astm_order USING old WHERE hl7_astm_order.id = old.id
"""
# Until then a repeat of the result, or its correction, finds what was raised for it.
_FORGET_CRITICAL: Final = """
WITH old AS (
    SELECT observation_id FROM hl7_critical
    WHERE state IN ('acknowledged', 'withdrawn')
      AND ended_at < now() - %(other)s * interval '1 day'
    ORDER BY observation_id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
DELETE FROM hl7_critical USING old WHERE hl7_critical.observation_id = old.observation_id
"""
_BESIDE: Final = (_FORGET_SENT, _EMPTY_ORDERS, _FORGET_ORDERS, _FORGET_CRITICAL)


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Forget what is older than the settings say or was deleted, and come back in an hour."""
    await deleted.forget(server)
    while True:
        async with server.database.statement() as connection:
            if await forget(server, connection) < _AT_ONCE:
                await enqueue(connection, [JOB])
                return


async def forget(server: Server, connection: Connection) -> int:
    """Delete up to 1,000 messages that were kept long enough, and as many of each other kind.

    Those are messages out, orders to ASTM analyzers and critical results that have ended.
    Returns how many of those that came in; of the others the next look takes the rest.
    """
    settings = server.settings.hl7
    asked = {
        "done": settings.keep_done_days,
        "other": settings.keep_days,
        "most": _AT_ONCE,
    }
    for statement in _BESIDE:
        await connection.execute(statement, asked)
    return (await connection.execute(_FORGET, asked)).rowcount
