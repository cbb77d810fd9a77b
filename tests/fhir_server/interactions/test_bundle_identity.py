"""Which resource each entry of a transaction is about, and in which order it does not matter."""

import random
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from fhir_server.caller import trusted
from fhir_server.config import Settings, WriteSettings
from fhir_server.errors import PreconditionFailed
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

from .asking import (
    URN,
    Json,
    count,
    entry,
    identified,
    observation,
    patient,
    places,
    put,
    refusal,
    send,
    statuses,
    stored,
)

CALLER = trusted("test", "rest")
MINE = "identifier=urn:s|1"


@pytest.fixture
async def present(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of a server that has Patient/p with the identifier 1."""
    await put(client, identified("1", id="p"))
    return client


OVERLAPS = {
    "put+delete": [
        entry("PUT", "Patient/p", identified("1", id="p")),
        entry("DELETE", "Patient/p"),
    ],
    "put+put": [
        entry("PUT", "Patient/p", patient(id="p", active=True)),
        entry("PUT", "Patient/p", patient(id="p", active=True)),
    ],
    "put+conditional put": [
        entry("PUT", "Patient/p", identified("1", id="p")),
        entry("PUT", f"Patient?{MINE}", identified("1")),
    ],
    "conditional put+conditional delete": [
        entry("PUT", f"Patient?{MINE}", identified("1")),
        entry("DELETE", "Patient?_id=p"),
    ],
    "patch+put": [
        entry("PATCH", "Patient/p", {"resourceType": "Parameters"}),
        entry("PUT", "Patient/p", identified("1", id="p")),
    ],
    "conditional create that finds+delete": [
        entry("POST", "Patient", identified("1"), ifNoneExist=MINE),
        entry("DELETE", "Patient/p"),
    ],
    "conditional create that finds+put": [
        entry("POST", "Patient", identified("1"), ifNoneExist=MINE),
        entry("PUT", "Patient/p", patient(id="p")),
    ],
    "conditional create+conditional put, nothing there": [
        entry("POST", "Patient", identified("2"), ifNoneExist="identifier=urn:s|2"),
        entry("PUT", "Patient?identifier=urn:s|2", identified("2")),
    ],
    "conditional put twice, nothing there": [
        entry("PUT", "Patient?identifier=urn:s|2", identified("2", id="a")),
        entry("PUT", "Patient?identifier=urn:s|2", identified("2", id="b")),
    ],
    "equal fullUrl": [
        entry("POST", "Patient", patient(), fullUrl=URN),
        entry("POST", "Patient", patient(), fullUrl=URN),
    ],
    "equal fullUrl and versionId": [
        entry("POST", "Patient", patient(meta={"versionId": "3"}), fullUrl=URN),
        entry("POST", "Patient", patient(meta={"versionId": "3"}), fullUrl=URN),
    ],
    "equal fullUrl of a read": [
        entry("GET", "Patient/p", fullUrl="http://a.org/Patient/p"),
        entry("PUT", "Patient/p", identified("1", id="p"), fullUrl="http://a.org/Patient/p"),
    ],
}


@pytest.mark.parametrize("entries", OVERLAPS.values(), ids=OVERLAPS)
async def test_overlap_of_identity_is_400_in_either_order(
    present: httpx.AsyncClient, entries: list[Json]
) -> None:
    for order in (entries, entries[::-1]):
        response = await send(present, "transaction", *order)
        assert (refusal(response)[0], refusal(response)[1]) == (400, "invalid")
    assert await count(present, "Patient") == 1


async def test_versions_of_one_full_url_are_told_apart(client: httpx.AsyncClient) -> None:
    url = "http://a.org/Patient/p"
    response = await send(
        client,
        "transaction",
        entry("POST", "Patient", patient(meta={"versionId": "1"}), fullUrl=url),
        entry("POST", "Patient", patient(meta={"versionId": "2"}), fullUrl=url),
        entry("POST", "Observation", observation(f"{url}/_history/2")),
        entry("POST", "Observation", observation(url)),
    )
    _, second, third, fourth = places(response)
    assert (await stored(client, third))["subject"] == {"reference": second}
    assert (await stored(client, fourth))["subject"] == {"reference": url}


async def test_equal_conditional_creates_are_pointed_to_alike(client: httpx.AsyncClient) -> None:
    other = "urn:uuid:11111111-6a3e-4c58-9a55-2f9b1c0d1e2f"
    response = await send(
        client,
        "transaction",
        entry("POST", "Patient", identified("1"), ifNoneExist=MINE, fullUrl=URN),
        entry("POST", "Patient", identified("1"), ifNoneExist=f"{MINE}&", fullUrl=other),
        entry("POST", "Observation", observation(URN)),
        entry("POST", "Observation", observation(other)),
    )
    found = places(response)
    subjects = [(await stored(client, one))["subject"]["reference"] for one in found[2:]]
    assert subjects == [found[0]] * 2 == [found[1]] * 2
    assert await count(client, "Patient") == 1


@pytest.mark.parametrize("first", [0, 1])
async def test_which_of_equal_conditional_creates_is_stored_does_not_depend_on_order(
    client: httpx.AsyncClient, first: int
) -> None:
    entries = [
        entry("POST", "Patient", identified("1", gender=gender), ifNoneExist=MINE)
        for gender in ("male", "female")
    ]
    response = await send(client, "transaction", entries[first], entries[1 - first])
    assert sorted(statuses(response)) == ["200", "201"]
    assert (await stored(client, places(response)[0]))["gender"] == "female"


# The order of entries.


def shuffled() -> list[Json]:
    """Entries that create, change, delete and read, and refer to one another in every way."""
    two, three = (f"urn:uuid:{digit * 8}-6a3e-4c58-9a55-2f9b1c0d1e2f" for digit in "23")
    family = {"name": [{"family": "Rao"}]}
    return [
        entry("POST", "Patient", patient(**family, generalPractitioner=[{"reference": two}])),
        entry("POST", "Practitioner", {"resourceType": "Practitioner"}, fullUrl=two),
        entry("PUT", "Patient/kept", identified("kept", id="kept"), fullUrl=three),
        entry("POST", "Observation", observation("Patient?family=Rao")),
        entry(
            "POST", "Observation", observation("Patient?identifier=urn:s|kept", status="amended")
        ),
        entry("DELETE", "Patient/gone"),
        entry("GET", "Patient?family=Rao&_elements=name"),
        entry("GET", "Patient/kept"),
        entry("POST", "Patient", identified("c"), ifNoneExist="identifier=urn:s|c", fullUrl=URN),
        entry("POST", "Encounter", _encounter(URN)),
        entry("PUT", "Patient?identifier=urn:s|u", identified("u", link=_links(three))),
    ]


def _encounter(subject: str) -> Json:
    return {
        "resourceType": "Encounter",
        "status": "planned",
        "class": {"code": "AMB"},
        "subject": {"reference": subject},
    }


def _links(other: str) -> list[Json]:
    return [{"other": {"reference": other}, "type": "seealso"}]


async def told(server: Server, order: list[int]) -> list[tuple[int, str]]:
    """Return each entry's status and text, its ids as names, of a transaction that is undone."""
    given = shuffled()
    entries = [_entry(given[place]) for place in order]
    async with (
        server.database.transaction() as connection,
        connection.transaction(force_rollback=True),
    ):
        outcomes = await transaction(server, connection, CALLER, entries)
    by_place = dict(zip(order, outcomes, strict=True))
    names = {one.id: f"entry-{place}" for place, one in by_place.items() if len(one.id) == 36}
    return [(one.status, _text(one, names)) for _, one in sorted(by_place.items())]


def _entry(given: Json) -> Entry:
    request = given["request"]
    return Entry(
        request["method"],
        request["url"],
        given.get("resource"),
        full_url=given.get("fullUrl"),
        if_none_exist=request.get("ifNoneExist"),
    )


def _text(one: Outcome, names: dict[str, str]) -> str:
    if one.body is None:
        return ""
    data = msgspec.json.decode(one.body)
    for resource in [data, *(e["resource"] for e in data.get("entry", ()))]:
        resource.get("meta", {}).pop("lastUpdated", None)
    text = msgspec.json.encode(data).decode()
    for id_, name in names.items():
        text = text.replace(id_, name)
    return text


async def test_any_order_of_entries_gives_the_same(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, patient(id="gone", name=[{"family": "Rao"}]))
    await put(client, identified("u", id="u"))
    numbers = list(range(len(shuffled())))
    expected = await told(server, numbers)
    assert [status for status, _ in expected] == [
        *(201, 201, 201, 201, 201, 204, 200, 200, 201, 201, 200)
    ]
    dice = random.Random(20260301)
    for _ in range(40):
        dice.shuffle(numbers)
        assert await told(server, numbers) == expected


# All or nothing.

FAILING: dict[str, Json] = {
    "invalid": entry("POST", "Patient", patient(gender="none")),
    "dangling": entry("POST", "Observation", observation("Patient/nobody")),
    "urn": entry("POST", "Observation", observation("urn:uuid:" + "9" * 36)),
    "no match": entry("POST", "Observation", observation("Patient?family=Nobody")),
    "precondition": entry("PUT", "Patient/p", identified("1", id="p"), ifMatch='W/"9"'),
    "referred to": entry("DELETE", "Patient/p"),
    "patch": entry("PATCH", "Patient/p", {"resourceType": "Basic"}),
    "read": entry("GET", "Patient/nobody"),
    "search": entry("GET", "Patient?nonsense=1"),
}


@pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING)
async def test_failure_of_the_last_entry_leaves_no_row(
    client: httpx.AsyncClient, database_url: str, failing: Json
) -> None:
    await put(client, identified("1", id="p"))
    await put(client, observation("Patient/p", id="o", valueQuantity={"value": 1.5}))
    await put(client, observation("Patient/p", id="o2"))
    await put(client, observation("Patient/p", id="o3"))
    before = rows(database_url)
    response = await send(
        client,
        "transaction",
        entry("POST", "Patient", identified("2", birthDate="1980-01-01"), fullUrl=URN),
        entry("PUT", "Observation/o", observation(URN, id="o", valueQuantity={"value": 2.5})),
        entry("DELETE", "Observation/o2"),
        entry("POST", "Patient", identified("3"), ifNoneExist="identifier=urn:s|3"),
        failing,
    )
    assert response.status_code >= 400
    assert response.json()["issue"][0]["expression"][0].startswith("Bundle.entry[4]")
    assert rows(database_url) == before


def rows(database_url: str) -> dict[str, str]:
    """Return a digest of every table's rows."""
    with psycopg.connect(database_url) as connection:
        names = connection.execute(
            # That it was refused is on record.
            """SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT LIKE 'audit_record%' ORDER BY 1"""
        ).fetchall()
        assert len(names) > 15
        return {name: _digest(connection, name) for (name,) in names}


def _digest(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute(
        f"SELECT count(*) || '-' || coalesce(md5(string_agg(t::text, ';' ORDER BY t::text)), '') "
        f'FROM "{name}" t'
    ).fetchone()
    assert row is not None
    return str(row[0])


async def test_rows_are_made_in_the_order_of_ids(
    client: httpx.AsyncClient, database_url: str
) -> None:
    """So that two transactions that make the same ones do not wait for each other."""
    ids = ["c", "a", "d", "b"]
    await send(client, "transaction", *(entry("PUT", f"Patient/{n}", patient(id=n)) for n in ids))
    with psycopg.connect(database_url) as connection:
        made = connection.execute(
            "SELECT id FROM change JOIN resource USING (key) ORDER BY position"
        ).fetchall()
    assert [id_ for (id_,) in made] == sorted(ids)


# How many statements.


async def test_a_bundle_of_a_thousand_entries_takes_few_statements(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        await put(client, identified(f"old-{number}", id=f"old-{number}"))
    patch = {"resourceType": "Parameters", "parameter": [_operation("active", valueBoolean=True)]}
    entries = [
        *(_new(number) for number in range(300)),
        *(entry("POST", "Observation", observation(_urn(n % 300))) for n in range(400)),
        *(
            entry("POST", "Observation", observation("Patient?identifier=urn:s|old-1"))
            for _ in range(100)
        ),
        *(entry("PUT", f"Patient/new-{n}", patient(id=f"new-{n}")) for n in range(90)),
        *(entry("PATCH", f"Patient/old-{n}", patch) for n in range(9)),
        entry("DELETE", "Patient/old-9"),
        *(entry("GET", f"Patient/old-{n % 9}") for n in range(100)),
    ]
    assert len(entries) == 1000
    issued: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: Any, query: Any, *more: Any, **named: Any) -> Any:
        issued.append(str(query))
        return await execute(self, query, *more, **named)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    response = await send(client, "transaction", *entries)
    assert response.status_code == 200, response.text[:500]
    assert 5 < len(issued) <= 40


def _urn(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def _new(number: int) -> Json:
    criteria = f"identifier=urn:s|n{number}"
    resource = identified(f"n{number}")
    return entry("POST", "Patient", resource, ifNoneExist=criteria, fullUrl=_urn(number))


def _operation(name: str, **value: Any) -> Json:
    parts = {"type": "add", "path": "Patient", "name": name}
    given = [{"name": part, "valueString": text} for part, text in parts.items()]
    given[0] = {"name": "type", "valueCode": "add"}
    return {"name": "operation", "part": [*given, {"name": "value", **value}]}


class TestRefusingEqualCreates:
    @pytest.fixture
    def settings(self, tmp_path: Any) -> Settings:
        write = WriteSettings(equal_conditional_creates="refuse")
        return Settings(demo=True, data_dir=tmp_path / "data", write=write)

    async def test_equal_conditional_creates_are_412(self, server: Server) -> None:
        one = Entry("POST", "Patient", identified("1"), if_none_exist=MINE)
        with pytest.raises(PreconditionFailed) as refused:
            async with server.database.transaction() as connection:
                await transaction(server, connection, CALLER, [one, one])
        assert refused.value.issues[0].expression == "Bundle.entry[1]"
