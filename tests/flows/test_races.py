"""Writers that race over several processes: one resource, every change, no fault.

Sizes are for a test run; SANGAM_RACE_SIZE=10 makes them ten times as large, and
SANGAM_RACE_SECONDS lets the last one go on for so long.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from flows.running import Running

JSON_PATCH = "application/json-patch+json"
SIZE = float(os.environ.get("SANGAM_RACE_SIZE", "1"))
SECONDS = float(os.environ.get("SANGAM_RACE_SECONDS", "8"))
CLIENTS = 50
pytestmark = [pytest.mark.timeout(300 + 10 * SECONDS), pytest.mark.xdist_group("server")]

Json = dict[str, Any]


class Answer(NamedTuple):
    status: int
    body: Json


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of four HTTP processes that lets one client ask as much as it likes."""
    server = Running(tmp_path_factory.mktemp("races") / "data")
    several = pytest.MonkeyPatch()
    for name in ("CLIENT_REQUESTS", "REQUESTS", "WRITES"):
        several.setenv(f"SANGAM_LIMITS__{name}", "100000")
    with several.context():
        server.start("--processes", "4")
    several.undo()
    yield server
    server.end()


class Client:
    """Each request on a connection of its own, so that all are under way at once."""

    def __init__(self, running: Running) -> None:
        self.port = running.port("http")

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        content = b"" if body is None else msgspec.json.encode(body)
        given = {
            "Host": "localhost",
            "Connection": "close",
            "Content-Type": "application/fhir+json",
            "Content-Length": str(len(content)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} /fhir{path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        answer, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return Answer(int(answer.split()[1]), msgspec.json.decode(rest) if rest else {})

    async def stored(self, place: str) -> Json:
        return (await self.ask("GET", f"/{place}")).body

    async def transaction(self, *entries: Json) -> Answer:
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        return await self.ask("POST", "", sent)


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running)


async def together(number: int, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Do all at once, in no order that the server could count on."""
    order = list(range(number))
    random.Random(number).shuffle(order)
    return await asyncio.gather(*(work(one) for one in order))


def patient(value: str, **more: Any) -> Json:
    identifier = [{"system": "urn:races", "value": value}]
    return {"resourceType": "Patient", "identifier": identifier, **more}


@pytest.mark.parametrize(("how", "number"), [("header", 1000), ("transaction", 250)])
async def test_simultaneous_conditional_creates_make_one_resource(
    client: Client, how: str, number: int
) -> None:
    criteria = f"identifier=urn:races|{how}"
    body = patient(how)

    async def create(_: int) -> tuple[int, str]:
        if how == "header":
            answer = await client.ask("POST", "/Patient", body, if_none_exist=criteria)
            return answer.status, answer.body["id"]
        request = {"method": "POST", "url": "Patient", "ifNoneExist": criteria}
        (entry,) = (await client.transaction({"resource": body, "request": request})).body["entry"]
        return int(entry["response"]["status"][:3]), entry["fullUrl"].rpartition("/")[2]

    answers = await together(int(number * SIZE), create)
    found = await client.stored(f"Patient?{criteria}&_total=accurate")
    assert found["total"] == 1
    assert Counter(answers) == {
        (201, found["entry"][0]["resource"]["id"]): 1,
        (200, found["entry"][0]["resource"]["id"]): len(answers) - 1,
    }


async def test_transactions_on_the_same_patients_lose_no_update(client: Client) -> None:
    """Each of 500 leaves its mark on five of 20 patients, in an order of its own."""
    places = [f"Patient/marked-{number}" for number in range(20)]
    for place in places:
        body = {"resourceType": "Patient", "id": place[8:], "identifier": [{"value": "first"}]}
        await client.ask("PUT", f"/{place}", body)
    dice = random.Random(1)
    chosen = [dice.sample(places, 5) for _ in range(int(500 * SIZE))]

    async def mark(number: int) -> int:
        entries = [_patch(place, {"value": f"mark-{number}"}) for place in chosen[number]]
        return (await client.transaction(*entries)).status

    assert Counter(await together(len(chosen), mark)) == {200: len(chosen)}
    for place in places:
        found = await client.stored(place)
        marks = sorted(one["value"] for one in found["identifier"][1:])
        expected = sorted(f"mark-{n}" for n, some in enumerate(chosen) if place in some)
        assert marks == expected
        assert found["meta"]["versionId"] == str(1 + len(expected))


def _patch(place: str, identifier: Json) -> Json:
    operations = [{"op": "add", "path": "/identifier/-", "value": identifier}]
    data = msgspec.json.encode(msgspec.json.encode(operations)).decode().strip('"')
    binary = {"resourceType": "Binary", "contentType": JSON_PATCH, "data": data}
    return {"resource": binary, "request": {"method": "PATCH", "url": place}}


async def test_of_parallel_updates_with_if_match_one_for_each_version_is_let_in(
    client: Client,
) -> None:
    """Ten rounds of 20 updates that all expect the same version."""
    await _update(client, 0, None)
    rounds, several = 10, int(20 * SIZE)
    for version in range(1, rounds + 1):
        answers = await together(several, lambda number: _update(client, number, version))  # noqa: B023
        assert Counter(answers) == {200: 1, 412: several - 1}
    history = await client.stored("Patient/versioned/_history?_count=1000")
    versions = [int(one["resource"]["meta"]["versionId"]) for one in history["entry"]]
    assert versions == list(range(rounds + 1, 0, -1))


async def _update(client: Client, number: int, version: int | None) -> int:
    body = {"resourceType": "Patient", "id": "versioned", "name": [{"text": f"{version}-{number}"}]}
    condition = {} if version is None else {"if_match": f'W/"{version}"'}
    return (await client.ask("PUT", "/Patient/versioned", body, **condition)).status


async def test_opposite_orders_of_locks_lose_nothing(client: Client) -> None:
    """50 clients create, count up, delete and refer to the same resources in any order."""
    names = [f"turn-{number}" for number in range(8)]
    done: Counter[str] = Counter()
    answers: Counter[int] = Counter()
    end = time.monotonic() + SECONDS

    async def turn(number: int) -> None:
        dice = random.Random(number)
        while time.monotonic() < end:
            some = dice.sample(names, 4)
            entries = [_patch(f"Basic/{name}", {"value": f"{number}"}) for name in some]
            entries += [_appearing(f"coming-{dice.randrange(20)}", dice.random() < 0.5)]
            entries += [_refers(dice.choice(names))]
            dice.shuffle(entries)
            status = (await client.transaction(*entries)).status
            answers[status] += 1
            if status == 200:
                done.update(some)

    for name in names:
        await client.ask("PUT", f"/Basic/{name}", _basic(name, identifier=[{"value": "first"}]))
    await asyncio.gather(*(turn(number) for number in range(CLIENTS)))
    assert {status for status in answers if status >= 500} == set()
    assert answers[200] > 0.9 * sum(answers.values())
    found = [len((await client.stored(f"Basic/{name}"))["identifier"]) - 1 for name in names]
    assert found == [done[name] for name in names]


def _basic(id_: str, **more: Any) -> Json:
    return {"resourceType": "Basic", "id": id_, "code": {"text": "race"}, **more}


def _appearing(id_: str, there: bool) -> Json:  # noqa: FBT001
    if there:
        return {"resource": _basic(id_), "request": {"method": "PUT", "url": f"Basic/{id_}"}}
    return {"request": {"method": "DELETE", "url": f"Basic/{id_}"}}


def _refers(name: str) -> Json:
    resource = _basic("ignored", subject={"reference": f"Basic/{name}"})
    return {"resource": resource, "request": {"method": "POST", "url": "Basic"}}
