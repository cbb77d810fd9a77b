import httpx
import pytest

from adapters.hl7.inbox import retention
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import A, keep, result, rows
from tests.cluster import no_others

pytestmark = pytest.mark.anyio

_AGED = """
UPDATE hl7_message SET state = %s, received_at = now() - %s * interval '1 day',
    finished_at = CASE WHEN %s = 'stored' THEN NULL ELSE now() - %s * interval '1 day' END
WHERE id = %s
"""
_ROWS = [
    ("done", 29, True),
    ("done", 31, False),
    ("stale", 31, True),
    ("stale", 366, False),
    ("rejected", 364, True),
    ("rejected", 366, False),
    ("dismissed", 366, False),
    ("dead", 4_000, True),
    ("stored", 4_000, True),
]


async def test_messages_are_kept_as_long_as_their_state_says(server: Server) -> None:
    await keep(server, *(result(A, f"F{number}") for number in range(len(_ROWS))))
    async with server.database.statement() as connection:
        for id_, (state, days, _) in enumerate(_ROWS, 1):
            await connection.execute(_AGED, (state, days, state, days, id_))
    await retention.run(server, {})
    assert await rows(server, "id") == [(n,) for n, (*_, stays) in enumerate(_ROWS, 1) if stays]


async def test_replayed_message_counts_from_then_on(server: Server) -> None:
    await keep(server, result(A, "F1"))
    async with server.database.statement() as connection:
        await connection.execute(_AGED, ("done", 40, "done", 1, 1))
    await retention.run(server, {})
    assert await rows(server) == [("done", None)]


async def test_settings_say_how_long(server: Server) -> None:
    await keep(server, result(A, "F1"))
    async with server.database.statement() as connection:
        await connection.execute(_AGED, ("rejected", 3, "rejected", 3, 1))
    await retention.run(with_hl7(server, keep_days=2), {})
    assert await rows(server) == []


async def test_job_comes_back(server: Server) -> None:
    await retention.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT kind, due_at > now() + interval '30 minutes' FROM job"
        )
        assert await cursor.fetchall() == [("hl7.retention", True)]


_ORDERS = [
    ("sent", 29, b"P|1"),
    ("sent", 31, b""),
    ("withdrawn", 31, b""),
    ("dead", 364, b"P|1"),
    ("sent", 366, None),
    ("withdrawn", 366, None),
    ("dead", 366, None),
    ("queued", None, b"P|1"),
]


async def test_orders_to_analyzers_lose_their_records_first_and_their_rows_later(
    server: Server,
) -> None:
    async with server.database.statement() as connection:
        for number, (state, days, _) in enumerate(_ORDERS):
            await connection.execute(
                """
                INSERT INTO hl7_astm_order (sender, reference, action, records, state, finished_at)
                VALUES ('X', %s, 'N', 'P|1', %s, now() - %s * interval '1 day')
                """,
                (f"ServiceRequest/{number}", state, days),
            )
    await retention.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT reference, records FROM hl7_astm_order")
        left = {reference: bytes(records) for reference, records in await cursor.fetchall()}
    assert left == {
        f"ServiceRequest/{number}": records
        for number, (_, _, records) in enumerate(_ORDERS)
        if records is not None
    }


_ALERTS = [
    ("acknowledged", 364, True),
    ("acknowledged", 366, False),
    ("withdrawn", 366, False),
    ("open", None, True),
]


async def test_critical_results_that_ended_are_forgotten(server: Server) -> None:
    async with server.database.statement() as connection:
        for number, (state, days, _) in enumerate(_ALERTS):
            await connection.execute(
                """
                INSERT INTO hl7_critical
                    (observation_id, level, state, flag_id, request_id, raised_at, ended_at)
                VALUES (%s, 'high', %s, 'f', 'r', now() - interval '400 days',
                    now() - %s * interval '1 day')
                """,
                (str(number), state, days),
            )
    await retention.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT observation_id FROM hl7_critical ORDER BY observation_id"
        )
        assert await cursor.fetchall() == [
            (str(number),) for number, (*_, stays) in enumerate(_ALERTS) if stays
        ]


async def test_time_of_a_resource_that_was_deleted_is_forgotten(
    server: Server, client: httpx.AsyncClient
) -> None:
    def patient(name: str) -> dict[str, str]:
        return {"resourceType": "Patient", "id": name}

    for name in ("gone", "here", "again"):
        assert (await client.put(f"/Patient/{name}", json=patient(name))).status_code == 201
    async with server.database.statement() as connection:
        query = "INSERT INTO hl7_applied SELECT 'Patient/' || n, now() FROM unnest(%s::text[]) n"
        await connection.execute(query, (["gone", "here", "again"],))
    for name in ("gone", "again"):
        assert (await client.delete(f"/Patient/{name}")).status_code < 300
    assert (await client.put("/Patient/again", json=patient("again"))).status_code == 201
    await no_others(server.database)
    await retention.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT resource FROM hl7_applied ORDER BY 1")
        assert await cursor.fetchall() == [("Patient/again",), ("Patient/here",)]
