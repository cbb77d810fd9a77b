"""The job that takes out what of logins, apps and tokens has ended.

Nothing goes by which somebody could still be refused: a used secret stays for as long as its
life lasted, and a day longer for the clocks of others.
"""

from typing import Any, Final

from fhir_server import jobs
from fhir_server.identity import claims
from fhir_server.server import Server

KIND: Final = "identity.tidy"
_EVERY_SECONDS: Final = 3_600.0
_DAY_SECONDS: Final = 86_400
_MONTH_SECONDS: Final = 30 * _DAY_SECONDS
_AT_ONCE: Final = 1_000

_TOKENS: Final = """
AND NOT EXISTS (SELECT FROM identity_refresh AS token WHERE token.grant_id = old.id)
AND NOT EXISTS (SELECT FROM identity_issued AS token WHERE token.grant_id = old.id)
"""
_GRANTS: Final = """
AND NOT EXISTS (SELECT FROM identity_grant AS one WHERE one.session_id = old.id)
"""
# Table and key of what has ended, and since when it may go.
_ENDED: Final = (
    ("identity_launch", "secret", "expires_at < clock_timestamp() - interval '1 day'"),
    ("identity_challenge", "secret", "expires_at < clock_timestamp()"),
    ("identity_refresh", "secret", "expires_at < clock_timestamp() - interval '1 day'"),
    # A request that was accepted with it may be carried out later, if it still stands.
    (
        "identity_issued",
        "jti",
        "expires_at < clock_timestamp() - make_interval(secs => %(waits)s)",
    ),
    ("identity_assertion", "client_id, jti", "expires_at < clock_timestamp() - interval '2 min'"),
    ("identity_attempt", "key", "last_at < clock_timestamp() - interval '2 days'"),
    # A token that is older is not taken any more, revoked or not.
    (
        "revoked_token",
        "issuer, jti",
        "revoked_at < clock_timestamp() - make_interval(secs => %(oldest)s)",
    ),
    # What an app was let do, and with it its code, by which a second use is known.
    ("identity_grant", "id", f"created_at < clock_timestamp() - interval '1 day' {_TOKENS}"),
    # An inquiry may still ask for sessions of the last month.
    (
        "identity_session",
        "id",
        f"created_at < clock_timestamp() - make_interval(secs => %(session)s) {_GRANTS}",
    ),
)


def _statement(table: str, key: str, condition: str) -> str:
    return (
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} AS old"
        f" WHERE {condition} LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED)"
    )


_STATEMENTS: Final = tuple(_statement(*one) for one in _ENDED)


def job(seconds: float) -> jobs.Job:
    """Return the job, which comes back by itself."""
    return jobs.Job(KIND, {}, KIND, seconds)


async def begin(server: Server) -> None:
    """Have the job carried out from now on."""
    async with server.database.statement() as connection:
        await jobs.enqueue(connection, [job(0)])


async def run(server: Server, _payload: dict[str, Any]) -> None:
    """Take out what has ended, a batch at a time, and come back."""
    for statement in _STATEMENTS:
        while await _batch(server, statement) == _AT_ONCE:
            pass
    async with server.database.statement() as connection:
        await jobs.enqueue(connection, [job(_EVERY_SECONDS)])


async def _batch(server: Server, statement: str) -> int:
    session = server.settings.security.identity.session_seconds
    given = {
        "session": session + _MONTH_SECONDS,
        "oldest": claims.OLDEST_SECONDS + _DAY_SECONDS,
        "waits": server.settings.asynchronous.keep_seconds + _DAY_SECONDS,
    }
    async with server.database.statement() as connection:
        return (await connection.execute(statement, given)).rowcount
