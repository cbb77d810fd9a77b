"""Analyzers ask for work, are given it, answer, and report (IHE LAW)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.law.follow import became
from adapters.hl7.law.serve import serve as follow_work
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.mllp.listener import serve
from adapters.hl7.outbound.serve import serve as send
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.queries.dialogue import dialogue
from fhir_server.audit.happening import EXPORTED
from fhir_server.audit.record import read
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.adapters.hl7.conftest import Sender, bound
from tests.adapters.hl7.outbound.destination import destination, fields, patient, put, told

PROFILE = """
version = "1"
[match]
applications = ["{name}"]
[law]
{law}
[[law.tests]]
code = "GLU"
display = "Glucose"
orders = ["2345-7^Glucose^LN"]
[[law.tests]]
code = "K"
orders = ["2823-3^Potassium^LN"]
{more}
"""
QUERY = (
    "MSH|^~\\&|{name}||SANGAM||20260110||QBP^Q11^QBP_Q11|{number}|P|2.5.1|||ER|AL|||||LAB-27^IHE\r"
    "QPD|{qpd}\rRCP|I||R\r"
)
RESULT = (
    "MSH|^~\\&|{name}||SANGAM||20260110||OUL^R22^OUL_R22|R{awos}{status}|P|2.5.1\r"
    "PID|1||N-p^^^&1.2.3&ISO\rSPM|1|S-1||SER\rSAC|||S-1\r"
    "OBR|1|{awos}^AWOS|F-{awos}|GLU^Glucose^L|||20260110080000+0000|||||||||||||||||{status}\r"
    "ORC|OK|{awos}^AWOS\rOBX|1|NM|GLU^Glucose^L||5.4|mmol/L|||||{status}\r"
)


def profile(place: Path, name: str = "CHEM", law: str = "", more: str = "") -> None:
    place.mkdir(exist_ok=True)
    (place / f"{name}.toml").write_text(PROFILE.format(name=name, law=law, more=more))


def order(number: int, code: str, **said: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": f"o{number}",
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/p"},
        "specimen": [{"reference": "Specimen/s"}],
        "authoredOn": "2026-01-10T07:00:00Z",
        **said,
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "profiles"


@pytest.fixture
async def stored(client: AsyncClient) -> None:
    await put(client, patient())
    await put(
        client,
        {
            "resourceType": "Specimen",
            "id": "s",
            "subject": {"reference": "Patient/p"},
            "identifier": [{"system": "urn:oid:1.9", "value": "S-1"}],
            "container": [{"identifier": [{"system": "urn:oid:1.8", "value": "R7^3"}]}],
        },
    )
    await put(client, order(1, "2345-7", priority="stat"))
    await put(client, order(2, "718-7"))  # which the analyzer does not do


Analyzer = Callable[[], Any]


@asynccontextmanager
async def working(server: Server, place: Path) -> AsyncIterator[Analyzer]:
    """Run a port that answers queries, and what follows work; yields how to connect."""
    there = told(server, place)
    sock, stop = bound(), asyncio.Event()
    tasks = [
        asyncio.create_task(serve(there, sock.dup(), stop, None, dialogue(there))),
        asyncio.create_task(follow_work(there, stop)),
        asyncio.create_task(send(there, stop)),
    ]
    address = sock.getsockname()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Sender]:
        reader, writer = await asyncio.open_connection(*address, limit=1 << 20)
        try:
            yield Sender(reader, writer)
        finally:
            writer.close()

    try:
        async with asyncio.timeout(15):
            await _until(there, "SELECT 1 FROM feed_reader WHERE name = 'hl7.law'")
        yield connect
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        sock.close()


async def _until(server: Server, query: str) -> None:
    """Wait until a query finds something."""
    while True:
        if await _query(server, query):
            return
        await asyncio.sleep(0.01)


async def _query(server: Server, query: str) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]


async def ask(one: Sender, qpd: str = "WOS^x^IHE_LABTF|T1|S-1", number: str = "Q1") -> list[str]:
    """Send a query; return the response and the message after it."""
    await one.send(QUERY.format(name="CHEM", number=number, qpd=qpd).encode())
    return [(await one.ack()).decode(), (await one.ack()).decode()]


def reply(message: str, code: str = "OK", msa: str = "AA") -> bytes:
    """Return ORL^O34 to a message, with a code for each step."""
    steps = [f"ORC|{code}|{orc[2]}\r" for orc in fields(message, "ORC") if len(orc) > 2]
    head = f"MSH|^~\\&|CHEM||SANGAM||20260110||ORL^O34^ORL_O42|A{id(steps)}|P|2.5.1\r"
    number = message.split("|")[9]
    return (head + f"MSA|{msa}|{number}\r" + "".join(steps)).encode()


async def steps(server: Server, expected: list[tuple[str, str]]) -> None:
    """Wait for the states of all steps, by analyzer, and of their Tasks."""
    query = "SELECT analyzer, state FROM hl7_awos ORDER BY analyzer, created_at, id"
    found: list[tuple[Any, ...]] = []
    try:
        async with asyncio.timeout(15):
            while True:
                found = await _query(server, query)
                if found == expected:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert found == expected


async def tasks(client: AsyncClient) -> list[str]:
    answer = await client.get("Task?_sort=_id")
    entries = json.decode(answer.content).get("entry", ())
    return sorted(one["resource"]["status"] for one in entries)


async def sent_of(server: Server) -> list[list[str]]:
    """Return what is recorded as sent to the analyzer."""
    rows = await _query(server, "SELECT said FROM audit_record ORDER BY position")
    found = [one for (said,) in rows for one in read(said) if one.happening == EXPORTED]
    assert {one.detail for one in found} <= {"HL7 v2 or ASTM to CHEM"}
    return [one.about for one in found]


async def test_a_query_is_answered_and_then_the_work_comes(
    stored: None, server: Server, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        response, message = await ask(one)
    assert fields(response, "MSH")[0][8] == "RSP^K11^RSP_K11"
    assert fields(response, "MSH")[0][20] == "LAB-27^IHE"
    assert fields(response, "MSA") == [["MSA", "AA", "Q1"]]
    assert fields(response, "QAK") == [["QAK", "T1", "OK", "WOS^x^IHE_LABTF"]]
    assert fields(response, "QPD") == [["QPD", "WOS^x^IHE_LABTF", "T1", "S-1"]]
    header = fields(message, "MSH")[0]
    assert [header[8], *header[14:16], header[20]] == [
        "OML^O33^OML_O33",
        "ER",
        "AL",
        "LAB-28^IHE",
    ]
    assert fields(message, "SAC") == [["SAC", "", "", "S-1"]]
    (orc,) = fields(message, "ORC")
    assert orc[1] == "NW"
    (obr,) = fields(message, "OBR")
    assert obr[2:5] == [orc[2], "", "GLU^Glucose^L"]
    assert await sent_of(server) == [["Patient/p", "ServiceRequest/o1"]]
    assert fields(message, "TQ1") == [["TQ1", "1", *[""] * 7, "S"]]


@pytest.mark.parametrize(
    "qpd",
    [
        pytest.param("WOS_ALL^x|T1", id="all"),
        pytest.param("WOS_BY_RACK^x|T1||R7|3", id="rack"),
        pytest.param("WOS_BY_TRAY^x|T1||||R7|3", id="tray"),
        pytest.param("WOS_BY_ISOLATE^x|T1|||||||S-1", id="isolate"),
    ],
)
async def test_work_is_found_by_each_kind_of_query(
    stored: None, server: Server, place: Path, qpd: str
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, message = await ask(one, qpd)
    assert [orc[1] for orc in fields(message, "ORC")] == ["NW"]
    assert fields(message, "SAC")[0][3] == "S-1"


async def test_without_work_the_message_says_dc(stored: None, server: Server, place: Path) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        response, message = await ask(one, "WOS^x|T1|S-9")
    assert fields(response, "QAK")[0][2] == "OK"
    segments = [line.split("|")[0] for line in message.strip("\r").split("\r")]
    assert segments == ["MSH", "SPM", "SAC", "ORC"]
    assert fields(message, "ORC") == [["ORC", "DC"]]


async def test_a_query_that_cannot_be_understood_is_an_error(server: Server, place: Path) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        await one.send(QUERY.format(name="CHEM", number="Q1", qpd="WOS^x|T1").encode())
        response = (await one.ack()).decode()
    assert fields(response, "MSA")[0][:3] == ["MSA", "AE", "Q1"]
    assert fields(response, "QAK")[0][2] == "AE"


@pytest.mark.parametrize(
    ("code", "msa", "state", "task"),
    [
        pytest.param("OK", "AA", "accepted", "accepted", id="OK"),
        pytest.param("UA", "AA", "rejected", "rejected", id="UA"),
        pytest.param("UA", "AR", "rejected", "rejected", id="unknown_container"),
    ],
)
async def test_the_answer_to_work_moves_its_task(
    stored: None,
    server: Server,
    client: AsyncClient,
    place: Path,
    code: str,
    msa: str,
    state: str,
    task: str,
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, message = await ask(one)
        await one.send(reply(message, code, msa))
        await steps(server, [("CHEM", state)])
    assert await tasks(client) == [task]


async def test_work_that_was_accepted_is_not_given_again_and_numbers_never_return(
    stored: None, server: Server, client: AsyncClient, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, first = await ask(one)
        await one.send(reply(first))
        await steps(server, [("CHEM", "accepted")])
        _, second = await ask(one, number="Q2")
        assert fields(second, "ORC") == [["ORC", "DC"]]
        await one.send(reply(second))
        await put(client, order(3, "2823-3"))
        _, third = await ask(one, number="Q3")
    numbers = [fields(message, "ORC")[0][2] for message in (first, third)]
    assert len(set(numbers)) == 2
    assert fields(third, "OBR")[0][4] == "K^^L"


async def test_what_was_not_answered_goes_out_again_as_it_was_on_the_next_connection(
    stored: None, server: Server, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect:
        async with connect() as one:
            _, first = await ask(one)
        async with connect() as one:
            _, second = await ask(one, number="Q2")
            await one.send(reply(second))
            await steps(server, [("CHEM", "accepted")])
    assert first == second


async def test_an_answer_that_was_stored_and_not_read_is_read_at_the_next_start(
    stored: None, server: Server, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, message = await ask(one)
    there = told(server, place)
    await agreements(there).refresh()
    known, now = agreements(there).profiles, datetime.now(UTC)
    frame = Frame(Kind.WHOLE, reply(message))
    origin = Origin("mllp")
    kept = examine(frame, there.settings.hl7, now, origin=origin, profiles=known, dialogue=True)
    await store(server.database, "mllp", [(kept, "x")])
    async with working(server, place):
        await steps(server, [("CHEM", "accepted")])


async def results(server: Server, place: Path) -> None:
    """Take the result that has come into the store."""
    there = told(server, place)
    async with asyncio.timeout(15):
        await _until(there, "SELECT 1 FROM hl7_message WHERE state = 'stored'")
    await process.run(there, {})


async def test_a_result_completes_the_step_and_ends_it_on_other_analyzers(
    stored: None, server: Server, client: AsyncClient, place: Path
) -> None:
    profile(place)
    async with destination() as there:
        own = f'[outbound]\naddress = "127.0.0.1:{there.port}"'
        profile(place, "OTHER", 'orders_via = "own"\ndownload = true', own)
        async with working(server, place) as connect, connect() as one:
            _, message = await ask(one)
            await one.send(reply(message))
            # The other one is sent new work without asking.
            await put(client, order(1, "2345-7", priority="asap"))
            (given,) = await there.until(1)
            await steps(server, [("CHEM", "accepted"), ("OTHER", "accepted")])
            number = fields(message, "ORC")[0][2].partition("^")[0]
            for status, states in (
                ("P", ("in-progress", "accepted")),
                ("F", ("completed", "cancelled")),
            ):
                result = RESULT.format(name="CHEM", awos=number, status=status)
                await one.send(result.encode())
                assert (await one.msa())[1] == "AA"
                await results(server, place)
                await steps(server, [("CHEM", states[0]), ("OTHER", states[1])])
            await one.send(result.encode())  # a repeated one is never refused
            assert (await one.msa())[1] == "AA"
            taken = (await there.until(2))[1]
    assert fields(taken, "ORC")[0][1:3] == ["CA", fields(given, "ORC")[0][2]]
    assert await tasks(client) == ["cancelled", "completed"]
    found = json.decode((await client.get("Observation?based-on=ServiceRequest/o1")).content)
    assert [str(one["resource"]["valueQuantity"]["value"]) for one in found["entry"]] == ["5.4"]


async def test_an_order_that_is_withdrawn_is_taken_back_unless_the_analyzer_cannot(
    stored: None, server: Server, client: AsyncClient, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, message = await ask(one)
        await one.send(reply(message))
        await steps(server, [("CHEM", "accepted")])
        await put(client, order(1, "2345-7", status="revoked"))
        await steps(server, [("CHEM", "cancelling")])
        await one.send(QUERY.format(name="CHEM", number="Q2", qpd="WOS^x|T|S-9").encode())
        await one.ack()
        taken = (await one.ack()).decode()
        assert fields(taken, "ORC")[0][1:3] == ["CA", fields(message, "ORC")[0][2]]
        await one.send(reply(taken, "UC"))
        await steps(server, [("CHEM", "in-progress")])


async def test_an_order_that_is_deleted_is_taken_back(
    stored: None, server: Server, client: AsyncClient, place: Path
) -> None:
    profile(place)
    async with working(server, place) as connect, connect() as one:
        _, message = await ask(one)
        await one.send(reply(message))
        await steps(server, [("CHEM", "accepted")])
        (task,) = json.decode((await client.get("Task")).content)["entry"]
        urls = (f"Task/{task['resource']['id']}", "ServiceRequest/o1")
        entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert (await client.post("", json=bundle)).status_code == 200
        await steps(server, [("CHEM", "cancelling")])
        await one.send(QUERY.format(name="CHEM", number="Q2", qpd="WOS^x|T|S-9").encode())
        await one.ack()
        taken = (await one.ack()).decode()
    assert fields(taken, "ORC")[0][1:3] == ["CA", fields(message, "ORC")[0][2]]


@pytest.mark.parametrize(
    ("state", "told_", "well", "again", "expected"),
    [
        ("requested", "accepted", True, False, "accepted"),
        ("requested", "rejected", True, False, "rejected"),
        ("requested", None, True, False, "accepted"),
        ("requested", None, False, False, "rejected"),
        ("requested", "rejected", True, True, "accepted"),
        ("cancelling", "cancelled", True, False, "cancelled"),
        ("cancelling", "in-progress", True, False, "in-progress"),
        ("cancelling", None, True, False, "cancelled"),
        ("cancelling", None, False, False, "in-progress"),
        ("completed", "accepted", True, False, "completed"),
    ],
)
def test_the_state_of_a_step_follows_from_what_is_said(
    state: str, told_: Any, *, well: bool, again: bool, expected: str
) -> None:
    assert became(state, told_, well=well, again=again) == expected
