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
from fhir_server.identity import (
    address_groups,
    opaque,
    passkeys,
    passwords,
    second_factor,
    throttle,
    users,
)
from fhir_server.identity.users import User
from fhir_server.identity.webauthn import Place
from fhir_server.server import Server

DOOR: Final = "login"
WRONG: Final = "The name or the password is not right"
LATE: Final = "That took too long; log in again"
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
    server: Server, user: User, seed: str, code: str, address: str, *, first: bool = False
) -> list[str]:
    """Set up a device by its first code and return recovery codes; Unauthenticated if wrong.

    Counted as each attempt is: else it would end a delay that others' passwords have brought.
    One that is to be the `first` is taken while there is no other.
    """
    keys = _keys(server, user.name, address)
    async with server.database.statement() as connection:
        await throttle.count(connection, server.settings.security.identity, *keys)
    async with server.database.transaction() as connection:
        step = second_factor.step_of(seed, code, time.time())
        if step is None:
            raise Unauthenticated(WRONG_CODE)
        await _locked(connection, user, first=first)
        await second_factor.enrol(server, connection, user, seed, step)
        codes = await second_factor.new_codes(server, connection, user.id)
        await throttle.clear(connection, *keys)
        await _changed(connection, user, address)
    return codes


async def by_passkey(server: Server, here: Place, user: User, answer: str, address: str) -> str:
    """Return how a key of an authenticator proved the second factor; else Unauthenticated."""
    keys = _keys(server, user.name, address)
    async with server.database.statement() as connection:
        await throttle.count(connection, server.settings.security.identity, *keys)
        try:
            method = await passkeys.used(connection, here, user, answer)
        except Unauthenticated:
            await _failed(server, user.name, address)
            raise
        await throttle.clear(connection, *keys)
    return method


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A browser's answer with a new key; one to be the `first` factor is so while there is none."""

    answer: str
    name: str
    first: bool


async def by_new_passkey(
    server: Server, here: Place, user: User, new: NewPasskey, address: str
) -> tuple[str, list[str]]:
    """Set up a key; return how it proves the second factor, and recovery codes with the first.

    Unauthenticated when the answer is not to us, BadRequest for a key that is known.
    """
    keys = _keys(server, user.name, address)
    async with server.database.statement() as connection:
        await throttle.count(connection, server.settings.security.identity, *keys)
        key = await passkeys.made(connection, here, user, new.answer)
    async with server.database.transaction() as connection:
        now = await _locked(connection, user, first=new.first)
        await passkeys.add(connection, server.new_id(), user.id, key, new.name)
        codes: list[str] = []
        if not now.has_factor:
            codes = await second_factor.new_codes(server, connection, user.id)
        await throttle.clear(connection, *keys)
        await _changed(connection, user, address)
    return passkeys.method(key), codes


async def _locked(connection: Connection, user: User, *, first: bool) -> User:
    now = await users.locked(connection, user.id)
    if now is None or (first and now.has_factor):
        raise Unauthenticated(LATE)
    return now


async def _changed(connection: Connection, user: User, address: str) -> None:
    caller = Caller(f"user/{user.id}", DOOR, user=user.fhir_user, address=address)
    await happened(connection, caller, USERS_CHANGED, about=[user.name])


async def _failed(server: Server, name: str, address: str) -> None:
    caller = Caller(name=f"login/{name}", door=DOOR, address=address)
    async with server.database.aside() as connection:
        await happened(connection, caller, LOGIN, about=[name], outcome=MINOR)


async def needs_second_factor(server: Server, user: User) -> bool:
    """Return whether a password alone does not do for this user, as the roles are now."""
    return user.has_factor or await must_have_second_factor(server, user)


async def must_have_second_factor(server: Server, user: User) -> bool:
    """Return whether a user has to set up a second factor, as the roles are now."""
    if user.demo:
        return False
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
        raise Unauthenticated(LATE)
    user = await users.by_id(connection, found.user_id)
    if (
        user is None
        or not may_log_in(server, user)
        or found.password != _mark(user)
        or (found.seed and user.has_factor and not found.renewing)
    ):
        raise Unauthenticated(LATE)
    return user, found


def _mark(user: User) -> str:
    return opaque.hashed(user.password).hex()


def _keys(server: Server, name: str, address: str) -> tuple[bytes, bytes]:
    return (
        opaque.keyed(server, "attempt", f"account {users.normal(name)}"),
        opaque.keyed(server, "attempt", f"address {address_groups.of(address)}"),
    )
