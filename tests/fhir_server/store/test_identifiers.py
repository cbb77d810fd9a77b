import pytest

from fhir_server.database import Connection, Database
from fhir_server.store import identifiers
from fhir_server.store.identifiers import by_terms

pytestmark = pytest.mark.anyio

PATIENT, ENCOUNTER = 1, 2
# Key, type, terms: 7 is shared by three, 8 is of another type too.
STORED = [
    (1, PATIENT, [7, 10]),
    (2, PATIENT, [7, 8]),
    (3, PATIENT, [7]),
    (4, ENCOUNTER, [8, 11]),
]


async def fill(connection: Connection) -> None:
    for key, type_id, terms in STORED:
        await connection.execute(
            "INSERT INTO resource (key, type_id, id, version, last_updated, deleted,"
            " content_hash, feed_xid) VALUES (%s, %s, %s, %s, now(), false, '', '1')",
            (key, type_id, f"r{key}", key * 10),
        )
        await connection.execute(
            "INSERT INTO terms (key, type_id, version, last_updated, terms)"
            " VALUES (%s, %s, 1, now(), %s)",
            (key, type_id, terms),
        )


# The number of each question, its type and term, and who answers it.
ASKED = [
    (0, PATIENT, 10, {"r1"}),
    (1, PATIENT, 8, {"r2"}),
    (2, ENCOUNTER, 8, {"r4"}),
    (3, ENCOUNTER, 10, set()),
    (4, PATIENT, 99, set()),
    (5, PATIENT, 10, {"r1"}),
    (6, PATIENT, 7, {"r1", "r2", "r3"}),
]


@pytest.mark.parametrize(
    ("few", "most"),
    [
        pytest.param(4, 1_000, id="together"),
        pytest.param(100, 1_000, id="one-by-one"),
        pytest.param(4, 3, id="too-many-together"),
    ],
)
async def test_who_has_a_term_is_found_however_many_are_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int, most: int
) -> None:
    monkeypatch.setattr(identifiers, "_FEW", few)
    monkeypatch.setattr(identifiers, "_MOST", most)
    async with database.statement() as connection:
        await fill(connection)
        found = await by_terms(connection, [one[:3] for one in ASKED], 20)
        less = await by_terms(connection, [one[:3] for one in ASKED], 2)
    assert {n: {i for m, i, _ in found if m == n} for n, *_ in ASKED} == {
        n: ids for n, _, _, ids in ASKED
    }
    assert {version for _, id_, version in found if id_ == "r2"} == {20}
    assert len([one for one in less if one[0] == 6]) == 2


@pytest.mark.parametrize("asked", [[(0, PATIENT, 7)], []])
async def test_nothing_is_found_where_nothing_is_stored(
    database: Database, asked: list[tuple[int, int, int]]
) -> None:
    async with database.statement() as connection:
        assert await by_terms(connection, asked, 20) == []


async def test_no_plan_goes_through_all_resources_of_a_type(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        cursor = await connection.execute(
            f"EXPLAIN {identifiers._BY_TERM}",  # noqa: SLF001
            ("{0}", f"{{{PATIENT}}}", "{7}", 20),
        )
        plan = "\n".join(line for (line,) in await cursor.fetchall())
    assert ("terms_terms_ix" in plan, "terms_type" in plan) == (True, False)
