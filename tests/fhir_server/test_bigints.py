"""Arrays that are sent in binary arrive as they are."""

import pytest

from fhir_server.bigints import bigints
from fhir_server.database import Database


@pytest.mark.parametrize("numbers", [[0], [1, -1], [-(2**63), 2**63 - 1], list(range(-300, 300))])
async def test_an_array_arrives_as_it_was(numbers: list[int], database: Database) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT CAST(%s AS BIGINT[])", (bigints(numbers),))
        assert await cursor.fetchone() == (numbers,)
