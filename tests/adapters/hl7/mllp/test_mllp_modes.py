"""Acknowledgement modes over real connections: enhanced, sequences, batches, release 2."""

import asyncio
from typing import Any

import pytest

from adapters.hl7.inbox.process import run
from fhir_server.server import Server
from tests.adapters.hl7.conftest import Connect, Sender, listening, with_hl7

pytestmark = pytest.mark.anyio

REST = "PID|1||P1^^^H||Rao^Asha\rOBR|1||F1|X\rOBX|1|NM|A||1||||||F\r"
# Its content is refused when it is applied: two messages say different patients of one report.
WRONG = REST.replace("P1^^^H", "P9^^^H")


def message(
    name: str = "C1", accept: str = "", app: str = "", *, number: str = "", rest: str = REST
) -> bytes:
    head = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{name}|P|2.5.1|{number}||{accept}|{app}\r"
    return (head + rest).encode()


async def rows(server: Server, columns: str) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def codes(sender: Sender, count: int) -> list[tuple[str, str]]:
    found = []
    for _ in range(count):
        said = await sender.msa()
        found.append((said[1], said[2]))
    return found


ACCEPTED = {"AL": "CA", "SU": "CA", "ER": "", "NE": "", "": ""}
APPLIED = {"AL": ("AA", "AE"), "SU": ("AA", ""), "ER": ("", "AE"), "NE": ("", ""), "": ("", "")}


async def test_every_combination_of_msh_15_and_16_is_answered_as_asked(server: Server) -> None:
    combinations = [(a, b) for a in ACCEPTED for b in APPLIED if a or b]
    expected: dict[str, list[str]] = {}
    async with listening(server) as connect, connect() as sender:
        await sender.send(message("FIRST"))
        await sender.ack()
        await run(server, {})
        for accept, app in combinations:
            for bad, rest in enumerate((REST, WRONG)):
                name = f"{accept}-{app}-{bad}"
                expected[name] = [one for one in (ACCEPTED[accept], APPLIED[app][bad]) if one]
                await sender.send(message(name, accept, app, rest=rest))
        await run_when_stored(server, len(expected) + 1)
        got = await codes(sender, sum(map(len, expected.values())))
        assert await sender.is_silent(0.15)
    found: dict[str, list[str]] = {name: [] for name in expected}
    for code, name in got:
        found[name].append(code)
    assert found == expected


async def run_when_stored(server: Server, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await rows(server, "id")) < count:  # noqa: ASYNC110  (the listener's commit)
            await asyncio.sleep(0.01)
    await run(server, {})


async def test_application_acknowledgement_waits_for_the_senders_next_connection(
    server: Server,
) -> None:
    async with listening(server) as connect:
        async with connect() as sender:
            await sender.send(message("C1", "AL", "AL"))
            assert await codes(sender, 1) == [("CA", "C1")]
        await run(server, {})
        async with connect() as other:
            await other.send(message("X1", "AL", "NE").replace(b"|LIS|", b"|RIS|"))
            assert await codes(other, 1) == [("CA", "X1")]
            assert await other.is_silent(0.15)
        async with connect() as again:
            await again.send(message("C2", "AL", "NE"))
            assert await codes(again, 2) == [("CA", "C2"), ("AA", "C1")]
            assert await again.is_silent(0.15)
    sent = await rows(server, "control_id, app_ack_sent_at IS NOT NULL")
    assert sent == [("C1", True), ("X1", False), ("C2", False)]


async def test_application_acknowledgement_goes_to_the_senders_other_connection(
    server: Server,
) -> None:
    async with listening(server) as connect, connect() as stays:
        await stays.send(message("C0", "AL", "NE"))
        assert await codes(stays, 1) == [("CA", "C0")]
        async with connect() as goes:
            await goes.send(message("C1", "NE", "AL"))
        await asyncio.sleep(0.1)
        await run_when_stored(server, 2)
        assert await codes(stays, 1) == [("AA", "C1")]


async def test_application_acknowledgements_outlive_the_listener(server: Server) -> None:
    async with listening(server) as connect, connect() as sender:
        await sender.send(message("C1", "AL", "AL"))
        await sender.ack()
    await run(server, {})
    async with listening(server) as connect, connect() as sender:
        await sender.send(message("C2", "AL", "NE"))
        assert await codes(sender, 2) == [("CA", "C2"), ("AA", "C1")]


async def test_answer_that_waits_for_the_commit_tells_the_outcome(server: Server) -> None:
    async with listening(server, ack_when="committed") as connect, connect() as sender:
        await sender.send(message("C1"))
        await sender.send(message("C2", rest=WRONG))
        await run_when_stored(server, 2)
        assert await codes(sender, 2) == [("AA", "C1"), ("AE", "C2")]


async def test_sequence_goes_on_after_a_restart(server: Server) -> None:
    async with listening(server, sequence=True) as connect, connect() as sender:
        for number in ("4", "5", "7"):
            await sender.send(message(f"C{number}", number=number))
        assert [(await sender.msa())[1:] for _ in range(3)] == [
            ["AA", "C4"],
            ["AA", "C5"],
            ["AE", "C7", "The sequence number is not the expected one", "6"],
        ]
    async with listening(server, sequence=True) as connect, connect() as sender:
        await sender.send(message("C0", number="0", rest=""))
        await sender.send(message("C5", number="5"))
        await sender.send(message("C6", number="6"))
        assert [(await sender.msa())[1:] for _ in range(3)] == [
            ["AA", "C0", "", "6"],
            ["AA", "C5"],
            ["AA", "C6"],
        ]
    assert await rows(server, "control_id, state, sequence") == [
        ("C4", "stored", 4),
        ("C5", "stored", 5),
        ("C7", "rejected", None),
        ("C0", "done", None),
        ("C6", "stored", 6),
    ]


async def test_release_2_tells_that_a_message_is_stored_before_it_answers(server: Server) -> None:
    async with listening(server, mllp_release=2) as connect, connect() as sender:
        await sender.send(message("C1"))
        assert await sender.ack() == b"\x06"
        assert await codes(sender, 1) == [("AA", "C1")]
        await sender.send(message("C2", rest="PID|1\r"))
        assert await sender.ack() == b"\x06"
        assert await codes(sender, 1) == [("AE", "C2")]
        await sender.put(b"junk")
        await sender.send(message("C3", "NE", "NE"))
        assert await sender.ack() == b"\x06"
        assert await sender.is_silent(0.1)


async def test_release_2_tells_that_a_message_is_not_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.hl7.mllp.listener._SILENCE_BEFORE_CLOSE", 0.1)
    async with server.database.statement() as connection:
        await connection.execute("ALTER TABLE hl7_message RENAME TO elsewhere")
    try:
        async with listening(server, mllp_release=2) as connect, connect() as sender:
            await sender.send(message("C1"))
            assert await sender.ack() == b"\x15"
            assert await sender.is_closed()
    finally:
        async with server.database.statement() as connection:
            await connection.execute("ALTER TABLE elsewhere RENAME TO hl7_message")


BATCH = b"BHS|^~\\&|LIS|LAB|EHR|H|2026||||B7\r"


async def test_batch_is_stored_by_message_and_answered_once(
    connect: Connect, server: Server
) -> None:
    bad = message("C2", rest="PID|1\r")
    async with connect() as sender:
        await sender.send(BATCH + message("C1") + bad + message("C3") + b"BTS|3\r")
        answer = (await sender.ack()).decode().split("\r")
        again = message("C3")
        await sender.send(again)
        single = (await sender.ack()).decode()
    assert [line.split("|")[:3] for line in answer if line[:3] in {"MSA", "BTS"}] == [
        ["MSA", "AA", "C1"],
        ["MSA", "AE", "C2"],
        ["MSA", "AA", "C3"],
        ["BTS", "3"],
    ]
    assert answer[0].split("|")[11] == "B7"
    assert single in "\r".join(answer)
    kept = await rows(server, "control_id, type, state, batch_id IS NOT NULL, raw")
    assert kept == [
        ("C1", "ORU", "stored", True, message("C1")),
        ("C2", "ORU", "rejected", True, bad),
        ("C3", "ORU", "stored", True, message("C3")),
        (None, "BATCH", "done", True, BATCH + b"BTS|3\r"),
    ]


async def test_batch_is_one_commit_however_many_arrive(server: Server) -> None:
    names = [f"C{n}" for n in range(1_200)]
    async with listening(server) as connect, connect() as sender:
        await sender.send(BATCH + b"".join(map(message, names)) + b"BTS|1200\r")
        answer = await sender.ack()
    assert answer.count(b"\rMSA|AA|") == 1_200
    assert len(set(await rows(server, "xmin::text"))) == 1


async def test_answer_to_a_batch_waits_for_the_commit_of_all(server: Server) -> None:
    async with listening(server, ack_when="committed") as connect, connect() as sender:
        await sender.send(BATCH + message("C1") + message("C2", rest=WRONG) + b"BTS|2\r")
        await run_when_stored(server, 3)
        answer = (await sender.ack()).decode().split("\r")
    assert [line.split("|")[1] for line in answer if line[:3] == "MSA"] == ["AA", "AE"]


async def test_address_outside_of_the_networks_is_not_let_in(server: Server) -> None:
    async with listening(server, allow_hosts=("10.0.0.0/8",)) as connect, connect() as sender:
        assert await sender.is_closed()
    async with listening(server, allow_hosts=("127.0.0.0/8",)) as connect, connect() as sender:
        await sender.send(message())
        assert await codes(sender, 1) == [("AA", "C1")]


async def test_type_that_is_not_mapped_is_accepted_and_set_aside(server: Server) -> None:
    odd = message().replace(b"ORU^R01", b"BAR^P01")
    async with listening(server, accept_unknown=True) as connect, connect() as sender:
        await sender.send(odd)
        assert await codes(sender, 1) == [("AA", "C1")]
        await run(with_hl7(server, accept_unknown=True), {})
    assert await rows(server, "state, reason") == [("dead", "UNSUPPORTED_MESSAGE")]


async def test_order_is_answered_in_its_own_form_where_set(server: Server) -> None:
    order = message(rest="PID|1||P1^^^H\rORC|NW|P7\rOBR|1|P7||X^Y^L\r")
    order = order.replace(b"ORU^R01", b"OML^O21")
    async with listening(server, order_response="orl") as connect, connect() as sender:
        await sender.send(order)
        assert b"|ORL^O22^ORL_O22|" in await sender.ack()
    async with listening(server, order_response="orl", ack_when="committed") as connect:
        committed = with_hl7(server, order_response="orl", ack_when="committed")
        async with connect() as sender:
            await sender.send(order.replace(b"|C1|", b"|C2|"))
            await run_when_stored(committed, 2)
            answer = (await sender.ack()).decode().split("\r")
    assert answer[1:3] == ["MSA|AA|C2", "ORC|OK|P7"]
