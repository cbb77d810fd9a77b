import asyncio
import socket
from typing import Any

import pytest

from adapters.hl7.inbox.receive import Inbox
from adapters.hl7.mllp.listener import serve
from fhir_server.server import Server
from tests.adapters.hl7.conftest import Connect, Sender, listening

pytestmark = pytest.mark.anyio

REST = "\rPID|1||P1^^^H||Rao^Asha\rOBR|1||F1|X\rOBX|1|NM|A||1||||||F\r"


def oru(control_id: str = "C1", rest: str = REST, marks: str = "^~\\&") -> bytes:
    return f"MSH|{marks}|LIS|LAB|EHR|H|2026||ORU^R01|{control_id}|P|2.5.1{rest}".encode()


async def rows(server: Server, columns: str = "control_id, state, reason") -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def test_case_1_normal(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.send(oru())
        assert await sender.msa() == ["MSA", "AA", "C1"]
    assert await rows(server) == [("C1", "stored", None)]


async def test_case_2_three_messages_on_one_connection(connect: Connect) -> None:
    async with connect() as sender:
        for name in ("C1", "C2", "C3"):
            await sender.send(oru(name))
            assert await sender.msa() == ["MSA", "AA", name]


async def test_case_3_two_frames_in_one_packet_are_answered_in_order(connect: Connect) -> None:
    async with connect() as sender:
        await sender.put(b"\x0b" + oru("C1") + b"\x1c\r\x0b" + oru("C2") + b"\x1c\r")
        assert [await sender.msa(), await sender.msa()] == [
            ["MSA", "AA", "C1"],
            ["MSA", "AA", "C2"],
        ]


async def test_case_4_fs_and_cr_in_separate_packets(connect: Connect) -> None:
    async with connect() as sender:
        await sender.put(b"\x0b" + oru() + b"\x1c")
        await asyncio.sleep(0.05)
        await sender.put(b"\r")
        assert await sender.msa() == ["MSA", "AA", "C1"]
        assert await sender.is_silent()


async def test_case_5_pieces_of_seven_bytes(connect: Connect) -> None:
    stream = b"\x0b" + oru() + b"\x1c\r"
    async with connect() as sender:
        for at in range(0, len(stream), 7):
            await sender.put(stream[at : at + 7])
            await asyncio.sleep(0)
        assert await sender.msa() == ["MSA", "AA", "C1"]


async def test_case_6_blanks_between_frames(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.put(
            b"\r\n\x00\x0b" + oru("C1") + b"\x1c\r\r\n\x00\x0b" + oru("C2") + b"\x1c\r"
        )
        assert [(await sender.msa())[1:], (await sender.msa())[1:]] == [["AA", "C1"], ["AA", "C2"]]
    assert len(await rows(server)) == 2


async def test_case_7_fs_without_cr(connect: Connect) -> None:
    async with connect() as sender:
        await sender.put(b"\x0b" + oru() + b"\x1c")
        assert await sender.msa() == ["MSA", "AA", "C1"]
        await sender.put(b"\r")
        await sender.send(oru("C2"))
        assert await sender.msa() == ["MSA", "AA", "C2"]


async def test_case_8_vt_missing(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.put(oru() + b"\x1c\r")
        assert (await sender.msa())[:3] == ["MSA", "AR", "C1"]
        await sender.send(oru("C2"))
        assert await sender.msa() == ["MSA", "AA", "C2"]
    kept = await rows(server, "state, reason, raw")
    assert kept[0] == ("rejected", "FRAMING_NO_START", oru())


async def test_case_9_latin_1_without_msh_18(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.send(oru() + "NTE|1||Müller\r".encode("latin-1"))
        assert await sender.msa() == ["MSA", "AA", "C1"]
    assert await rows(server, "warnings") == [({"charset_guessed": 1},)]


async def test_case_10_truncation_character(connect: Connect) -> None:
    async with connect() as sender:
        await sender.send(oru(marks="^~\\&#"))
        assert await sender.msa() == ["MSA", "AA", "C1"]


@pytest.mark.parametrize(
    "rest", [REST.replace("\rOBR", "\r\rOBR"), REST.replace("\r", "\n")], ids=["11", "12"]
)
async def test_cases_11_and_12_empty_segment_and_lf(connect: Connect, rest: str) -> None:
    async with connect() as sender:
        await sender.send(oru(rest=rest))
        assert await sender.msa() == ["MSA", "AA", "C1"]


async def test_case_13_five_megabytes(connect: Connect, server: Server) -> None:
    message = oru() + b"OBX|2|ED|PDF||^^PDF^Base64^" + b"QUJD" * 1_250_000 + b"\r"
    async with connect() as sender:
        await sender.send(message)
        assert await sender.msa() == ["MSA", "AA", "C1"]
    assert await rows(server, "length(raw)") == [(len(message),)]


async def test_same_bytes_twice_are_one_row_and_one_answer(
    connect: Connect, server: Server
) -> None:
    async with connect() as sender:
        await sender.send(oru())
        first = await sender.ack()
        await sender.send(oru())
        assert await sender.ack() == first
    async with connect() as other:
        await other.put((b"\x0b" + oru() + b"\x1c\r") * 3)
        assert [await other.ack() for _ in range(3)] == [first] * 3
    assert len(await rows(server)) == 1


async def test_same_bytes_twice_in_one_commit_are_one_row(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.put((b"\x0b" + oru() + b"\x1c\r") * 5)
        acks = [await sender.ack() for _ in range(5)]
    assert len(set(acks)) == 1
    assert len(await rows(server)) == 1


async def test_same_control_id_with_other_bytes_is_taken_and_flagged(
    connect: Connect, server: Server
) -> None:
    async with connect() as sender:
        await sender.send(oru())
        await sender.ack()
        await sender.send(oru(rest=REST.replace("||1|", "||2|")))
        assert await sender.msa() == ["MSA", "AA", "C1"]
        many = b"".join(
            b"\x0b" + oru(rest=REST.replace("||1|", f"||{n}|")) + b"\x1c\r" for n in (3, 4)
        )
        await sender.put(many)
        await sender.ack()
        await sender.ack()
    flags = [w for (w,) in await rows(server, "warnings")]
    assert flags == [None, *[{"control_id_reused": 1}] * 3]


async def test_rejected_message_is_kept_and_answered_alike_again(
    connect: Connect, server: Server
) -> None:
    async with connect() as sender:
        message = oru(rest="\rOBR|1||F1|X\r")
        await sender.send(message)
        first = await sender.ack()
        assert b"\rMSA|AE|C1|" in first
        assert b"\rERR||PID^1|100^" in first
        await sender.send(message)
        assert await sender.ack() == first
    assert await rows(server, "state, reason, raw") == [("rejected", "NO_PATIENT_ID", message)]


async def test_stored_messages_leave_one_job(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        for n in range(5):
            await sender.send(oru(f"C{n}"))
            await sender.ack()
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, dedupe_key, state FROM job")
        assert await cursor.fetchall() == [("hl7.process", "inbox", "ready")]


async def test_rejected_messages_leave_no_job(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.send(b"hello")
        await sender.ack()
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM job")
        assert await cursor.fetchall() == [(0,)]


async def test_garbage_disturbs_nobody(connect: Connect, server: Server) -> None:
    async with connect() as vandal, connect() as sender:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\xff" * 100_000):
            await vandal.put(junk)
        await sender.send(oru())
        assert await sender.msa() == ["MSA", "AA", "C1"]
        await vandal.send(oru("C2"))
        assert await vandal.msa() == ["MSA", "AA", "C2"]
    assert ("FRAMING_NO_START", 4096) in await rows(server, "reason, length(raw)")


async def test_message_that_is_cut_is_kept_as_a_dead_letter(
    connect: Connect, server: Server
) -> None:
    async with connect() as sender:
        await sender.put(b"\x0b" + oru("C1")[:50] + b"\x0b" + oru("C2") + b"\x1c\r")
        assert await sender.msa() == ["MSA", "AA", "C2"]
    assert await rows(server, "state, reason") == [
        ("dead", "FRAMING_TRUNCATED"),
        ("stored", None),
    ]


async def test_hostile_text_in_a_message_is_kept(connect: Connect, server: Server) -> None:
    messages = [
        oru("C\x001"), oru("C" * 10_000), oru("C2", rest="\rPID|1||P\x00^^^H\rOBR|1\r"),
        oru("C3").replace(b"LIS", b"\xf0\x9f\x98\x80" * 100),
    ]  # fmt: skip
    async with connect() as sender:
        for message in messages:
            await sender.send(message)
            assert (await sender.msa())[1] == "AA"
    assert [raw for (raw,) in await rows(server, "raw")] == messages


async def test_oversize_message_is_rejected_and_the_connection_closed(server: Server) -> None:
    async with listening(server, max_message_bytes=1_000) as connect, connect() as sender:
        await sender.put(b"\x0b" + oru() + b"x" * 2_000)
        assert (await sender.msa())[:3] == ["MSA", "AR", "C1"]
        assert await sender.is_closed()
        async with connect() as other:
            await other.send(oru("C2"))
            assert await other.msa() == ["MSA", "AA", "C2"]
    assert (await rows(server))[0] == ("C1", "rejected", "OVERSIZE")


async def test_message_that_takes_too_long_is_refused_and_the_connection_closed(
    server: Server,
) -> None:
    begun = oru() + b"NTE|1||never end"
    async with listening(server, message_seconds=0.2) as connect, connect() as sender:
        await sender.put(b"\x0b" + begun)
        assert (await sender.msa())[:3] == ["MSA", "AR", "C1"]
        assert await sender.is_closed()
    # Without a control id: it is no message to be processed, nor to be met again.
    kept = await rows(server, "control_id, state, reason, raw")
    assert kept == [(None, "rejected", "FRAMING_TRUNCATED", begun)]


async def trickle(sender: Sender, data: bytes) -> None:
    for byte in data:
        await sender.put(bytes([byte]))
        await asyncio.sleep(0.05)


async def test_slow_bytes_do_not_extend_the_time_of_a_message(server: Server) -> None:
    async with listening(server, message_seconds=0.3) as connect, connect() as sender:
        with pytest.raises(ConnectionError):
            await trickle(sender, b"\x0b" + oru())


async def test_idle_connection_stays_unless_told(server: Server) -> None:
    async with listening(server, idle_seconds=0.1) as connect, connect() as sender:
        assert await sender.is_closed()


async def test_of_all_unfinished_messages_the_largest_makes_room(server: Server) -> None:
    """The sender that is refused may try again; the others, also the one that came last, go on."""
    long = oru("LONG") + b"NTE|1||" + b"x" * 6_000
    async with (
        listening(server, max_partial_bytes=10_000) as connect,
        connect() as large,
        connect() as small,
        connect() as last,
    ):
        await large.put(b"\x0b" + long)
        await small.put(b"\x0b" + oru("SMALL")[:-1])
        await asyncio.sleep(0.05)
        await last.put(b"\x0b" + oru("LAST") + b"NTE|1||" + b"x" * 5_000)
        refused = (await large.ack()).decode().split("\r")
        assert refused[1].split("|")[:3] == ["MSA", "AR", "LONG"]
        assert "send the message again later" in refused[2]
        assert await large.is_closed()
        await small.put(b"\r\x1c\r")
        assert await small.msa() == ["MSA", "AA", "SMALL"]
        await last.put(b"\r\x1c\r")
        assert await last.msa() == ["MSA", "AA", "LAST"]
    kept = await rows(server, "control_id, state, reason, length(raw)")
    assert kept[0] == ("LONG", "rejected", "OVERLOADED", len(long))
    assert {row[:2] for row in kept[1:]} == {("SMALL", "stored"), ("LAST", "stored")}


async def test_the_one_that_passes_the_room_is_refused_when_it_is_the_largest(
    server: Server,
) -> None:
    async with listening(server, max_partial_bytes=3_000) as connect, connect() as sender:
        await sender.put(b"\x0b" + oru("C1") + b"\x1c\r\x0b" + oru("C2") + b"x" * 4_000)
        assert await sender.msa() == ["MSA", "AA", "C1"]
        assert (await sender.msa())[:3] == ["MSA", "AR", "C2"]
        assert await sender.is_closed()
        async with connect() as again:
            await again.send(oru("C3"))
            assert await again.msa() == ["MSA", "AA", "C3"]


async def test_a_sender_that_goes_away_leaves_its_room(server: Server) -> None:
    begun = b"\x0b" + oru("C") + b"NTE|1||" + b"x" * 2_000
    async with listening(server, max_partial_bytes=3_000) as connect:
        for _ in range(2):
            async with connect() as sender:
                await sender.put(begun)
                sender.writer.write_eof()
                assert await sender.is_closed()
        async with connect() as sender:
            await sender.put(begun + b"\r\x1c\r")
            assert await sender.msa() == ["MSA", "AA", "C"]


async def test_messages_that_end_leave_their_room(server: Server) -> None:
    async with listening(server, max_partial_bytes=3_000) as connect, connect() as sender:
        for n in range(5):
            message = oru(f"C{n}") + b"NTE|1||" + b"x" * 2_000 + b"\r"
            await sender.put(b"\x0b" + message[:1_500])
            await asyncio.sleep(0.02)
            await sender.put(message[1_500:] + b"\x1c\r")
            assert await sender.msa() == ["MSA", "AA", f"C{n}"]


async def test_connections_are_limited_by_peer(server: Server) -> None:
    async with listening(server, max_connections_per_peer=1) as connect, connect() as sender:
        await sender.send(oru())
        await sender.ack()
        async with connect() as second:
            assert await second.is_closed()


async def test_shutdown_answers_whole_frames(server: Server) -> None:
    async with listening(server) as connect:
        sender_context = connect()
        sender = await sender_context.__aenter__()
        await sender.put(b"".join(b"\x0b" + oru(f"C{n}") + b"\x1c\r" for n in range(50)))
        assert await sender.msa() == ["MSA", "AA", "C0"]
    assert [(await sender.msa())[2] for _ in range(49)] == [f"C{n}" for n in range(1, 50)]
    assert await sender.is_closed()
    await sender_context.__aexit__(None, None, None)


async def test_storage_failure_is_silence_and_then_a_closed_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.hl7.mllp.listener._SILENCE_BEFORE_CLOSE", 0.3)
    async with server.database.statement() as connection:
        await connection.execute("ALTER TABLE hl7_message RENAME TO elsewhere")
    try:
        async with listening(server) as connect, connect() as sender:
            await sender.send(oru())
            assert await sender.is_closed()
    finally:
        async with server.database.statement() as connection:
            await connection.execute("ALTER TABLE elsewhere RENAME TO hl7_message")
    assert await rows(server) == []


async def test_storage_failure_can_be_a_rejection(server: Server) -> None:
    async with server.database.statement() as connection:
        await connection.execute("ALTER TABLE hl7_message RENAME TO elsewhere")
    try:
        async with listening(server, on_store_failure="reject") as connect, connect() as sender:
            await sender.send(oru())
            assert (await sender.msa())[:3] == ["MSA", "AR", "C1"]
    finally:
        async with server.database.statement() as connection:
            await connection.execute("ALTER TABLE elsewhere RENAME TO hl7_message")


async def test_reading_stops_while_too_much_is_unstored(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()
    store = Inbox._store  # noqa: SLF001  (the moment before the commit)

    async def slow(self: Inbox, group: Any) -> None:
        await go.wait()
        await store(self, group)

    monkeypatch.setattr(Inbox, "_store", slow)
    big = b"OBX|2|TX|T||" + b"x" * 100_000 + b"\r"
    async with listening(server, max_unstored_bytes=200_000) as connect, connect() as sender:
        writing = asyncio.create_task(
            sender.put(b"".join(b"\x0b" + oru(f"C{n}") + big + b"\x1c\r" for n in range(200)))
        )
        await asyncio.sleep(0.3)
        assert not writing.done()
        go.set()
        await writing
        assert [(await sender.msa())[2] for _ in range(200)] == [f"C{n}" for n in range(200)]


async def test_serve_ends_without_connections(server: Server) -> None:
    stop = asyncio.Event()
    stop.set()

    await asyncio.wait_for(serve(server, socket.create_server(("127.0.0.1", 0)), stop), 5)


async def test_enhanced_mode_accepts_on_storing(connect: Connect) -> None:
    message = oru().replace(b"|2.5.1", b"|2.5.1|||AL|NE")
    async with connect() as sender:
        await sender.send(message)
        assert await sender.msa() == ["MSA", "CA", "C1"]


async def test_enhanced_mode_can_be_silent(connect: Connect, server: Server) -> None:
    async with connect() as sender:
        await sender.send(oru().replace(b"|2.5.1", b"|2.5.1|||NE|NE"))
        assert await sender.is_silent()
    assert len(await rows(server)) == 1
