"""How many requests may come in a minute, to all processes together."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from fhir_server.caller import Caller
from fhir_server.config import Settings
from fhir_server.errors import Throttled
from fhir_server.identity import address_groups
from fhir_server.identity.rate_sums import Sums
from fhir_server.identity.rates import Rates
from fhir_server.main import wiring
from fhir_server.security_settings import RateSettings, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.app import BASE

pytestmark = pytest.mark.anyio

ASHA = Caller("user/u1", "rest", user="Practitioner/p1", client="app")
BORN = Caller("user/u2", "rest", user="Practitioner/p2", client="app")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    rates = RateSettings(user=4, client=100, login=3, failed=2, absent=2)
    return settings.model_copy(update={"security": SecuritySettings(rates=rates)})


@dataclass(frozen=True)
class Processes:
    """What two processes count; their minute does not pass."""

    one: Sums
    other: Sums

    async def meet(self) -> None:
        for each in (self.one, self.other):
            await each.add()


@pytest.fixture
async def processes(
    server: Server, settings: Settings, database_url: str
) -> AsyncIterator[Processes]:
    async with wiring.running(settings, database_url, BASE) as twin:
        found = Processes(Sums(server), Sums(twin))
        for each in (found.one, found.other):
            each.rates = Rates(settings.security.rates, lambda: 600.0)
        yield found


async def test_a_limit_holds_for_all_processes_together(processes: Processes) -> None:
    one, other = processes.one.rates, processes.other.rates
    for rates in (one, other) * 2:
        rates.known(ASHA)
        rates.known(BORN)
    for rates in (one, other):
        rates.answered(401, "203.0.113.9", None)
    await processes.meet()
    with pytest.raises(Throttled, match="this user"):
        other.known(ASHA)
    with pytest.raises(Throttled, match="without a good token"):
        other.arrive("203.0.113.9")
    other.arrive("203.0.113.10")
    other.knock("203.0.113.9")
    # The one that came first is told with what it adds next.
    one.known(ASHA)
    one.arrive("203.0.113.9")
    one.answered(401, "203.0.113.9", None)
    await processes.meet()
    with pytest.raises(Throttled, match="this user"):
        one.known(ASHA)
    with pytest.raises(Throttled, match="without a good token"):
        one.arrive("203.0.113.9")


async def test_what_was_counted_meanwhile_is_added_once(
    processes: Processes, server: Server
) -> None:
    one = processes.one.rates
    one.knock("203.0.113.9")
    minute, given = one.give()
    one.knock("203.0.113.9")
    one.lost(minute)  # as when the database is away
    await processes.meet()
    processes.other.rates.knock("203.0.113.9")
    await processes.meet()
    one.knock("203.0.113.9")
    await processes.meet()
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT minute, count, length(key) FROM request_rate")
        rows = await cursor.fetchall()
    assert (dict(given), rows) == ({("login", "203.0.113.9"): 1}, [(10, 4, 16)])
    with pytest.raises(Throttled):
        one.knock("203.0.113.9")


async def test_a_database_that_is_away_keeps_no_request_waiting(
    processes: Processes, server: Server
) -> None:
    one = processes.one.rates
    one.knock("203.0.113.9")
    async with server.database.statement() as connection:
        await connection.execute("ALTER TABLE request_rate RENAME TO away")
        await processes.one.add()
        await connection.execute("ALTER TABLE away RENAME TO request_rate")
    for _ in range(2):
        one.knock("203.0.113.9")
    with pytest.raises(Throttled):
        one.knock("203.0.113.9")
    await processes.one.add()
    processes.other.rates.knock("203.0.113.9")
    await processes.other.add()
    with pytest.raises(Throttled):
        processes.other.rates.knock("203.0.113.9")


def test_each_minute_begins_anew_and_says_what_is_new_once() -> None:
    now, told = [0.0], []
    rates = Rates(RateSettings(login=2), lambda: now[0], lambda: told.append(now[0]))
    for _ in range(2):
        rates.knock("203.0.113.9")
    minute, given = rates.give()
    now[0] = 61.0
    rates.knock("203.0.113.9")
    rates.told(minute, {("login", "203.0.113.9"): 50})  # of the minute before
    rates.knock("203.0.113.9")
    assert (dict(given), told) == ({("login", "203.0.113.9"): 2}, [0.0, 61.0])
    with pytest.raises(Throttled) as refused:
        rates.knock("203.0.113.9")
    assert refused.value.headers == {"Retry-After": "59"}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:0:1::5", "2001:db8:0:1::"),
        ("2001:DB8:0:1:ffff:1:2:3", "2001:db8:0:1::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::"),
        ("unix:socket", "unix:socket"),
        (None, ""),
    ],
)
def test_an_address_counts_as_its_network(address: str | None, network: str) -> None:
    assert address_groups.of(address) == network
