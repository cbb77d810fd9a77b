"""Stored definitions: what is known of them is never older than the last write."""

from typing import Any

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
