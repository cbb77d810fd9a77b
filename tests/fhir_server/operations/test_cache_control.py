"""`$cache-control`: resources sent once for many requests, in every process."""

from typing import Any

import httpx
import pytest

from fhir_server.config import Settings, TerminologySettings
from fhir_server.server import Server

Json = dict[str, Any]

FHIR = {"content-type": "application/fhir+json"}
COUNT = 3


def pets(*codes: str) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": "http://example.org/pets",
        "status": "active",
        "content": "complete",
        "valueSet": "http://example.org/all-pets",
        "concept": [{"code": one} for one in codes],
    }


@pytest.fixture
def settings(settings: Settings) -> Settings:
    terminology = TerminologySettings(cache_count=COUNT, cache_seconds=1000)
    return settings.model_copy(update={"terminology": terminology})


async def start(client: httpx.AsyncClient, *resources: Json) -> str:
    given = [{"name": "tx-resource", "resource": one} for one in resources]
    asked = {"resourceType": "Parameters", "parameter": given}
    answer = await client.post("/$cache-control?mode=start", json=asked, headers=FHIR)
    assert answer.status_code == 200, answer.text
    (told,) = answer.json()["parameter"]
    assert told["name"] == "cache-id"
    return str(told["valueId"])


async def expanded(client: httpx.AsyncClient, id_: str) -> list[str] | int:
    """The codes that a cache has, or the status of a refusal."""
    url = "/ValueSet/$expand?url=http://example.org/all-pets"
    answer = await client.get(url, headers={"x-cache-id": id_})
    if answer.status_code != 200:
        return answer.status_code
    return [one["code"] for one in answer.json()["expansion"]["contains"]]


async def test_a_cache_is_seen_by_those_who_name_it(client: httpx.AsyncClient) -> None:
    one, other = await start(client, pets("dog")), await start(client, pets("cat"))
    assert await expanded(client, one) == ["dog"]
    assert await expanded(client, other) == ["cat"]
    url = f"/ValueSet/$expand?url=http://example.org/all-pets&cache-id={one}"
    named = (await client.get(url)).json()
    assert [one["code"] for one in named["expansion"]["contains"]] == ["dog"]
    unnamed = await client.get("/ValueSet/$expand?url=http://example.org/all-pets")
    assert unnamed.status_code == 404


async def test_another_process_has_it_too(client: httpx.AsyncClient, server: Server) -> None:
    id_ = await start(client, pets("dog"))
    server.caches.clear()
    assert await expanded(client, id_) == ["dog"]


async def test_a_cache_that_has_ended_is_gone_everywhere(
    client: httpx.AsyncClient, server: Server
) -> None:
    id_ = await start(client, pets("dog"))
    shelf = server.caches.get(id_)
    assert shelf is not None
    end = await client.post(f"/$cache-control?mode=end&cache-id={id_}", headers=FHIR)
    assert end.status_code == 200
    server.caches.put(id_, shelf)  # another process has read it
    assert await expanded(client, id_) == 404
    again = await client.post("/$cache-control?mode=end", headers={**FHIR, "x-cache-id": id_})
    assert again.status_code == 404


async def test_a_cache_ends_when_it_is_not_used_for_long(
    client: httpx.AsyncClient, server: Server
) -> None:
    used, unused = await start(client, pets("dog")), await start(client, pets("cat"))
    await _older(server, 900)
    assert await expanded(client, used) == ["dog"]
    await _older(server, 900)
    assert await expanded(client, used) == ["dog"]
    assert await expanded(client, unused) == 404


async def _older(server: Server, seconds: int) -> None:
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE resource_cache SET used = used - make_interval(secs => %s)", (seconds,)
        )


async def test_of_too_many_the_one_unused_longest_goes(
    client: httpx.AsyncClient, server: Server
) -> None:
    ids = []
    for code in ("a", "b", "c", "d"):
        ids.append(await start(client, pets(code)))
        await _older(server, 1)
    assert [await expanded(client, one) for one in ids] == [404, ["b"], ["c"], ["d"]]


async def test_what_cannot_be_read_is_not_kept(client: httpx.AsyncClient) -> None:
    given = [{"name": "tx-resource", "resource": {"resourceType": "Patient"}}]
    asked = {"resourceType": "Parameters", "parameter": given}
    answer = await client.post("/$cache-control?mode=start", json=asked, headers=FHIR)
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")
