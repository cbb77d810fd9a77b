"""Sessions of who logged in by a browser: cookie, expiry, devices, CSRF.

https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any, Final

from fhir_server.bases import DEFAULT
from fhir_server.database import Connection
from fhir_server.identity import login, opaque, users
from fhir_server.identity.users import User
from fhir_server.identity_settings import IdentitySettings
from fhir_server.server import Server

_BOTH: Final = 2
"""Factors by which staff log in."""

_CSRF: Final = "csrf"
_COLUMNS: Final = (
    "id, user_id, created_at, seen_at, authenticated_at, methods, address, device, ended_at"
)
_LIVE: Final = """
ended_at IS NULL AND seen_at > clock_timestamp() - make_interval(secs => %(idle)s)
AND created_at > clock_timestamp() - make_interval(secs => %(whole)s)
"""
# A session is seen at most so often, so that a page of many parts is one write.
_FIND: Final = f"""
WITH seen AS (
  UPDATE identity_session SET seen_at = clock_timestamp()
  WHERE secret = %(secret)s AND {_LIVE} AND seen_at < clock_timestamp() - interval '20 s'
)
SELECT {_COLUMNS} FROM identity_session WHERE secret = %(secret)s AND {_LIVE}
"""
_END: Final = """
WITH ended AS (
  UPDATE identity_session SET ended_at = clock_timestamp()
  WHERE {condition} AND ended_at IS NULL RETURNING id
), online AS (
  UPDATE identity_grant SET ended_at = clock_timestamp(), reason = 'session ended'
  WHERE session_id IN (SELECT id FROM ended) AND ended_at IS NULL RETURNING id
), revoked AS (
  UPDATE identity_issued SET revoked_at = clock_timestamp()
  WHERE grant_id IN (SELECT id FROM online) AND revoked_at IS NULL
)
SELECT count(*) FROM ended
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A login that has not ended; `methods` are those of RFC 8176 (`pwd`, `otp`)."""

    id: str
    user_id: str
    created_at: datetime
    seen_at: datetime
    authenticated_at: datetime
    methods: tuple[str, ...]
    address: str
    device: str
    ended_at: datetime | None

    def is_fresh(self, seconds: float) -> bool:
        """Return whether the login was so short ago."""
        return (datetime.now(UTC) - self.authenticated_at).total_seconds() <= seconds


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is logged in, and by which session."""

    session: Session
    user: User


async def begin(
    server: Server,
    connection: Connection,
    user: User,
    methods: Sequence[str],
    *,
    address: str,
    device: str,
) -> str:
    """Store a new session and return the secret for its cookie."""
    secret = opaque.new()
    await connection.execute(
        "INSERT INTO identity_session (id, secret, user_id, methods, address, device)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (server.new_id(), opaque.hashed(secret), user.id, list(methods), address, device[:200]),
    )
    return secret


async def renew(connection: Connection, session: Session, methods: Sequence[str]) -> str:
    """Note that the user logged in again and return the new secret; the old one counts no more."""
    secret = opaque.new()
    await connection.execute(
        "UPDATE identity_session SET secret = %s, methods = %s,"
        " seen_at = clock_timestamp(), authenticated_at = clock_timestamp() WHERE id = %s",
        (opaque.hashed(secret), list(methods), session.id),
    )
    return secret


async def visitor(server: Server, cookies: str | None) -> Visitor | None:
    """Return who sends these cookies, None when nobody is logged in by them.

    A sample user counts in demo mode alone.
    """
    secret = cookie_of(server, cookies)
    if secret is None:
        return None
    values = {"secret": opaque.hashed(secret), **_lives(server.settings.security.identity)}
    async with server.database.statement() as connection:
        row = await (await connection.execute(_FIND, values)).fetchone()
        if row is None:
            return None
        session = _session(row)
        user = await users.by_id(connection, session.user_id)
    if user is None or not login.may_log_in(server, user):
        return None
    if len(session.methods) < _BOTH and await login.needs_second_factor(server, user):
        return None  # who was made staff since has to log in as staff do
    return Visitor(session, user)


async def of_user(server: Server, connection: Connection, user_id: str) -> list[Session]:
    """Return the user's sessions that have not ended, the latest first."""
    values = {"user": user_id, **_lives(server.settings.security.identity)}
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM identity_session WHERE user_id = %(user)s AND {_LIVE}"
        " ORDER BY seen_at DESC",
        values,
    )
    return [_session(row) for row in await cursor.fetchall()]


async def end(connection: Connection, user_id: str, session_id: str) -> bool:
    """End a session of the user and what apps hold for as long as it lasts."""
    condition = "id = %(session)s AND user_id = %(user)s"
    return bool(await _end(connection, condition, user_id, session_id))


async def end_all(connection: Connection, user_id: str, but: str = "") -> int:
    """End every session of the user, but one; return how many ended."""
    return await _end(connection, "user_id = %(user)s AND id <> %(session)s", user_id, but)


async def _end(connection: Connection, condition: str, user_id: str, session_id: str) -> int:
    statement = _END.format(condition=condition)
    values = {"user": user_id, "session": session_id}
    row = await (await connection.execute(statement, values)).fetchone()
    return int(row[0]) if row else 0


def csrf(server: Server, session: Session) -> str:
    """Return the token by which a form proves that it came from a page of this session."""
    return opaque.keyed(server, _CSRF, session.id).hex()


def is_csrf(server: Server, session: Session, given: str) -> bool:
    """Return whether that is the session's token."""
    # In bytes: texts may be compared so only while they are ASCII.
    return hmac.compare_digest(csrf(server, session).encode(), given.encode())


def cookie_name(server: Server) -> str:
    """Return the cookie's name, one for each tenant; over https no other host can set it."""
    name = "sangam" if server.tenant == DEFAULT else f"sangam-{server.tenant}"
    return f"__Host-{name}" if server.base.startswith("https:") else name


def cookie(server: Server, secret: str) -> str:
    """Return the header Set-Cookie of a session, which ends with the browser at the latest."""
    secure = "; Secure" if server.base.startswith("https:") else ""
    gone = "" if secret else "; Max-Age=0"
    return f"{cookie_name(server)}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}{gone}"


def cookie_of(server: Server, cookies: str | None) -> str | None:
    """Return the secret in a header Cookie."""
    if not cookies:
        return None
    found = SimpleCookie(cookies).get(cookie_name(server))
    return found.value if found and found.value else None


def _lives(settings: IdentitySettings) -> dict[str, int]:
    return {"idle": settings.session_idle_seconds, "whole": settings.session_seconds}


def _session(row: Sequence[Any]) -> Session:
    id_, user_id, created, seen, authenticated, methods, address, device, ended = row
    return Session(
        id_, user_id, created, seen, authenticated, tuple(methods), address, device, ended
    )
