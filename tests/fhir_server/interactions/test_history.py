"""The history of a resource, of a type and of everything: bounds, pages, parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.interactions.cursor import LIFETIME, Cursor, seal, unseal
from fhir_server.main import wiring
from fhir_server.search import pagetoken
from fhir_server.server import Server
from tests.conftest import BASE

FHIR = {"content-type": "application/fhir+json"}
KEY = b"a key of this test, 32 bytes lon"
NOW = 1_800_000_000
CURSOR = Cursor("Patient", "a", [("_count", "2")], 7, 9, NOW)


async def put(client: httpx.AsyncClient, id_: str, family: str) -> None:
    patient = {"resourceType": "Patient", "id": id_, "name": [{"family": family}]}
    answer = await client.put(f"/Patient/{id_}", content=msgspec.json.encode(patient), headers=FHIR)
    assert answer.status_code in {200, 201}, answer.text


async def settle(server: Server) -> None:
    """Wait until no transaction of another test holds the watermark back."""
    sql = "SELECT count(*) FROM change WHERE feed_xid >= pg_snapshot_xmin(pg_current_snapshot())"
    for _ in range(200):
        async with server.database.connection() as connection:
            row = await (await connection.execute(sql)).fetchone()
        if row == (0,):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the watermark does not move")


async def at(server: Server, id_: str, *times: str) -> None:
    """Say when the versions of a resource came to be, the oldest first."""
    async with server.database.statement() as connection:
        for version, time in enumerate(times, 1):
            for table, column in (("body", "last_updated"), ("change", "at")):
                await connection.execute(
                    f"UPDATE {table} SET {column} = %s WHERE version = %s"
                    " AND key = (SELECT key FROM resource WHERE id = %s)",
                    (time, version, id_),
                )


def link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def versions(bundle: dict[str, Any]) -> list[tuple[str, str]]:
    """Return id and ETag of each entry."""
    return [
        (one["fullUrl"].rpartition("/")[2], one["response"]["etag"][3:-1])
        for one in bundle.get("entry", ())
    ]


async def walked(client: httpx.AsyncClient, url: str) -> list[tuple[str, str]]:
    """Return the versions of all pages."""
    found = []
    following: str | None = url
    while following:
        answer = await client.get(following)
        assert answer.status_code == 200, answer.text
        found += versions(answer.json())
        following = link(answer.json(), "next")
    return found


TIMES = ("2026-01-10T00:00:00Z", "2026-02-10T12:00:00Z", "2026-03-10T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_since=2026-02-10T12:00:00Z", ["3", "2"]),
        ("_since=2026-02-10T12:00:00.001Z", ["3"]),
        ("_since=2026-03-10T00:00:00.001Z", []),
        ("_since=2026-02-10T17:30:00%2B05:30", ["3", "2"]),
        ("_at=2025", []),
        ("_at=2026-01-09", []),
        ("_at=2026-01-10", ["1"]),
        ("_at=2026-01", ["1"]),
        ("_at=2026-02", ["2", "1"]),
        ("_at=2026-02-10", ["2", "1"]),
        ("_at=2026-02-10T12:00:00Z", ["2"]),
        ("_at=2026-02-10T11:59:59Z", ["1"]),
        ("_at=2026-02-10T11:59Z", ["1"]),
        ("_at=2026-02-11", ["2"]),
        ("_at=2026", ["3", "2", "1"]),
        ("_at=2027", ["3"]),
    ],
)
@pytest.mark.parametrize("place", ["/Patient/a/_history", "/Patient/_history", "/_history"])
async def test_bounds(
    client: httpx.AsyncClient, server: Server, place: str, query: str, expected: list[str]
) -> None:
    for family in ("One", "Two", "Three"):
        await put(client, "a", family)
    await at(server, "a", *TIMES)
    await settle(server)
    bundle = (await client.get(f"{place}?{query}")).json()
    assert versions(bundle) == [("a", version) for version in expected]
    assert bundle.get("total") == (len(expected) if "/a/" in place else None)
    assert query.replace(":", "%3A").replace("+", "%2B") in (link(bundle, "self") or "")


@pytest.mark.parametrize(
    ("query", "code", "expression"),
    [
        ("_since=2026&_at=2026", "invalid", "_at"),
        ("_since=yesterday", "value", "_since"),
        ("_at=gt2026", "value", "_at"),
        ("_at=2026&_at=2027", "invalid", "_at"),
        ("_count=-1", "value", "_count"),
        ("_count=%D9%A3", "value", "_count"),
        ("_count=9999999999", "value", "_count"),
        ("_sort=_lastUpdated", "invalid", "_sort"),
        ("name=Anna", "invalid", "name"),
        ("_summary=maybe", "invalid", "_summary"),
        ("_summary=true&_elements=name", "invalid", "_elements"),
        ("_elements=", "value", "_elements"),
        ("_cursor=.5", "value", "_cursor"),
        ("_cursor=1.2", "value", "_cursor"),
        ("_cursor=AAAA&_count=2", "invalid", "_cursor"),
    ],
)
async def test_what_a_history_does_not_take_is_400(
    client: httpx.AsyncClient, query: str, code: str, expression: str
) -> None:
    await put(client, "a", "One")
    for place in ("/Patient/a/_history", "/Patient/_history"):
        answer = await client.get(f"{place}?{query}")
        (issue,) = answer.json()["issue"]
        assert (answer.status_code, issue["code"]) == (400, code)
        assert issue["expression"] == [expression]


async def test_a_deleted_resource_has_a_history_and_an_unknown_one_has_none(
    client: httpx.AsyncClient,
) -> None:
    await put(client, "a", "One")
    await client.delete("/Patient/a")
    bundle = (await client.get("/Patient/a/_history")).json()
    deletion, creation = bundle["entry"]
    assert bundle["total"] == 2
    assert "resource" not in deletion
    assert deletion["fullUrl"] == f"{BASE}/Patient/a"
    assert deletion["request"] == {"method": "DELETE", "url": "Patient/a"}
    assert deletion["response"]["status"] == "204 No Content"
    assert deletion["response"]["etag"] == 'W/"2"'
    assert creation["request"] == {"method": "PUT", "url": "Patient/a"}
    assert creation["response"]["lastModified"] == creation["resource"]["meta"]["lastUpdated"]
    for path in ("/Patient/none/_history", "/Observation/a/_history"):
        assert (await client.get(path)).status_code == 404


async def test_pages_lead_through_every_version_once(
    client: httpx.AsyncClient, server: Server
) -> None:
    for family in ("One", "Two", "Three"):
        for id_ in "abc":
            await put(client, id_, family)
    await settle(server)
    expected = [(id_, version) for version in "321" for id_ in "cba"]
    assert await walked(client, "/Patient/_history?_count=2") == expected
    assert await walked(client, "/_history?_count=4&_since=2020") == expected
    assert await walked(client, "/Patient/b/_history?_count=1") == [("b", v) for v in "321"]


async def test_no_version_is_lost_or_shown_twice_while_others_write(
    client: httpx.AsyncClient, server: Server
) -> None:
    for n in range(12):
        await put(client, f"p{n % 4}", f"N{n}")
    await settle(server)
    known = {(f"p{n}", version) for n in range(4) for version in "123"}
    writing = True

    async def write(part: int) -> None:
        n = 0
        while writing:
            n += 1
            await put(client, f"p{part}", f"W{n}")
            await put(client, f"new{part}-{n}", "New")

    writers = [asyncio.create_task(write(part)) for part in range(2)]
    try:
        walks = [await walked(client, "/Patient/_history?_count=3&_since=2020")]
        walks.append(await walked(client, "/_history?_count=5"))
        walks.append(await walked(client, "/Patient/p0/_history?_count=2"))
    finally:
        writing = False
        await asyncio.gather(*writers)
    for walk, expected in zip(walks, (known, known, {("p0", v) for v in "123"}), strict=True):
        assert len(walk) == len(set(walk))
        assert expected <= set(walk)
        for id_ in {id_ for id_, _ in walk}:
            shown = [int(version) for other, version in walk if other == id_]
            assert shown == list(range(max(shown), 0, -1))


async def test_a_page_link_is_opaque_and_bound_to_its_history(client: httpx.AsyncClient) -> None:
    for family in ("One", "Two"):
        for id_ in "ab":
            await put(client, id_, family)
    bundle = (await client.get("/Patient/a/_history?_count=1&_since=2020")).json()
    following = link(bundle, "next") or ""
    path, _, token = following.partition("?_cursor=")
    assert path == f"{BASE}/Patient/a/_history"
    assert "2020" not in token
    assert versions((await client.get(following)).json()) == [("a", "1")]
    for other in ("/Patient/b/_history", "/Patient/_history", "/_history"):
        answer = await client.get(f"{other}?_cursor={token}")
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "invalid")
    search = (await client.get("/Patient?_count=1")).json()
    page = (link(search, "next") or "").partition("_page=")[2]
    assert (await client.get(f"{path}?_cursor={page}")).status_code == 400
    assert (await client.get(f"/Patient?_page={token}")).status_code == 400


def test_a_cursor_leads_back_to_its_place() -> None:
    assert unseal(KEY, "me", seal(KEY, "me", CURSOR), NOW) == CURSOR


@pytest.mark.parametrize(
    ("key", "caller", "seconds", "code"),
    [
        (KEY, "you", 0, "value"),
        (KEY[::-1], "me", 0, "value"),
        (KEY, "me", LIFETIME + 1, "expired"),
        (KEY, "me", -1, "expired"),
    ],
    ids=["another caller", "another server", "too old", "of the future"],
)
def test_a_cursor_is_refused_that_is(key: bytes, caller: str, seconds: int, code: str) -> None:
    token = seal(KEY, "me", CURSOR)
    with pytest.raises(BadRequest) as refused:
        unseal(key, caller, token, NOW + seconds)
    assert refused.value.issues[0].code == code


def test_a_cursor_is_not_a_page_token_under_the_same_key() -> None:
    with pytest.raises(BadRequest):
        pagetoken.unseal(KEY, "me", seal(KEY, "me", CURSOR), NOW)


@pytest.mark.parametrize(
    ("query", "members"),
    [
        ("_elements=birthDate", {"resourceType", "id", "meta", "birthDate"}),
        ("_summary=true", {"resourceType", "id", "meta", "birthDate", "name"}),
        ("_summary=data", {"resourceType", "id", "meta", "birthDate", "name", "photo"}),
        ("_summary=false", {"resourceType", "id", "meta", "birthDate", "name", "photo"}),
    ],
)
async def test_a_part_of_each_version(
    client: httpx.AsyncClient, query: str, members: set[str]
) -> None:
    patient = {
        "resourceType": "Patient",
        "id": "a",
        "name": [{"family": "Rao"}],
        "birthDate": "1980-01-02",
        "photo": [{"title": "x"}],
    }
    await client.put("/Patient/a", content=msgspec.json.encode(patient), headers=FHIR)
    await client.delete("/Patient/a")
    bundle = (await client.get(f"/Patient/a/_history?{query}")).json()
    deletion, creation = bundle["entry"]
    assert "resource" not in deletion
    assert set(creation["resource"]) == members
    assert ("tag" in creation["resource"]["meta"]) == (query != "_summary=false")
    assert query in (link(bundle, "self") or "")


async def test_only_one_resource_is_counted(client: httpx.AsyncClient) -> None:
    await put(client, "a", "One")
    bundle = (await client.get("/Patient/a/_history?_summary=count")).json()
    assert (bundle["total"], "entry" in bundle) == (1, False)
    answer = await client.get("/Patient/_history?_summary=count")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "not-supported")
    system = await client.get("/_history?_elements=name")
    assert (system.status_code, system.json()["issue"][0]["code"]) == (400, "not-supported")


@asynccontextmanager
async def small_pages(
    database_url: str, settings: Settings, size: int
) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    limits = settings.limits.model_copy(update={"page_bytes": size})
    small = settings.model_copy(update={"limits": limits})
    async with wiring.running(small, database_url, BASE) as server:
        transport = httpx.ASGITransport(app=create_app(server))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            yield server, http


async def test_a_page_over_its_size_ends_early(database_url: str, settings: Settings) -> None:
    async with small_pages(database_url, settings, 2500) as (server, client):
        for n in range(7):
            await put(client, f"p{n}", f"{n}" * 1000)
        await settle(server)
        first = (await client.get("/Patient/_history")).json()
        assert versions(first) == [("p6", "1"), ("p5", "1"), ("p4", "1")]
        expected = [(f"p{n}", "1") for n in reversed(range(7))]
        assert await walked(client, "/Patient/_history") == expected
        for n in range(3):
            await put(client, "p0", f"{n}{n}" * 1000)
        assert await walked(client, "/Patient/p0/_history") == [("p0", v) for v in "4321"]


@pytest.mark.parametrize("sort", ["", "&_sort=family", "&_sort=-birthdate", "&_sort=gender,_id"])
async def test_a_search_page_over_its_size_ends_early(
    database_url: str, settings: Settings, sort: str
) -> None:
    async with small_pages(database_url, settings, 2500) as (_, client):
        for n in range(7):
            patient: dict[str, Any] = {"resourceType": "Patient", "id": f"p{n}"}
            if n % 2:
                patient |= {"birthDate": f"199{n}", "gender": "female"}
            patient["name"] = [{"family": f"{n}" * 1000}]
            content = msgspec.json.encode(patient)
            await client.put(f"/Patient/p{n}", content=content, headers=FHIR)
        sizes, found = [], []
        following: str | None = f"/Patient?_total=accurate{sort}"
        while following:
            bundle = (await client.get(following)).json()
            assert bundle["total"] == 7
            sizes.append(len(bundle["entry"]))
            found += [one["resource"]["id"] for one in bundle["entry"]]
            following = link(bundle, "next")
        assert sizes == [3, 3, 1]
        assert sorted(found) == [f"p{n}" for n in range(7)]


async def test_one_resource_over_the_size_is_shown(database_url: str, settings: Settings) -> None:
    async with small_pages(database_url, settings, 1) as (server, client):
        for id_ in "ab":
            await put(client, id_, "Rao")
        await settle(server)
        assert await walked(client, "/Patient/_history") == [("b", "1"), ("a", "1")]
        bundle = (await client.get("/Patient")).json()
        assert [one["resource"]["id"] for one in bundle["entry"]] == ["b"]
        assert (bundle["total"], link(bundle, "next") is None) == (2, False)


async def test_short_and_long_resources_fill_pages_in_their_order(
    database_url: str, settings: Settings
) -> None:
    async with small_pages(database_url, settings, 2500) as (_, client):
        for n in range(12):
            await put(client, f"p{n:02}", "x" * (1000 if n % 3 else 100))
        pages = []
        following: str | None = "/Patient?_count=4&_sort=_id"
        while following:
            bundle = (await client.get(following)).json()
            pages.append([one["resource"]["id"] for one in bundle["entry"]])
            following = link(bundle, "next")
        ids = [f"p{n:02}" for n in range(12)]
        assert pages == [ids[:4], ids[4:8], ids[8:]]
        found = (await client.get("/Patient?_count=9&_sort=_id")).json()
        assert [one["resource"]["id"] for one in found["entry"]] == ids[:4]
