"""Analyzers on real sockets: what is acknowledged is durable, what is cut is incomplete."""

import asyncio
from contextlib import AsyncExitStack

import psycopg
import pytest
from httpx import AsyncClient

from adapters.hl7.astm.frames import split, written
from adapters.hl7.astm.keeping import Keeper, Piece
from adapters.hl7.inbox.replay import Chosen, replay
from adapters.hl7.records.files import records
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import (
    ACK,
    ENQ,
    EOT,
    NAK,
    Analyzer,
    Connect,
    applied,
    found,
    frames,
    inbox,
    lines,
    with_settings,
)

RESULT = (
    b"H|\\^&|||Maker^Model^1||||||||LIS2-A2|20260110080000\r"
    b"P|1|4711||X|Rao^Asha||19800115|F\r"
    b"O|1|S-1||^^^GLU|R||20260110073000\r"
    b"R|1|^^^GLU^Glucose|5.4|mmol/L|3.9-5.6|N||F||||20260110075900\r"
    b"L|1|N\r"
)


async def test_a_session_becomes_a_message_with_the_bytes_of_its_frames(
    server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(RESULT)
        assert await inbox(server, 1) == [("stored", None, "R", RESULT, "Maker-Model")]
    assert await frames(server) == []


async def test_each_frame_is_durable_when_it_is_acknowledged(
    server: Server, connect: Connect
) -> None:
    made = records(RESULT)
    async with connect() as one:
        assert await one.say(ENQ) == ACK
        for count, frame in enumerate(split(made, 240), 1):
            assert await one.say(frame) == ACK
            assert await frames(server) == made[:count]


async def test_a_cut_session_is_kept_whole_and_never_becomes_results(
    server: Server, connect: Connect, client: AsyncClient
) -> None:
    async with connect() as one:
        await one.put(RESULT)
    assert await inbox(server, 1) == [("dead", "INCOMPLETE_TRANSMISSION", "", RESULT, "-")]
    assert await applied(server) == [
        ("dead", "INCOMPLETE_TRANSMISSION", "The connection ended; 5 frames")
    ]
    assert await found(client, "Observation") == []
    async with server.database.statement() as connection:
        assert await replay(connection, Chosen(state="dead"), "me") == []


async def test_a_message_that_was_refused_is_applied_once_when_it_is_replayed(
    server: Server, connect: Connect, client: AsyncClient
) -> None:
    async with connect() as one:
        await one.send(RESULT.replace(b"||||||||LIS2", b"|||||||T|LIS2"))
        await inbox(server, 1)
    for _ in range(2):
        async with server.database.statement() as connection:
            assert await replay(connection, Chosen(ids=[1]), "me") == [1]
        assert [row[0] for row in await applied(server)] == ["done"]
    (result,) = await found(client, "Observation")
    assert result["meta"]["versionId"] == "1"


async def test_sessions_of_a_dead_process_end_as_incomplete_at_the_next_start(
    server: Server,
) -> None:
    async with lines(server) as connect, connect() as one:
        await one.send(RESULT)
        await inbox(server, 1)
    async with server.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO hl7_astm_frame (session, number, channel, peer, text, final) "
            "SELECT '00000000-0000-0000-0000-000000000001', n, 'astm', 'x', t, true "
            "FROM unnest(%s::int[], %s::bytea[]) AS g(n, t)",
            ([2, 1], [b"P|1\r", b"H|\\^&\r"]),
        )
    async with lines(server) as connect:
        rows = await inbox(server, 2)
        assert rows[1] == ("dead", "INCOMPLETE_TRANSMISSION", "", b"H|\\^&\rP|1\r", "-")
        # The analyzer repeats the frame that it had no answer to, and begins anew.
        async with connect() as one:
            one.writer.write(written(2, b"P|1\r", final=True))
            await one.send(RESULT)
    assert [row[0] for row in await inbox(server, 2)] == ["stored", "dead"]
    assert await frames(server) == []


async def test_a_session_that_was_sent_again_is_one_message(
    server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(RESULT)
        await one.send(RESULT)
        await one.send(RESULT.replace(b"5.4", b"5.5"))
        rows = await inbox(server, 2)
    assert [row[3] for row in rows] == [RESULT, RESULT.replace(b"5.4", b"5.5")]


async def test_one_session_may_bring_several_messages(server: Server, connect: Connect) -> None:
    other = RESULT.replace(b"4711", b"4712")
    async with connect() as one:
        await one.send(RESULT + other)
        assert [row[3] for row in await inbox(server, 2)] == [RESULT, other]


async def test_lines_do_not_disturb_one_another(server: Server, connect: Connect) -> None:
    async def speak(one: Analyzer, patient: int) -> None:
        await one.send(RESULT.replace(b"4711", b"%d" % patient))

    async with connect() as bad, connect() as first, connect() as second:
        bad.writer.write(b"\x05\x02garbage" * 50)
        await asyncio.gather(speak(first, 1), speak(second, 2))
        rows = await inbox(server, 2)
    assert {row[3] for row in rows} == {RESULT.replace(b"4711", b"%d" % n) for n in (1, 2)}


class _Failing(Keeper):
    """A keeper whose database is away until the test says otherwise."""

    away = True

    async def _commit(self, group: list[Piece]) -> None:  # type: ignore[override]
        if _Failing.away:
            raise psycopg.OperationalError
        await super()._commit(group)


async def test_nothing_is_acknowledged_that_cannot_be_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.hl7.astm.listener.Keeper", _Failing)
    async with lines(server) as connect, connect() as one:
        assert await one.say(ENQ) == ACK
        first, *others = split(records(RESULT), 240)
        assert await one.say(first) == NAK
        monkeypatch.setattr(_Failing, "away", False)
        for frame in (first, *others):
            assert await one.say(frame) == ACK
        one.writer.write(EOT)
        assert [row[0] for row in await inbox(server, 1)] == ["stored"]


async def test_an_open_session_may_end_at_shutdown(server: Server) -> None:
    async with AsyncExitStack() as open_lines:
        async with lines(server) as connect:
            one = await open_lines.enter_async_context(connect())
            await one.put(RESULT)
            ending = asyncio.create_task(_end_later(one))
        # The line was told to stop before EOT came.
        await ending
    assert [row[0] for row in await inbox(server, 1)] == ["stored"]


async def _end_later(one: Analyzer) -> None:
    await asyncio.sleep(0.1)
    one.writer.write(EOT)


async def test_a_session_that_does_not_end_at_shutdown_is_incomplete(server: Server) -> None:
    there = with_settings(server, astm={"stop_seconds": 0.05})
    async with AsyncExitStack() as open_lines, lines(there) as connect:
        one = await open_lines.enter_async_context(connect())
        await one.put(RESULT)
    assert [row[1] for row in await inbox(server, 1)] == ["INCOMPLETE_TRANSMISSION"]


async def test_addresses_that_are_not_allowed_are_refused(server: Server) -> None:
    there = with_settings(server, astm={"allow_hosts": ("10.0.0.0/8",)})
    async with lines(there) as connect, connect() as one:
        assert await one.reader.read() == b""


async def test_no_more_analyzers_than_are_set(server: Server) -> None:
    there = with_settings(server, astm={"max_connections": 1})
    async with lines(there) as connect, connect() as first:
        assert await first.say(ENQ) == ACK
        async with connect() as second:
            assert await second.reader.read() == b""


REFUSED = {
    "no H": (b"P|1|4711\rL|1|N\r", "BAD_MSH"),
    "delimiters": (b"H;^&;;;A\rL;1;N\r", "BAD_MSH"),
    "no L": (RESULT[:-6], "INCOMPLETE_TRANSMISSION"),
    "L-3 says E": (RESULT[:-2] + b"E\r", "INCOMPLETE_TRANSMISSION"),
    "result without order": (
        b"H|\\^&|||A\rP|1|1\rR|1|^^^K|4\rL|1|N\r",
        "INCOMPLETE_TRANSMISSION",
    ),
    "training": (RESULT.replace(b"||||||||LIS2", b"|||||||T|LIS2"), "WRONG_PROCESSING_ID"),
    "nothing": (b"H|\\^&|||A\rL|1|N\r", "NO_RESULTS"),
}


@pytest.mark.parametrize(("message", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_taken_is_a_dead_letter_with_its_reason(
    server: Server, connect: Connect, message: bytes, reason: str
) -> None:
    async with connect() as one:
        await one.send(message)
        rows = await inbox(server, 1)
    assert [(row[0], row[1], row[3]) for row in rows] == [("dead", reason, message)]


async def test_results_of_one_specimen_are_the_same_when_they_come_again(
    server: Server, connect: Connect, client: AsyncClient
) -> None:
    again = (
        RESULT.replace(b"20260110080000", b"20260110090000")
        .replace(b"|5.4|", b"|5.6|")
        .replace(b"|N||F||||20260110075900", b"|H||C||||20260110085900")
    )
    async with connect() as one:
        await one.send(RESULT)
        await one.send(again)
        await inbox(server, 2)
    assert [row[0] for row in await applied(server)] == ["done", "done"]
    (result,) = await found(client, "Observation")
    assert (result["status"], str(result["valueQuantity"]["value"])) == ("corrected", "5.6")
    assert result["meta"]["versionId"] == "2"
