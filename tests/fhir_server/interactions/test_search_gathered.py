"""A page is gathered only where all matches are."""

from dataclasses import replace

import pytest

from fhir_server.config import Limits, SearchSettings
from fhir_server.search.parse import parse
from fhir_server.search.query import Rules
from fhir_server.server import Server
from fhir_server.store.page import Cut, gathered, walked

from .searching import patient, store

RULES = Rules(SearchSettings(), Limits())


@pytest.mark.parametrize(("most", "found"), [(4, None), (5, 5), (9, 5)])
@pytest.mark.parametrize("sort", ["-_id", "family", "-_lastUpdated"])
async def test_more_matches_than_may_be_gathered_are_no_page(
    most: int, found: int | None, sort: str, server: Server
) -> None:
    people = [patient(f"p{n}", name=[{"family": f"Rao{n}"}], gender="male") for n in range(5)]
    await store(server, people)
    asked = parse(server.registry, "Patient", [("gender", "male"), ("_sort", sort)], RULES)
    query = replace(asked, guard="open")
    cut = Cut(None, 3)
    async with server.database.connection() as connection:
        page = await gathered(connection, query, cut, most)
        in_order = await walked(connection, query, cut)
    assert (page and page[1]) == found
    if page:
        assert [one.key for one in page[0]] == [one.key for one in in_order]
