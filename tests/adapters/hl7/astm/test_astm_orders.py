"""Host queries answered from the orders in the store, and orders sent without being asked."""

import asyncio
import base64
import dataclasses
import socket
from collections.abc import AsyncIterator
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from adapters.hl7 import recorded
from adapters.hl7.astm import connection, downloads
from adapters.hl7.laboratory import specimen_orders
from adapters.hl7.profiles.read import Loaded, read
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import (
    ACK,
    ENQ,
    EOT,
    NAK,
    Analyzer,
    Connect,
    inbox,
    lines,
    with_settings,
)
from tests.cluster import no_others

QUERY = b"H|\\^&|||Maker^Model|||||||P|LIS2-A2|20260110080000\rQ|1|^S-1||ALL||||||||O\rL|1|N\r"
PROFILE = """
version = "1"
{match}
[astm]
{astm}
[[law.tests]]
code = "GLU"
orders = ["2345-7^Glucose^LN"]
[[law.tests]]
code = "K"
orders = ["K-7"]
"""


def order(number: int, code: dict[str, str], **said: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": f"order-{number}",
        "status": "active",
        "intent": "order",
        "code": {"coding": [code]},
        "subject": {"reference": "Patient/p"},
        "specimen": [{"reference": "Specimen/s"}],
        "authoredOn": "2026-01-10T07:00:00Z",
        **said,
    }


GLUCOSE = {"system": "http://loinc.org", "code": "2345-7"}
POTASSIUM = {"system": "http://lis.example", "code": "K-7"}


@pytest.fixture
async def stored(client: AsyncClient) -> None:
    await put(
        client,
        {
            "resourceType": "Patient",
            "id": "p",
            "identifier": [{"system": "http://h.example/mrn", "value": "4711"}],
            "name": [{"family": "Rao|X", "given": ["Asha"]}],
            "birthDate": "1980-01-15",
            "gender": "female",
        },
    )
    await put(
        client,
        {
            "resourceType": "Specimen",
            "id": "s",
            "identifier": [{"system": "http://lis.example", "value": "S-1"}],
            "type": {"coding": [{"code": "SER"}]},
            "collection": {"collectedDateTime": "2026-01-10T06:30:00Z"},
        },
    )


async def put(client: AsyncClient, resource: dict[str, Any]) -> None:
    answer = await client.put(
        f"{resource['resourceType']}/{resource['id']}",
        content=json.encode(resource),
        headers={"Content-Type": "application/fhir+json"},
    )
    assert answer.status_code in {200, 201}, answer.text


def without_time(message: bytes) -> list[str]:
    """Return the records, the first without control id and time."""
    header, *others = message.decode().rstrip("\r").split("\r")
    fields = header.split("|")
    fields[2] = fields[-1] = "*"
    return ["|".join(fields), *others]


HEADER = "H|\\^&|*||Sangam|||||||P|LIS2-A2|*"
PATIENT = "P|1|4711|||Rao&F&X^Asha||19800115|F"


async def test_a_query_is_answered_with_the_active_orders_of_the_specimen(
    stored: None, client: AsyncClient, connect: Connect
) -> None:
    await put(client, order(1, GLUCOSE, priority="stat"))
    await put(client, order(2, POTASSIUM, priority="stat"))
    await put(client, order(3, {"code": "old"}, status="completed"))
    async with connect() as one:
        await one.send(QUERY)
        assert without_time(await one.take()) == [
            HEADER,
            PATIENT,
            "O|1|S-1||^^^2345-7\\^^^K-7|S|20260110070000|20260110063000||||N||||SER||||||||||Q",
            "L|1|N",
        ]


async def test_a_query_without_work_is_answered_with_i(
    stored: None, server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(QUERY)
        assert without_time(await one.take()) == [HEADER, "L|1|I"]
    assert [(row[0], row[2]) for row in await inbox(server, 1)] == [("done", "Q")]


async def test_only_the_tests_that_were_asked_for_are_answered(
    stored: None, client: AsyncClient, connect: Connect
) -> None:
    await put(client, order(1, GLUCOSE))
    await put(client, order(2, POTASSIUM))
    async with connect() as one:
        await one.send(QUERY.replace(b"||ALL|", b"||^^^K-7|"))
        records = without_time(await one.take())
    assert [record.split("|")[4] for record in records if record[0] == "O"] == ["^^^K-7"]


async def test_orders_of_another_patient_than_the_query_names_are_not_answered(
    stored: None, client: AsyncClient, connect: Connect
) -> None:
    await put(client, order(1, GLUCOSE))
    async with connect() as one:
        await one.send(QUERY.replace(b"^S-1", b"4712^S-1"))
        assert without_time(await one.take()) == [HEADER, "L|1|I"]


async def test_a_query_that_is_taken_back_is_not_answered(
    stored: None, server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(QUERY.replace(b"|O\r", b"|A\r"))
        await one.send(QUERY)
        assert without_time(await one.take()) == [HEADER, "L|1|I"]
        assert len(await inbox(server, 2)) == 2


async def test_a_session_that_begins_meanwhile_goes_before_the_answer(
    stored: None, server: Server, connect: Connect
) -> None:
    async with connect() as one:
        await one.send(QUERY)
        assert await one.hear(1) == ENQ
        # Both want the line: the analyzer goes first, one second later.
        one.writer.write(ENQ)
        assert await one.say(ENQ) == ACK
        one.writer.write(EOT)


async def test_more_queries_than_may_wait_are_not_answered(
    stored: None, server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MOST_WAITING", 1)
    async with connect() as one:
        await one.send(QUERY.replace(b"L|1|N", b"Q|2|^S-2||ALL||||||||O\rL|1|N"))
        assert without_time(await one.take()) == [HEADER, "L|1|I"]
        await one.send(QUERY)
        assert without_time(await one.take()) == [HEADER, "L|1|I"]
        assert await one.say(ENQ) == ACK  # nothing else waits to be sent
        one.writer.write(EOT)


async def test_a_query_that_names_too_much_is_answered_as_failed(
    stored: None, client: AsyncClient, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MOST_NAMED", 1)
    await put(client, order(1, GLUCOSE))
    async with connect() as one:
        await one.send(QUERY.replace(b"^S-1", b"^S-1\\^S-2"))
        assert without_time(await one.take()) == [HEADER, "L|1|Q"]


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    place = tmp_path / "profiles"
    place.mkdir()
    return place


async def test_only_tests_that_the_analyzer_does_are_answered_in_its_codes(
    stored: None, client: AsyncClient, server: Server, profiles: Path
) -> None:
    said = PROFILE.format(match='match.applications = ["Maker"]', astm='query = "answer"')
    (profiles / "maker.toml").write_text(said)
    await put(client, order(1, GLUCOSE))
    await put(client, order(2, POTASSIUM))
    await put(client, order(3, {"code": "HIV"}))
    there = with_settings(server, hl7={"profiles_dir": str(profiles)})
    async with lines(there) as connect, connect() as one:
        await one.send(QUERY)
        records = without_time(await one.take())
    assert [record.split("|")[4] for record in records if record[0] == "O"] == ["^^^GLU\\^^^K"]


@pytest.fixture
async def analyzer(profiles: Path) -> AsyncIterator["asyncio.Queue[Analyzer]"]:
    """An analyzer that listens, and the connections that came to it."""
    came: asyncio.Queue[Analyzer] = asyncio.Queue()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await came.put(Analyzer(reader, writer))

    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    said = PROFILE.format(match="", astm=f'role = "client"\naddress = "127.0.0.1:{port}"')
    (profiles / "bench.toml").write_text(said)
    listening = await asyncio.start_server(accepted, sock=sock)
    yield came
    listening.close()


async def next_of(came: "asyncio.Queue[Analyzer]") -> Analyzer:
    async with asyncio.timeout(20):
        return await came.get()


async def queue(server: Server) -> list[tuple[Any, ...]]:
    query = "SELECT reference, action, state, attempts FROM hl7_astm_order ORDER BY id"
    async with server.database.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def settled(server: Server, expected: list[tuple[Any, ...]]) -> None:
    async with asyncio.timeout(20):
        while True:
            if await queue(server) == expected:
                return
            await asyncio.sleep(0.01)


async def watching(server: Server) -> None:
    """Wait until the first look: what is ordered later is sent."""
    async with asyncio.timeout(20):
        while True:
            async with server.database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT 1 FROM feed_reader WHERE name = 'hl7.astm'"
                )
                if await cursor.fetchone():
                    return
            await asyncio.sleep(0.01)


async def test_results_of_an_analyzer_that_listens_are_taken(
    server: Server, profiles: Path, analyzer: "asyncio.Queue[Analyzer]"
) -> None:
    there = with_settings(server, hl7={"profiles_dir": str(profiles)})
    async with lines(there):
        one = await next_of(analyzer)
        await one.send(b"H|\\^&\rP|1|1\rO|1|S\rR|1|^^^K|4|||||F\rL|1|N\r")
        assert [(row[0], row[4]) for row in await inbox(server, 1)] == [("stored", "bench")]
        one.writer.close()


async def test_new_orders_are_sent_once_and_withdrawn_ones_are_cancelled(
    stored: None,
    client: AsyncClient,
    server: Server,
    profiles: Path,
    analyzer: "asyncio.Queue[Analyzer]",
) -> None:
    there = with_settings(
        server,
        astm={"download": ("bench",), "poll_seconds": 0.05},
        hl7={"profiles_dir": str(profiles)},
    )
    async with lines(there):
        one = await next_of(analyzer)
        await watching(server)
        await put(client, order(1, GLUCOSE))
        await put(client, order(2, {"code": "unknown to it"}))
        line = "O|1|S-1||^^^GLU|R|20260110070000|20260110063000||||N||||SER||||||||||O"
        assert without_time(await one.take())[1:] == [PATIENT, line, "L|1|N"]
        await settled(server, [("ServiceRequest/order-1", "N", "sent", 1)])
        # A change of an order that was sent is no new order.
        await put(client, order(1, GLUCOSE, priority="stat"))
        await put(client, order(3, POTASSIUM))
        assert b"^^^K|" in await one.take()
        await put(client, order(1, GLUCOSE, status="revoked"))
        cancelled = line.replace("|N|", "|C|")
        assert without_time(await one.take())[1:] == [PATIENT, cancelled, "L|1|N"]
        one.writer.close()


async def test_order_that_is_deleted_is_cancelled(
    stored: None,
    client: AsyncClient,
    server: Server,
    profiles: Path,
    analyzer: "asyncio.Queue[Analyzer]",
) -> None:
    there = with_settings(
        server,
        astm={"download": ("bench",), "poll_seconds": 0.05},
        hl7={"profiles_dir": str(profiles)},
    )
    async with lines(there):
        one = await next_of(analyzer)
        await watching(server)
        await put(client, order(1, GLUCOSE))
        *_, line, _ = without_time(await one.take())
        await settled(server, [("ServiceRequest/order-1", "N", "sent", 1)])
        assert (await client.delete("/ServiceRequest/order-1")).status_code < 300
        cancelled = line.replace("|N|", "|C|")
        assert without_time(await one.take())[1:] == [PATIENT, cancelled, "L|1|N"]
        one.writer.close()


async def test_an_order_that_is_not_taken_is_sent_again_with_the_same_bytes(
    stored: None,
    client: AsyncClient,
    server: Server,
    profiles: Path,
    analyzer: "asyncio.Queue[Analyzer]",
) -> None:
    there = with_settings(
        server,
        astm={"download": ("bench",), "poll_seconds": 0.05},
        hl7={"profiles_dir": str(profiles)},
    )
    async with lines(there):
        one = await next_of(analyzer)
        await watching(server)
        await put(client, order(1, GLUCOSE))
        assert await one.hear(1) == ENQ
        one.writer.write(ACK)
        async with asyncio.timeout(20):
            first = await one.reader.readuntil(b"\r\n")
        for _ in range(5):
            one.writer.write(NAK)
            assert await one.reader.readexactly(len(first)) == first
        one.writer.write(NAK)
        assert await one.hear(1) == EOT
        one.writer.close()
        again = await next_of(analyzer)
        message = await again.take()
        assert message.startswith(first[2:-5])
        await settled(server, [("ServiceRequest/order-1", "N", "sent", 2)])
        again.writer.close()


async def test_no_order_is_forgotten_however_many_come_at_once(
    stored: None, client: AsyncClient, server: Server
) -> None:
    said = PROFILE.format(match="", astm='role = "server"')
    analyzers: list[tuple[Loaded, tzinfo]] = [(read("bench.toml", said.encode()), UTC)]
    await downloads.look(server, analyzers)
    orders = [order(n, GLUCOSE) for n in range(specimen_orders.MOST + 1)]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"ServiceRequest/{one['id']}"}}
        for one in orders
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert (await client.post("", json=bundle)).status_code == 200
    await no_others(server.database)
    while await downloads.look(server, analyzers):
        pass
    expected = {f"ServiceRequest/{one['id']}" for one in orders}
    assert {row[0] for row in await queue(server)} == expected


@pytest.mark.parametrize("demo", [pytest.param(True, id="known"), pytest.param(False, id="nobody")])
async def test_a_query_is_recorded_and_nobody_unknown_is_told_orders(
    server: Server, client: AsyncClient, stored: None, *, demo: bool
) -> None:
    await put(client, order(1, GLUCOSE))
    own = dataclasses.replace(server, settings=server.settings.model_copy(update={"demo": demo}))
    async with lines(own) as connect, connect() as analyzer:
        await analyzer.send(QUERY)
        answer = (await analyzer.take()).decode().rstrip("\r").split("\r")
    assert [line[0] for line in answer] == (["H", "P", "O", "L"] if demo else ["H", "L"])
    assert answer[-1] == ("L|1|N" if demo else "L|1|Q")
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT said FROM audit_record ORDER BY position")
        rows = await cursor.fetchall()
    found = [json.decode(one.encode()) for row in rows for one in row[0].splitlines()]
    (said,) = [one for one in found if one["code"] == "astm-query"]
    assert base64.b64decode(said["asked"]) == QUERY.split(b"\r")[1]
    told = [["ServiceRequest", "order-1", 0]] if demo else None
    assert (said.get("places"), said.get("outcome", 0)) == (told, 0 if demo else 4)


async def test_orders_that_cannot_be_recorded_are_not_told(
    connect: Connect, client: AsyncClient, stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise psycopg.OperationalError

    await put(client, order(1, GLUCOSE))
    monkeypatch.setattr(recorded, "keep", away)
    async with connect() as analyzer:
        await analyzer.send(QUERY)
        answer = (await analyzer.take()).decode().rstrip("\r").split("\r")
    assert [line[0] for line in answer] == ["H", "L"]
