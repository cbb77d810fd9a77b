"""Users: who may log in, as whom and in which roles."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import UniqueViolation

from fhir_server.database import Connection
from fhir_server.errors import Conflict, NotFound

PATIENT: Final = "PATIENT"
"""The role of patients."""

_COLUMNS: Final = (
    "id, name, display, fhir_user, roles, password, seed, demo, active, cardinality(recovery),"
    " created_at, (SELECT count(*) FROM identity_passkey WHERE user_id = identity_user.id)"
)


@dataclass(frozen=True, slots=True)
class User:
    """A person who logs in by `name`; `fhir_user` is the reference to who it is in FHIR.

    `seed` is the sealed secret of the phone that makes codes, None where none is set up;
    `codes` how many recovery codes are left, `passkeys` how many keys of authenticators there
    are. `demo`: one of the sample users, of demo mode alone.
    """

    id: str
    name: str
    display: str
    fhir_user: str | None
    roles: tuple[str, ...]
    password: str
    seed: str | None
    demo: bool
    active: bool
    codes: int
    created_at: datetime
    passkeys: int

    @property
    def has_factor(self) -> bool:
        """Return whether a second factor is set up."""
        return self.seed is not None or self.passkeys > 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A user to be added; `password` is its hash."""

    name: str
    display: str
    fhir_user: str | None
    roles: tuple[str, ...]
    password: str
    demo: bool = False


def normal(name: str) -> str:
    """Return a name as it is compared: without spaces around, in lower case."""
    return name.strip().lower()


async def by_name(connection: Connection, name: str) -> User | None:
    """Return the user of that name, active or not."""
    return await _one(connection, "name = %(value)s", normal(name))


async def by_id(connection: Connection, id_: str) -> User | None:
    """Return the user with that id, active or not."""
    return await _one(connection, "id = %(value)s", id_)


async def locked(connection: Connection, id_: str) -> User | None:
    """Return the user with that id, whom nobody else changes until the transaction ends."""
    await connection.execute("SELECT FROM identity_user WHERE id = %s FOR NO KEY UPDATE", (id_,))
    return await by_id(connection, id_)


async def listed(connection: Connection) -> list[User]:
    """Return all users by name."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM identity_user ORDER BY name")
    return [_user(row) for row in await cursor.fetchall()]


async def add(connection: Connection, id_: str, draft: Draft) -> None:
    """Store a new user; Conflict when there is one of that name."""
    try:
        await connection.execute(
            "INSERT INTO identity_user (id, name, display, fhir_user, roles, password, demo)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                id_,
                normal(draft.name),
                draft.display,
                draft.fhir_user,
                list(draft.roles),
                draft.password,
                draft.demo,
            ),
        )
    except UniqueViolation as error:
        raise Conflict("There is a user of this name already") from error


async def set_password(connection: Connection, id_: str, password: str) -> None:
    """Keep the hash of a new password."""
    await _changed(
        connection, id_, "password = %(value)s, password_at = clock_timestamp()", password
    )


async def set_roles(connection: Connection, id_: str, roles: Sequence[str]) -> None:
    """Keep the roles of a user."""
    await _changed(connection, id_, "roles = %(value)s", list(roles))


async def set_fhir_user(connection: Connection, id_: str, reference: str | None) -> None:
    """Keep who a user is in FHIR."""
    await _changed(connection, id_, "fhir_user = %(value)s", reference)


async def set_active(connection: Connection, id_: str, *, active: bool) -> None:
    """Let a user log in, or no longer; what it has open then ends with the next look."""
    await _changed(connection, id_, "active = %(value)s", active)


async def _changed(connection: Connection, id_: str, change: str, value: object) -> None:
    statement = f"UPDATE identity_user SET {change} WHERE id = %(id)s"
    cursor = await connection.execute(statement, {"id": id_, "value": value})
    if not cursor.rowcount:
        raise NotFound("There is no such user")


async def _one(connection: Connection, condition: str, value: str) -> User | None:
    statement = f"SELECT {_COLUMNS} FROM identity_user WHERE {condition}"
    row = await (await connection.execute(statement, {"value": value})).fetchone()
    return _user(row) if row else None


def _user(row: Sequence[Any]) -> User:
    id_, name, display, fhir_user, roles, *rest = row
    return User(id_, name, display, fhir_user, tuple(roles), *rest)
