"""Logging in: password, then the second factor where the user needs one.

What stands between the two steps is sealed into the page, so that nothing is kept for who
does not go on.
"""

import time
from dataclasses import dataclass
from typing import Final

import msgspec

from fhir_server.access import role_store, roles
from fhir_server.audit.happening import LOGIN, USERS_CHANGED, happened
from fhir_server.audit.record import MINOR
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Unauthenticated
from fhir_server.identity import opaque, passwords, second_factor, throttle, users
from fhir_server.identity.users import User
from fhir_server.server import Server

DOOR: Final = "login"
WRONG: Final = "The name or the password is not right"
WRONG_CODE: Final = "This code is not right, or was used already"
_HALF: Final = "half a login"
_HALF_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Half:
    """A user whose password was right at `at`; `seed` is that of a device to be set up.

    `password` marks the one that was right: with another it counts no more. `renewing` is the
    session whose fresh login allowed that the device takes the place of a former one.
    """

    user_id: str
    at: float
    password: str = ""
    seed: str | None = None
    renewing: str = ""


def half(user: User, seed: str | None = None, renewing: str = "") -> Half:
    """Return half a login of a user whose password was right just now."""
    return Half(user.id, time.time(), _mark(user), seed, renewing)


async def by_password(server: Server, name: str, password: str, address: str) -> User:
    """Return the user; Unauthenticated, or Throttled, alike whether there is one of that name."""
    settings = server.settings.security.identity
    async with server.database.statement() as connection:
        keys = _keys(server, name, address)
        await throttle.count(connection, settings, *keys)
        user = await users.by_name(connection, name)
    known = user if user and may_log_in(server, user) else None
    right = await passwords.verify(
        settings.password, known.password if known else None, password[: 4 * passwords.LONGEST]
    )
    if not right or known is None:
        # What was typed may be a password; only a name that is known is recorded.
        await _failed(server, known.name if known else "unknown", address)
        raise Unauthenticated(WRONG)
    is_in = not await needs_second_factor(server, known)
    async with server.database.statement() as connection:
        if is_in:
            await throttle.clear(connection, *keys)
        if passwords.is_outdated(settings.password, known.password):
            fresh = await passwords.hashed(settings.password, password)
            await users.set_password(connection, known.id, fresh)
    return known


async def by_code(server: Server, user: User, code: str, address: str) -> str:
    """Return how the code proved the second factor; Unauthenticated when it did not."""
    keys = _keys(server, user.name, address)
    async with server.database.statement() as connection:
        await throttle.count(connection, server.settings.security.identity, *keys)
        method = await second_factor.spend(server, connection, user, code)
        if method is None:
            await _failed(server, user.name, address)
            raise Unauthenticated(WRONG_CODE)
        await throttle.clear(connection, *keys)
    return method


async def by_new_device(
    server: Server, user: User, seed: str, code: str, address: str
) -> list[str]:
    """Set up a device by its first code and return recovery codes; Unauthenticated if wrong.

    Counted as each attempt is: else it would end a delay that others' passwords have brought.
    """
    keys = _keys(server, user.name, address)
    async with server.database.statement() as connection:
        await throttle.count(connection, server.settings.security.identity, *keys)
    async with server.database.transaction() as connection:
        step = second_factor.step_of(seed, code, time.time())
        if step is None:
            raise Unauthenticated(WRONG_CODE)
        await second_factor.enrol(server, connection, user, seed, step)
        codes = await second_factor.new_codes(server, connection, user.id)
        await throttle.clear(connection, *keys)
        caller = Caller(f"user/{user.id}", DOOR, user=user.fhir_user, address=address)
        await happened(connection, caller, USERS_CHANGED, about=[user.name])
    return codes


async def _failed(server: Server, name: str, address: str) -> None:
    caller = Caller(name=f"login/{name}", door=DOOR, address=address)
    async with server.database.aside() as connection:
        await happened(connection, caller, LOGIN, about=[name], outcome=MINOR)


async def needs_second_factor(server: Server, user: User) -> bool:
    """Return whether a password alone does not do for this user, as the roles are now."""
    if user.seed is not None or user.demo:
        return user.seed is not None
    if server.settings.security.identity.second_factor == "all":
        return True
    return roles.is_staff(await role_store.in_force(server), user.roles)


def may_log_in(server: Server, user: User) -> bool:
    """Return whether the user is active, and no sample outside of demo mode."""
    return user.active and (server.settings.demo or not user.demo)


def sealed(server: Server, given: Half) -> str:
    """Return the text that stands for a right password in a page."""
    return opaque.sealed(server, _HALF, "", msgspec.json.encode(given))


async def opened(server: Server, connection: Connection, text: str) -> tuple[User, Half]:
    """Return the user of half a login; Unauthenticated when it is too old, or none."""
    raw = opaque.unsealed(server, _HALF, "", text)
    found = msgspec.json.decode(raw, type=Half) if raw else None
    if found is None or time.time() - found.at > _HALF_SECONDS:
        raise Unauthenticated("That took too long; log in again")
    user = await users.by_id(connection, found.user_id)
    if (
        user is None
        or not may_log_in(server, user)
        or found.password != _mark(user)
        or (found.seed and user.seed and not found.renewing)
    ):
        raise Unauthenticated("That took too long; log in again")
    return user, found


def _mark(user: User) -> str:
    return opaque.hashed(user.password).hex()


def _keys(server: Server, name: str, address: str) -> tuple[bytes, bytes]:
    return (
        opaque.keyed(server, "attempt", f"account {users.normal(name)}"),
        opaque.keyed(server, "attempt", f"address {address}"),
    )
