"""Records of requests are committed together, and each request waits for its own."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from fhir_server.audit import record
from fhir_server.audit.record import Record, Recorder, Who, read
from fhir_server.database import Database
from fhir_server.errors import Unavailable

WHO = Who("someone")


def of(number: int) -> Record:
    return Record("read", WHO, places=[("Patient", f"p{number}", 1)])


async def rows(database: Database) -> list[list[str]]:
    """The ids that each row tells of."""
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT said FROM audit_record ORDER BY position")
        said = [row[0] for row in await cursor.fetchall()]
    return [[one.places[0][1] for one in read(row)] for row in said]


async def test_records_of_one_time_are_one_row(database: Database) -> None:
    recorder = Recorder(database)
    await asyncio.gather(*(recorder.keep([of(n)]) for n in range(5)), recorder.keep([of(5), of(6)]))
    assert await rows(database) == [[f"p{n}" for n in range(7)]]


async def test_records_that_come_during_a_commit_go_by_the_next(database: Database) -> None:
    recorder = Recorder(database)
    async with database.statement() as holding, holding.transaction():
        await holding.execute("LOCK TABLE audit_record IN SHARE MODE")
        first = asyncio.create_task(recorder.keep([of(0)]))
        for _ in range(3):  # until the first is sent
            await asyncio.sleep(0)
        others = [asyncio.create_task(recorder.keep([of(n)])) for n in (1, 2)]
        await asyncio.sleep(0.01)
        assert (first.done(), [one.done() for one in others]) == (False, [False, False])
    await asyncio.gather(first, *others)
    assert await rows(database) == [["p0"], ["p1", "p2"]]


async def test_each_of_a_batch_is_refused_when_its_commit_fails(
    client: httpx.AsyncClient, database: Database
) -> None:
    ids = [f"p{n}" for n in range(4)]
    for id_ in ids:
        patient = {"resourceType": "Patient", "id": id_, "name": [{"family": "Rao"}]}
        (await client.put(f"Patient/{id_}", json=patient)).raise_for_status()
    async with database.statement() as connection:
        await connection.execute("TRUNCATE audit_record")
        await connection.execute("ALTER TABLE audit_record ADD CONSTRAINT full_disk CHECK (false)")
        try:
            answers = await asyncio.gather(*(client.get(f"Patient/{id_}") for id_ in ids))
        finally:
            await connection.execute("ALTER TABLE audit_record DROP CONSTRAINT full_disk")
    assert [(one.status_code, "Rao" in one.text) for one in answers] == [(503, False)] * 4
    assert await rows(database) == []
    again = await asyncio.gather(*(client.get(f"Patient/{id_}") for id_ in ids))
    assert [(one.status_code, "Rao" in one.text) for one in again] == [(200, True)] * 4
    assert sorted(id_ for row in await rows(database) for id_ in row) == ids


async def test_who_goes_away_takes_no_record_along(database: Database) -> None:
    recorder = Recorder(database)
    gone, here = (asyncio.create_task(recorder.keep([of(n)])) for n in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await here
    assert await rows(database) == [["p0", "p1"]]


async def test_reads_do_not_wait_for_writers(database: Database) -> None:
    async with AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(database.statement())
        await Recorder(database).keep([of(0)])
    assert await rows(database) == [["p0"]]


async def test_nothing_is_kept_by_a_database_that_is_away(database: Database) -> None:
    recorder = Recorder(database)
    await database.close()
    found = await asyncio.gather(
        *(recorder.keep([of(n)]) for n in range(3)), return_exceptions=True
    )
    assert [type(one) for one in found] == [Unavailable] * 3


async def test_a_commit_waits_for_as_many_as_came_of_late_but_not_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(database)
    await asyncio.gather(*(recorder.keep([of(n)]) for n in range(3)))
    # No commit takes an hour: three are expected, and come one after the other.
    monkeypatch.setattr(recorder, "_took", 3600.0)
    with monkeypatch.context() as patient:
        patient.setattr(record, "_LONGEST", 3600.0)
        tasks = []
        for n in range(3, 6):
            tasks.append(asyncio.create_task(recorder.keep([of(n)])))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
    # Nobody waits long for who does not come, however long the last commit took.
    monkeypatch.setattr(recorder, "_took", 3600.0)
    await recorder.keep([of(6)])
    assert await rows(database) == [["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]]
