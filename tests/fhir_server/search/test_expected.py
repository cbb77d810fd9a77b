"""What is expected of searches is remembered for a while, of so many."""

from dataclasses import replace

import pytest

from fhir_server.config import Limits, SearchSettings
from fhir_server.search import expected
from fhir_server.search.expected import Counting, Expected
from fhir_server.search.parse import parse
from fhir_server.search.query import Rules
from fhir_server.server import Server
from fhir_server.store.find import counting

RULES = Rules(SearchSettings(), Limits())


def test_an_expectation_is_forgotten_after_its_time() -> None:
    now = [100.0]
    found = Expected(clock=lambda: now[0])
    assert found.keep("one", Counting(3, 1.5)) == Counting(3, 1.5)
    now[0] += expected.SECONDS - 1
    assert found.of("one") == Counting(3, 1.5)
    now[0] += 2
    assert found.of("one") is None


def test_of_so_many_the_oldest_is_forgotten() -> None:
    found = Expected(clock=lambda: 0.0)
    for number in range(expected.MOST + 1):
        found.keep(number, Counting(number, 0.0))
    assert [found.of(0), found.of(1)] == [None, Counting(1, 0.0)]


@pytest.mark.anyio
async def test_what_is_kept_of_a_search_is_as_short_as_of_any_other(server: Server) -> None:
    """A caller may ask for thousands of values in thousands of searches; none stays in memory."""
    given = ",".join(f"patient-{number}" for number in range(1_000))
    asked = parse(server.registry, "Observation", [("code", given)], RULES)
    expected = Expected()
    async with server.database.connection() as connection:
        first = await counting(connection, replace(asked, guard="open"), 10, expected)
        assert await counting(connection, replace(asked, guard="open"), 10, expected) is first
    (kept,) = expected._kept  # noqa: SLF001
    assert isinstance(kept, tuple)
    assert len(kept[1]) == 16
