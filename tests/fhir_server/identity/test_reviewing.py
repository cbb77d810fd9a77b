"""The page on which emergency access is reviewed and signed."""

import re
from datetime import timedelta

import httpx
import pytest

from fhir_server.access import glass
from fhir_server.config import Settings
from fhir_server.server import Server
from tests.fhir_server.identity.app import Person, cheap, settle

pytestmark = pytest.mark.anyio
WHY = "Brought in <unconscious>"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


@pytest.fixture
async def person(server: Server, client: httpx.AsyncClient) -> Person:
    """An administrator beside two openings: one of another, one of their own."""
    await settle(server)
    async with server.database.transaction() as connection:
        for key, actor in ((1, "Practitioner/p2"), (2, "Practitioner/p1")):
            lasting = timedelta(hours=1)
            asked = glass.Asked(key, actor, "ann", "ETREAT", WHY, "app", None, lasting, None)
            await glass.open_record(connection, asked)
    return Person(client)


async def test_an_opening_is_reviewed_and_signed_by_another(person: Person, server: Server) -> None:
    led = await person.get("reviews")
    assert (led.status_code, "reviews" in led.headers["location"]) == (303, True)
    await person.log_in()
    assert "Emergency access" in (await person.get("manage")).text
    await person.get("reviews")
    assert "Brought in &lt;unconscious&gt;" in person.page
    assert re.findall(r'name="sign" value="(\d+)"', person.page) == ["1"]
    assert (await person.send("reviews", sign="2")).status_code == 404
    await person.get("reviews")
    answer = await person.send("reviews", sign="1")
    assert (answer.status_code, "The opening is signed" in answer.text) == (200, True)
    assert "Practitioner/p2" not in person.page
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT key, signed_by FROM break_glass ORDER BY key")
        assert await cursor.fetchall() == [(1, "Practitioner/p1"), (2, None)]
        cursor = await connection.execute(
            "SELECT count(*) FROM audit_record WHERE said LIKE '%$break-glass-sign%'"
        )
        assert await cursor.fetchall() == [(1,)]


async def test_who_does_not_review_sees_and_signs_nothing(person: Person, server: Server) -> None:
    await person.log_in()
    await person.get("reviews")
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET roles = '{DOCTOR}'")
    refused = [(await person.send("reviews", sign="1")).status_code]
    refused.append((await person.get("reviews")).status_code)
    assert refused == [403, 403]
    assert "unconscious" not in person.page
    assert "reviews" not in (await person.get("manage")).text


@pytest.mark.parametrize("given", [{"sign": "x"}, {"sign": "1", "csrf": "0"}, {}])
async def test_a_form_that_is_not_ours_signs_nothing(
    person: Person, server: Server, given: dict[str, str]
) -> None:
    await person.log_in()
    await person.get("reviews")
    assert (await person.send("reviews", **given)).status_code in {400, 403}
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(signed_at) FROM break_glass")
        assert await cursor.fetchall() == [(0,)]
