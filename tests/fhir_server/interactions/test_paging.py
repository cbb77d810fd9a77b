"""What a reader is promised who pages while others write.

https://hl7.org/fhir/R4/http.html#paging
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.server import Server

from .searching import Json, get, links, shown, store

SIZE = int(os.environ.get("SANGAM_PAGING_SIZE", "300"))
PAGE = min(1_000, SIZE // 20)
TOGETHER = 1_000

Key = Callable[[Json], Any]


def family(one: Json) -> str | None:
    names = one.get("name")
    return names[0]["family"].casefold() if names else None


KEYS: dict[str, Key] = {
    "family": family,
    "birthdate": lambda one: one.get("birthDate"),
    "gender": lambda one: one["gender"],
    "identifier": lambda one: one["identifier"][0]["value"],
    "organization": lambda one: (one.get("managingOrganization") or {}).get("reference"),
    "_id": lambda one: one["id"],
}
SORTS = [
    "",
    "_id",
    "birthdate",
    "-family",
    "-organization",
    "_lastUpdated",
    "gender,-birthdate,family",
    "-organization,family,-_id",
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The first pages are walked, the later ones gathered."""
    search = settings.search.model_copy(update={"total_cap": SIZE // 2, "total_cost": 10**9})
    return settings.model_copy(update={"search": search})


def patient(number: int, chance: random.Random) -> Json:
    made: Json = {
        "resourceType": "Patient",
        "id": f"p{chance.randrange(10**9)}-{number}",
        "gender": chance.choice(["male", "female", "other"]),
        "identifier": [{"value": str(chance.randrange(SIZE))}],
    }
    return moved(made, chance)


def moved(one: Json, chance: random.Random) -> Json:
    """Return the patient with other sort values, or without some of them."""
    kept = {k: v for k, v in one.items() if k not in ("name", "birthDate", "managingOrganization")}
    if chance.random() < 0.8:
        kept["name"] = [{"family": "".join(chance.choices("abC", k=3))}]
    if chance.random() < 0.8:
        kept["birthDate"] = f"{chance.randint(1920, 2020)}-{chance.randint(1, 12):02d}-01"
    if chance.random() < 0.5:
        kept["managingOrganization"] = {"reference": f"Organization/{chance.choice('abc')}"}
    return kept


def ordered(resources: Sequence[Json], sort: str) -> list[Json]:
    """Sort as `_sort` says, missing values last in both directions; sorting is stable."""
    found = list(resources)
    if sort in ("", "_lastUpdated"):  # they were stored one after the other
        return found if sort else found[::-1]
    for name in reversed(sort.split(",")):
        key = KEYS[name.removeprefix("-")]
        valued = [one for one in found if key(one) is not None]
        valued.sort(key=key, reverse=name.startswith("-"))
        found = valued + [one for one in found if key(one) is None]
    return found


class Writer:
    """Changes, creates and deletes as long as the reader reads."""

    def __init__(self, client: httpx.AsyncClient, stored: Sequence[Json]) -> None:
        self.client = client
        self.stored = list(stored)
        self.chance = random.Random(11)
        self.changed: set[str] = set()
        self.deleted: set[str] = set()
        self.created = 0

    async def write(self) -> None:
        one = self.chance.choice(self.stored)
        match self.chance.choice(["change", "change", "change", "create", "delete"]):
            case "change" if one["id"] not in self.deleted:
                self.changed.add(one["id"])
                await self.put(moved(one, self.chance))
            case "create":
                self.created += 1
                await self.put(moved({**one, "id": f"new-{self.created}"}, self.chance))
            case "delete":
                self.deleted.add(one["id"])
                answer = await self.client.delete(f"/Patient/{one['id']}")
                assert answer.status_code == 204, answer.text

    async def put(self, one: Json) -> None:
        one.pop("managingOrganization", None)  # none is stored
        answer = await self.client.put(f"/Patient/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text

    async def run(self) -> None:
        while True:
            await self.write()


async def populated(server: Server) -> list[Json]:
    chance = random.Random(7)
    stored = [patient(number, chance) for number in range(SIZE)]
    for start in range(0, SIZE, TOGETHER):
        await store(server, stored[start : start + TOGETHER], start + 1)
    return stored


async def read(client: httpx.AsyncClient, sort: str, writer: Writer) -> tuple[list[str], int]:
    """Page to the end beside the writer; return the ids, and what was created by page 1."""
    text = f"_count={PAGE}&_total=none" + (f"&_sort={sort}" if sort else "")
    seen: list[str] = []
    following: str | None = f"/Patient?{text}"
    before = -1
    while following:
        bundle = await get(client, following)
        before = writer.created if before < 0 else before
        seen += [one.partition("/")[2] for one in shown(bundle)]
        following = links(bundle).get("next")
        await writer.write()  # also where the writing task had no turn
    return seen, before


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sort", SORTS)
async def test_a_reader_misses_nothing_and_sees_nothing_twice(
    sort: str, server: Server, client: httpx.AsyncClient
) -> None:
    stored = await populated(server)
    writer = Writer(client, stored)
    writing = asyncio.create_task(writer.run())
    began = time.monotonic()
    seen, before = await read(client, sort, writer)
    took = time.monotonic() - began
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    print(  # noqa: T201
        f"\npaging {SIZE} by {sort or 'creation'}: {len(seen)} seen in {took:.1f} s, "
        f"{len(writer.changed)} changed, {writer.created} created, {len(writer.deleted)} deleted"
    )
    untouched = [one for one in stored if one["id"] not in writer.changed | writer.deleted]
    assert len(seen) == len(set(seen))
    assert {one["id"] for one in untouched} <= set(seen)
    assert not {f"new-{n}" for n in range(before + 1, writer.created + 1)} & set(seen)
    if not sort:  # the order of creation does not change
        assert {one["id"] for one in stored if one["id"] not in writer.deleted} <= set(seen)
    expected = ordered(untouched, sort)
    assert sort_values(seen, untouched, sort) == sort_values(
        [one["id"] for one in expected], untouched, sort
    )


def sort_values(ids: Sequence[str], untouched: Sequence[Json], sort: str) -> list[list[Any]]:
    """Return what the resources that nobody touched sort by, in the order of their ids."""
    by_id = {one["id"]: one for one in untouched}
    keys = [KEYS.get(name.removeprefix("-"), KEYS["_id"]) for name in sort.split(",")]
    return [[key(by_id[id_]) for key in keys] for id_ in ids if id_ in by_id]
