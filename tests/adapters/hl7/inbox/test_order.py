from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from adapters.hl7.inbox import apply, process, turns
from adapters.hl7.inbox.replay import Chosen, dismiss, find, release, replay
from adapters.hl7.message.reasons import PARTIAL
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import (
    MRG_A,
    A,
    B,
    adt,
    done,
    found,
    keep,
    patients,
    result,
    rows,
    subjects,
)

pytestmark = pytest.mark.anyio


async def dead(server: Server) -> bytes:
    """Return a result of A that cannot be applied: F1 is B's."""
    assert await done(server, result(B, "F1")) == []
    return result(A, "F1", "9")


async def test_dead_letter_lets_others_pass(server: Server) -> None:
    assert await done(server, await dead(server), result(A, "F2")) == [("dead", "PATIENT_CONFLICT")]


async def test_dead_letter_holds_its_partition_until_it_is_released(server: Server) -> None:
    holding = with_hl7(server, on_dead="hold")
    sent = (await dead(server), result(A, "F2"), result(B, "F3"))
    assert await done(holding, *sent) == [("dead", "PATIENT_CONFLICT"), ("stored", None)]
    assert await done(holding, result(A, "F4")) == [
        ("dead", "PATIENT_CONFLICT"),
        ("stored", None),
        ("stored", None),
    ]
    async with server.database.statement() as connection:
        assert await release(connection, [2], "somebody") == [2]
        assert await release(connection, [2], "somebody") == []
    await process.run(holding, {})
    assert await rows(server) == [
        *[("done", None), ("dead", "PATIENT_CONFLICT")],
        *[("done", None)] * 3,
    ]


async def test_dismissed_letter_holds_nothing(server: Server) -> None:
    holding = with_hl7(server, on_dead="hold")
    await done(holding, await dead(server), result(A, "F2"))
    async with server.database.statement() as connection:
        assert await dismiss(connection, [1, 2], "somebody", "sent by mistake") == [2]
    await process.run(holding, {})
    assert [state for state, _ in await rows(server)] == ["done", "dismissed", "done"]
    ((log,),) = (await rows(server, "replays"))[1:2]
    assert [(one["did"], one["by"], one["comment"]) for one in log] == [
        ("dismiss", "somebody", "sent by mistake")
    ]


async def test_what_waits_for_another_try_is_looked_at_then(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> Any:
        raise psycopg.errors.DeadlockDetected

    with monkeypatch.context() as broken:
        broken.setattr(apply, "_commit", never)
        await keep(server, result(A, "F1"), result(A, "F2"))
        await process.run(server, {})
    assert await rows(server, "state, attempts") == [("stored", 1), ("stored", 0)]
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM j.due_at - m.next_attempt)::float8 "
            "FROM job j, hl7_message m WHERE j.kind = 'hl7.process' AND m.next_attempt IS NOT NULL"
        )
        late = [row[0] for row in await cursor.fetchall()]
    # The job of the message is there too, until a worker takes it; it is that one.
    assert len(late) == 1
    assert late[0] < 0.5


@pytest.mark.parametrize("scope", ["channel", "all"])
async def test_merge_waits_for_earlier_messages_of_all_channels(
    server: Server, client: httpx.AsyncClient, scope: str
) -> None:
    wide = with_hl7(server, workers=4, batch_messages=1, ordering_scope=scope)
    await keep(wide, result(A, "F1"), channel="one")
    await keep(wide, result(B, "F2"), channel="two")
    await keep(wide, adt("A40", B, MRG_A), channel="three")
    await keep(wide, result(A, "F3"), channel="one")
    await keep(wide, result(A, "F4"), channel="two")
    await process.run(wide, {})
    assert await rows(server) == [("done", None)] * 5
    survivor = (await patients(client, server))["B"]
    assert await subjects(client, ["Observation", "DiagnosticReport"]) == {
        f"Patient/{survivor['id']}"
    }
    assert len(await found(client, "/Patient")) == 2


async def test_merged_patients_are_one_partition_afterwards(server: Server) -> None:
    assert await done(server, adt("A40", B, MRG_A)) == []
    await keep(server, result(A, "F1"), result(B, "F1"))
    first, second = await turns.load(server, [2, 3])
    assert first.holds & second.waits


async def test_replay_applies_once_more_and_doubles_nothing(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A, "F1"))
    before = await found(client, "/Observation")
    async with server.database.statement() as connection:
        assert await replay(connection, Chosen(state="done", type="ORU"), "somebody") == [1]
        assert await replay(connection, Chosen(state="done"), "somebody") == []
    await process.run(server, {})
    assert await rows(server) == [("done", None)]
    assert await found(client, "/Observation") == before
    ((log,),) = await rows(server, "replays")
    assert [(one["did"], one["by"]) for one in log] == [("replay", "somebody")]


async def test_replay_takes_what_is_chosen(server: Server) -> None:
    await done(server, await dead(server))
    async with server.database.statement() as connection:
        for chosen, ids in (
            (Chosen(sender="nobody"), []),
            (Chosen(type="ADT"), []),
            (Chosen(until=datetime(2020, 1, 1, tzinfo=UTC)), []),
            (Chosen(sender="HIS-H", state="done"), [1]),
            (Chosen(reason="PATIENT_CONFLICT"), [2]),
            (Chosen(ids=[1, 2, 3]), []),  # both are stored again
        ):
            assert await find(connection, chosen, 10) == ids
            assert await replay(connection, chosen, "somebody") == ids


async def test_what_is_kept_in_part_is_never_replayed(server: Server) -> None:
    await done(server, await dead(server))
    async with server.database.statement() as connection:
        for reason in sorted(PARTIAL):
            await connection.execute("UPDATE hl7_message SET reason = %s WHERE id = 2", (reason,))
            assert await replay(connection, Chosen(ids=[2]), "somebody") == []
        await connection.execute("UPDATE hl7_message SET reason = 'BAD_MSH' WHERE id = 2")
        assert await replay(connection, Chosen(ids=[2]), "somebody") == [2]
