import os

import pytest

from fhir_server import niceness
from fhir_server.database import Database

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("nice", [0, 5])
async def test_sessions_are_as_nice_as_their_process(
    database_url: str, monkeypatch: pytest.MonkeyPatch, nice: int
) -> None:
    monkeypatch.setattr(niceness, "own", lambda: nice)
    database = Database(database_url, size=2)
    await database.open()
    try:
        async with database.statement() as connection:
            if not connection.info.host.startswith("/"):
                pytest.skip("the database may be on another machine")
            pid = connection.info.backend_pid
            assert os.getpriority(os.PRIO_PROCESS, pid) == nice
    finally:
        await database.close()


async def test_what_is_no_session_is_left_as_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[int] = []
    monkeypatch.setattr(niceness, "own", lambda: 5)
    monkeypatch.setattr(os, "setpriority", lambda _, pid, __: changed.append(pid))
    async with database.connection() as connection:
        if not connection.info.host.startswith("/"):
            pytest.skip("the database may be on another machine")
        await niceness.follow(connection)
        monkeypatch.setattr(niceness, "_is_session", lambda _: False)
        await niceness.follow(connection)
        assert changed == [connection.info.backend_pid]
