"""REST requests of callers with rights of their own."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from fhir_server.api import rest
from fhir_server.caller import Caller
from fhir_server.rights import ANY, EVERYTHING, Grant, Rights, Wall

Json = dict[str, Any]
ALL: Wall = (Grant(ANY, "cruds"),)


class Asking:
    """Whose rights the requests of a client have; everything until another is named."""

    def __init__(self) -> None:
        self.caller = Caller("tests", "rest", EVERYTHING)

    def be(
        self, *walls: Wall, user: str | None = None, operator: frozenset[str] = frozenset()
    ) -> None:
        """Let requests be those of who has these walls."""
        self.caller = Caller("tests", "rest", Rights((ALL, *walls), operator), user=user)

    def be_all(self) -> None:
        """Let requests be those of who may do everything."""
        self.caller = Caller("tests", "rest", EVERYTHING)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Put a caller of the test's in the place of that of the door."""
    found = Asking()
    known: Callable[..., Awaitable[Caller]] = vars(rest)["_caller"]

    async def caller(*given: Any) -> Caller:
        return replace(found.caller, trail=(await known(*given)).trail)

    monkeypatch.setattr(rest, "_caller", caller)
    return found


async def seen(client: httpx.AsyncClient, url: str) -> list[str]:
    """The places of the matches and includes of a search, sorted."""
    answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", ())
    return sorted(f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries)


async def status(client: httpx.AsyncClient, url: str) -> int:
    """The status of a read."""
    return (await client.get(url)).status_code
