"""The second factor as a code: of time, or of recovery for who lost the device.

https://www.rfc-editor.org/rfc/rfc6238
"""

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

import pyotp
import segno

from fhir_server.database import Connection
from fhir_server.identity import opaque
from fhir_server.identity.users import User
from fhir_server.server import Server

SEED: Final = "second factor"
"""For what seeds are sealed."""

_RECOVERY: Final = "recovery code"
_PERIOD: Final = 30
_DRIFT: Final = (0, -1, 1)
"""Time steps that a device may be off (RFC 6238, 5.2)."""

CODES: Final = 10
"""Recovery codes of a user."""

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH: Final = 12

Clock = Callable[[], float]


def new_seed() -> str:
    """Return a new secret, 160 bits in base 32 (RFC 4226, 4)."""
    return pyotp.random_base32()


def address(seed: str, name: str, issuer: str) -> str:
    """Return the `otpauth:` URL that an authenticator app reads."""
    return pyotp.TOTP(seed).provisioning_uri(name=name, issuer_name=issuer)


def picture(text: str) -> str:
    """Return the QR code of a text as SVG."""
    return segno.make(text, error="m").svg_inline(omitsize=True, border=3, light="#fff")


def step_of(seed: str, code: str, now: float) -> int | None:
    """Return the time step of which this is the code, None when it is of none near `now`."""
    totp = pyotp.TOTP(seed)
    here = int(now) // _PERIOD
    given = "".join(code.split())
    for drift in _DRIFT:
        if hmac.compare_digest(totp.at((here + drift) * _PERIOD).encode(), given.encode()):
            return here + drift
    return None


async def enrol(server: Server, connection: Connection, user: User, seed: str, step: int) -> None:
    """Keep the seed of a user's device; the code of `step` was used to prove it."""
    sealed = await opaque.stored(server, SEED, user.id, seed.encode())
    await connection.execute(
        "UPDATE identity_user SET seed = %s, step = %s, recovery = '{}' WHERE id = %s",
        (sealed, step, user.id),
    )


async def forget(connection: Connection, user_id: str) -> None:
    """Forget every device, key and code of a user, who sets up another at the next login."""
    await forget_phone(connection, user_id)
    await connection.execute("DELETE FROM identity_passkey WHERE user_id = %s", (user_id,))
    await connection.execute("UPDATE identity_user SET recovery = '{}' WHERE id = %s", (user_id,))


async def forget_phone(connection: Connection, user_id: str) -> None:
    """Forget the device that makes codes, and nothing else."""
    await connection.execute(
        "UPDATE identity_user SET seed = NULL, step = NULL WHERE id = %s", (user_id,)
    )


async def spend(
    server: Server, connection: Connection, user: User, code: str, clock: Clock = time.time
) -> str | None:
    """Return how the code proves the second factor (`otp`, `recovery`); None when it does not.

    Each code counts once, also when two requests bring it at the same time.
    """
    if not user.has_factor:
        return None
    seed = await opaque.brought(server, SEED, user.id, user.seed) if user.seed else None
    step = step_of(seed.decode(), code, clock()) if seed else None
    if step is not None:
        cursor = await connection.execute(
            "UPDATE identity_user SET step = %(step)s"
            " WHERE id = %(id)s AND (step IS NULL OR step < %(step)s)",
            {"step": step, "id": user.id},
        )
        return "otp" if cursor.rowcount else None
    kept = _kept(server, user.id, code)
    cursor = await connection.execute(
        "UPDATE identity_user SET recovery = array_remove(recovery, %(code)s)"
        " WHERE id = %(id)s AND %(code)s = ANY (recovery)",
        {"code": kept, "id": user.id},
    )
    return "recovery" if cursor.rowcount else None


async def new_codes(server: Server, connection: Connection, user_id: str) -> list[str]:
    """Return new recovery codes, of which hashes are kept; former ones count no more."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(CODES)]
    await connection.execute(
        "UPDATE identity_user SET recovery = %s WHERE id = %s",
        ([_kept(server, user_id, code) for code in codes], user_id),
    )
    return [f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes]


def _kept(server: Server, user_id: str, code: str) -> str:
    plain = "".join(one for one in code.lower() if one in _ALPHABET)
    return opaque.keyed(server, _RECOVERY, f"{user_id} {plain}").hex()
