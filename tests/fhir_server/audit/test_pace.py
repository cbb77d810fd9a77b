"""The making of AuditEvents rests while records come fast."""

import pytest

from fhir_server.audit.pace import Pace, pause
from fhir_server.audit_settings import AuditSettings
from fhir_server.database import Database

SETTINGS = AuditSettings(fold_seconds=1.0, burst=100)


@pytest.mark.parametrize(
    ("worked", "rate", "more", "expected"),
    [
        (0.2, 0.0, False, 1.0),
        (0.2, 99.0, True, 0.2),
        (0.2, 100.0, True, 1.4),
        (0.2, 100.0, False, 1.4),
        (0.01, 100.0, True, 1.0),
    ],
    ids=["nothing waits", "half of the time", "a burst", "a burst so far made", "at least a turn"],
)
def test_rests_an_eighth_to_half_of_the_time(
    worked: float, rate: float, *, more: bool, expected: float
) -> None:
    assert pause(SETTINGS, worked, rate, more=more) == pytest.approx(expected)


def test_never_rests_longer_if_told_so() -> None:
    never = SETTINGS.model_copy(update={"burst": 0})
    assert pause(never, 0.2, 1e6, more=True) == pytest.approx(0.2)


async def test_rate_is_that_of_the_commits_since_it_was_asked(database: Database) -> None:
    pace = Pace()
    async with database.statement() as connection:
        # One that was never used says 1 before and after its first value.
        await connection.execute("SELECT nextval('audit_position')")
        found = [await pace.rate(connection, 10.0)]
        await connection.execute("SELECT nextval('audit_position') FROM generate_series(1, 60)")
        found += [await pace.rate(connection, 12.0), await pace.rate(connection, 13.0)]
    assert found == [0.0, 30.0, 0.0]
