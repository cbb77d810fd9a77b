"""What is taken out of logins, apps and tokens, and what has to stay."""

import pytest

from fhir_server.config import Settings
from fhir_server.database import Connection
from fhir_server.identity import tidying
from fhir_server.server import Server
from tests.fhir_server.identity.app import cheap
from tests.fhir_server.identity.holding import settled

pytestmark = pytest.mark.anyio

# Each statement makes a row that has ended long ago and one that has not.
ROWS = """
INSERT INTO identity_session (id, secret, user_id, created_at) VALUES
  ('old', 's1', 'u1', now() - interval '40 days'), ('held', 's2', 'u1', now() - interval '40 days'),
  ('new', 's3', 'u1', now() - interval '20 days');
INSERT INTO identity_grant (id, client_id, user_id, session_id, scope, created_at) VALUES
  ('old', 'app', 'u1', 'old', '', now() - interval '2 days'),
  ('held', 'app', 'u1', 'held', '', now() - interval '99 days'),
  ('token', 'app', 'u1', NULL, '', now() - interval '99 days'),
  ('new', 'app', 'u1', NULL, '', now() - interval '2 hours');
INSERT INTO identity_code (secret, grant_id, redirect_uri, challenge, expires_at, used_at) VALUES
  ('c1', 'old', '', '', now() - interval '2 days', NULL),
  ('c2', 'held', '', '', now() - interval '99 days', now() - interval '99 days');
INSERT INTO identity_refresh (secret, grant_id, scope, expires_at, used_at) VALUES
  ('old', 'old', '', now() - interval '2 days', NULL),
  ('used', 'held', '', now() + interval '1 day', now()), ('new', 'held', '', now(), NULL);
INSERT INTO identity_issued (jti, grant_id, expires_at) VALUES
  ('old', 'held', now() - interval '99 days'), ('new', 'token', now() - interval '9 min');
INSERT INTO identity_launch (secret, context, expires_at) VALUES
  ('old', '{}', now() - interval '25 hours'), ('new', '{}', now() - interval '23 hours');
INSERT INTO identity_challenge (secret, user_id, purpose, expires_at) VALUES
  ('old', 'u1', 'use', now() - interval '1 s'), ('new', 'u1', 'use', now() + interval '1 min');
INSERT INTO identity_assertion (client_id, jti, expires_at) VALUES
  ('app', 'old', now() - interval '3 min'), ('app', 'new', now() - interval '1 min');
INSERT INTO identity_attempt (key, failed, last_at) VALUES
  ('old', 9, now() - interval '49 hours'), ('new', 9, now() - interval '47 hours');
INSERT INTO revoked_token (issuer, jti, revoked_at) VALUES
  ('i', 'old', now() - interval '368 days'), ('i', 'new', now() - interval '366 days')
"""
LEFT = {
    "identity_session.id": {"held", "new"},
    "identity_grant.id": {"g1", "g2", "held", "token", "new"},
    "identity_code.convert_from(secret, 'UTF8')": {"c2"},
    "identity_refresh.convert_from(secret, 'UTF8')": {"used", "new"},
    "identity_issued.jti": {"new"},
    "identity_launch.convert_from(secret, 'UTF8')": {"new"},
    "identity_challenge.convert_from(secret, 'UTF8')": {"new"},
    "identity_assertion.jti": {"new"},
    "identity_attempt.convert_from(key, 'UTF8')": {"new"},
    "revoked_token.jti": {"new"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


async def values(connection: Connection, what: str) -> set[str]:
    table, _, column = what.partition(".")
    rows = await (await connection.execute(f"SELECT {column} FROM {table}")).fetchall()
    return {row[0] for row in rows}


async def test_what_has_ended_goes_batch_by_batch_and_what_could_be_used_stays(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(server)
    async with server.database.statement() as connection:
        for statement in ROWS.split(";"):
            await connection.execute(statement)
    ran = 0
    batch = tidying._batch  # noqa: SLF001

    async def counted(server: Server, statement: str) -> int:
        nonlocal ran
        ran += 1
        return await batch(server, statement)

    single = tuple(
        one.replace("LIMIT 1000", "LIMIT 1")
        for one in tidying._STATEMENTS  # noqa: SLF001
    )
    monkeypatch.setattr(tidying, "_AT_ONCE", 1)
    monkeypatch.setattr(tidying, "_STATEMENTS", single)
    monkeypatch.setattr(tidying, "_batch", counted)
    await tidying.run(server, {})
    async with server.database.connection() as connection:
        found = {what: await values(connection, what) for what in LEFT}
        cursor = await connection.execute(
            "SELECT count(*) FROM job WHERE kind = %s AND due_at > now() + interval '50 min'",
            (tidying.KIND,),
        )
        waiting = await cursor.fetchone()
    assert found == LEFT
    assert (ran, waiting) == (2 * len(single), (1,))
