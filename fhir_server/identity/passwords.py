"""Passwords: Argon2id hashes made in a bounded pool, and which passwords are taken.

https://www.rfc-editor.org/rfc/rfc9106
https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
"""

import asyncio
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.errors import BadRequest
from fhir_server.identity_settings import PasswordSettings

LONGEST = 128
_T = TypeVar("_T")


async def hashed(settings: PasswordSettings, password: str) -> str:
    """Return the hash of a password in the PHC format."""
    return await _aside(settings, _hasher(settings).hash, _normal(password))


async def verify(settings: PasswordSettings, known: str | None, password: str) -> bool:
    """Return whether this is the password; without a known hash, False in the same time."""
    return await _aside(settings, _is_right, settings, known, _normal(password))


def is_outdated(settings: PasswordSettings, known: str) -> bool:
    """Return whether the hash was made at another cost than is set now."""
    return _hasher(settings).check_needs_rehash(known)


def check(settings: PasswordSettings, password: str, name: str) -> None:
    """Refuse a password that is too short or long, soon guessed, or the name itself.

    It takes 100 to 200 ms, most of it in another process.
    """
    normal = _normal(password)
    if not settings.shortest <= len(normal) <= LONGEST:
        raise BadRequest(f"A password has {settings.shortest} to {LONGEST} characters")
    lower = normal.lower()
    if name.lower() in lower and len(lower) - len(name) < _FEW:
        raise BadRequest("A password is not the name of the user")
    if len(set(lower)) < _FEW or _score(normal, name) < _GOOD:
        raise BadRequest("This password is among those that attackers try first")


_FEW: Final = 5
_GOOD: Final = 3
"""Of 0 to 4: what takes 100 million guesses, and more, with the passwords of breaches first."""

_SECONDS: Final = 20


def _score(password: str, name: str) -> int:
    """Return how hard a password is to guess, by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "fhir_server.identity.guessing"],
        input=json.dumps([password, [name, "sangam"]]).encode(),
        stdout=subprocess.PIPE,
        timeout=_SECONDS,
        check=True,
    )
    return int(done.stdout)


def _normal(password: str) -> str:
    """Return the password as it is whatever keyboard composed it (SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _is_right(settings: PasswordSettings, known: str | None, password: str) -> bool:
    against = known if known is not None else _nobody(settings)
    return _matches(_hasher(settings), against, password) and known is not None


def _matches(hasher: PasswordHasher, known: str, password: str) -> bool:
    try:
        return hasher.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=4)
def _hasher(settings: PasswordSettings) -> PasswordHasher:
    return PasswordHasher(
        time_cost=settings.passes,
        memory_cost=settings.memory_kib,
        parallelism=settings.parallelism,
    )


@lru_cache(maxsize=4)
def _nobody(settings: PasswordSettings) -> str:
    """Return a hash at today's cost that no password is known of."""
    return _hasher(settings).hash("nobody's")


@lru_cache(maxsize=4)
def _pool(at_once: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(at_once, thread_name_prefix="argon2")


async def _aside(settings: PasswordSettings, function: Callable[..., _T], *values: object) -> _T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pool(settings.at_once), function, *values)
