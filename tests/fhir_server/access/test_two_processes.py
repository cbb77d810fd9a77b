"""What one process writes about a record, the next request to another goes by."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
from interactions.searching import observation, patient, put

from fhir_server.access import consent, labels
from fhir_server.access.label_codes import CONFIDENTIALITY
from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.main import wiring

from .restricted import Asking, Json, asking, seen, status
from .test_consents import DENY, consent_of

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

NAMES: Final = ("a", "b", "c", "d")
SEARCH: Final = "/Observation?subject=Patient/ann&_sort=_id"
ALL: Final = [f"Observation/{one}" for one in NAMES]


@pytest.fixture
async def other(
    client: httpx.AsyncClient, settings: Settings, database_url: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another process: of a handle with connections and memory of its own."""
    base = str(client.base_url).rstrip("/")
    async with wiring.running(settings, database_url, base) as server:
        transport = httpx.ASGITransport(app=create_app(server))
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            yield http


def restricted(resource: Json) -> Json:
    return {**resource, "meta": {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}}


async def pages(client: httpx.AsyncClient, url: str) -> tuple[list[str], str | None]:
    """The places on a page, and the next one."""
    page = (await client.get(url)).json()
    places = [f"Observation/{one['resource']['id']}" for one in page.get("entry", ())]
    links = {one["relation"]: one["url"] for one in page["link"]}
    return places, links.get("next")


async def test_a_label_of_one_process_hides_from_the_next_page_of_another(
    client: httpx.AsyncClient, other: httpx.AsyncClient, asking: Asking
) -> None:
    some = {name: observation(name, "Patient/ann") for name in NAMES}
    await put(client, patient("ann"), *some.values())
    clearance = labels.wall("N", ())
    asking.be(clearance)
    assert await seen(other, SEARCH) == ALL
    first, following = await pages(other, f"{SEARCH}&_count=1&_total=accurate")
    assert (first, following is None) == (ALL[:1], False)
    asking.be_all()
    await put(client, restricted(some["b"]), restricted(some["d"]))
    asking.be(clearance)
    found, links = [], 0
    while following is not None:
        places, following = await pages(other, following)
        found, links = [*found, *places], links + 1
    assert found == ["Observation/c"]
    assert await seen(other, SEARCH) == ["Observation/a", "Observation/c"]
    for path in ("b", "b/_history/1", "b/_history", "d/_history/2"):
        assert await status(other, f"/Observation/{path}") == 404, path
    counted = (await other.get(f"{SEARCH}&_summary=count")).json()
    assert counted["total"] == 2


async def test_a_consent_of_one_process_counts_for_the_next_request_of_another(
    client: httpx.AsyncClient, other: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, patient("ann"), *(observation(one, "Patient/ann") for one in NAMES))
    by_dr = consent.wall(("Practitioner/dr",), "TREAT")
    asking.be(by_dr)
    _, following = await pages(other, f"{SEARCH}&_count=1")
    assert following is not None
    asking.be_all()
    await put(client, consent_of("ann", DENY))
    asking.be(by_dr)
    assert await pages(other, following) == ([], None)
    assert (await seen(other, SEARCH), await status(other, "/Observation/a")) == ([], 404)
    asking.be_all()
    await put(client, consent_of("ann", DENY, status="inactive"))
    asking.be(by_dr)
    assert await seen(other, SEARCH) == ALL
