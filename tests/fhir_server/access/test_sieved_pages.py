"""A page is filled by what may be seen, of however much that may not (docs/decisions/0057)."""

import httpx
import pytest
from interactions.searching import get, observation, patient, shown, store

from fhir_server.rights import Grant, Matching
from fhir_server.search.condition import Terms
from fhir_server.search.sieve import sieved
from fhir_server.server import Server
from fhir_server.store import page as pages
from fhir_server.store.find import rows

from .restricted import Asking, asking

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

FEMALE = Grant("Patient", "rs", (Matching((("gender", "female"),)),))
HIDDEN = 12
"""So many that the first look at what was gathered finds nothing to show."""


async def people(server: Server) -> None:
    hidden = [patient(f"h{n:02}", active=True, gender="male") for n in range(HIDDEN)]
    seen = [patient(f"s{n}", active=True, gender="female") for n in range(3)]
    await store(server, [*hidden, *seen])


@pytest.mark.parametrize("sort", ["_id", "_lastUpdated"])
async def test_a_page_begins_behind_all_that_is_hidden(
    sort: str, asking: Asking, client: httpx.AsyncClient, server: Server
) -> None:
    await people(server)
    asking.be((FEMALE,))
    pages_ = []
    url = f"/Patient?active=true&_count=2&_sort={sort}"
    while url:
        bundle = await get(client, url)
        pages_.append(shown(bundle))
        url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), "")
    assert pages_ == [["Patient/s0", "Patient/s1"], ["Patient/s2"]]


async def test_what_changed_since_it_was_found_is_told_and_not_shown(server: Server) -> None:
    await store(server, [observation("o", "Patient/1")])
    async with server.database.connection() as connection:
        found = await connection.execute("SELECT key, version FROM terms")
        ((key, version),) = await found.fetchall()
        told = []
        for asked in (version, version + 1):
            statement = sieved(Terms((1,)), [key], [asked], 5, 1 << 20)
            told.append([moved for _, moved, _ in await rows(connection, statement)])
    assert told == [[], [True]]


async def test_a_search_of_what_changes_is_made_anew(
    asking: Asking, client: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(server)
    real, asked = sieved, []

    def late(wall: object, keys: list[int], versions: list[int], *rest: int) -> object:
        asked.append(keys)
        changed = [one + (len(asked) == 1) for one in versions]
        return real(wall, keys, changed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pages, "sieved", late)
    asking.be((FEMALE,))
    assert shown(await get(client, "/Patient?active=true&_sort=-_id&_count=2")) == [
        "Patient/s2",
        "Patient/s1",
    ]
    assert len(asked) == 2
