"""The schema that migrations make."""

from fhir_server.main import migrate


def test_the_migrated_database_equals_the_declared_one(database_url: str) -> None:
    assert migrate.differences(database_url) == []


def test_a_migrated_database_is_current_and_migrating_again_changes_nothing(
    database_url: str,
) -> None:
    assert migrate.is_current(database_url)
    migrate.migrate(database_url)
    assert migrate.is_current(database_url)
