"""Stored definitions: what is known of them is never older than the last write."""

from typing import Any

import httpx
import pytest

from fhir_server.profiles.stored import StoredDefinitions
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

URL = "urn:a"


async def test_what_was_read_before_a_write_is_forgotten_with_the_rest(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = 1

    async def now() -> int:
        return generation

    stored = StoredDefinitions(server.database, server.registry, now)

    async def read_while_another_forgets(_: StoredDefinitions, __: str) -> list[dict[str, Any]]:
        nonlocal generation
        generation = 2
        await stored.refresh()
        return [{"url": URL}]

    monkeypatch.setattr(StoredDefinitions, "_by_url", read_while_another_forgets)
    await stored.refresh()
    await stored.find([URL])
    assert stored.known(URL) == (False, None)
    await stored.find([URL])
    assert stored.known(URL) == (True, {"url": URL})


async def test_of_many_canonicals_only_those_that_are_stored_are_read(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = {
        "resourceType": "StructureDefinition",
        "id": "one",
        "url": URL,
        "name": "One",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
    }
    written = await client.put("/StructureDefinition/one", json=definition)
    assert written.status_code == 201
    stored = server.stored_profiles
    read: list[str] = []

    async def noted(_: StoredDefinitions, url: str) -> list[dict[str, Any]]:
        read.append(url)
        return [{"url": url}]

    monkeypatch.setattr(StoredDefinitions, "_by_url", noted)
    others = [f"https://example.org/other-{n}" for n in range(3_000)]
    await stored.refresh()
    await stored.find([*others, URL])
    assert read == [URL]
    assert stored.known(URL) == (True, {"url": URL})
    assert {stored.known(one) for one in others} == {(True, None)}
