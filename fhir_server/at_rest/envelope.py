"""The key of a sealed folder, in an envelope that its receiver opens.

The envelope is a JWE of 32 bytes: for the public key of a pair (X25519), whose private part the
receiver alone has, or for a passphrase that both know.

https://www.rfc-editor.org/rfc/rfc7516
https://www.rfc-editor.org/rfc/rfc8037
"""

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from fhir_server.at_rest.keys import KEY_BYTES, Damaged
from fhir_server.errors import BadRequest, Conflict

NAME: Final = "KEY"
"""The envelope's file in a sealed folder."""

SHORTEST: Final = 16
"""Characters of a passphrase: who has the folder may try as many as there is time for."""

LARGEST: Final = 4096
"""Bytes that an envelope has at most."""

# OWASP's password storage cheat sheet says 210,000; the library opens nothing of 300,000 or more.
ROUNDS: Final = 250_000

_FOR_PAIR: Final = "ECDH-ES+A256KW"
_FOR_PHRASE: Final = "PBES2-HS512+A256KW"
_CIPHER: Final = "A256GCM"
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP


def new_pair(private: Path) -> str:
    """Write a new private key, and return the public one that others seal for.

    Conflict when the file is there already.
    """
    pair = OKPKey.generate_key("X25519")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(private, flags, 0o400)
    except FileExistsError:
        raise Conflict(f"The file {private} is there already; name a new one") from None
    with os.fdopen(descriptor, "w") as file:
        json.dump(pair.as_dict(private=True), file)
        file.flush()
        os.fsync(file.fileno())
    return json.dumps(pair.as_dict(private=False))


def for_pair(key: bytes, public: Path) -> str:
    """Return the envelope that the private part of this public key opens."""
    return _sealed(key, _pair(public, private=False), {"alg": _FOR_PAIR})


def for_passphrase(key: bytes, passphrase: str) -> str:
    """Return the envelope that this passphrase opens; BadRequest for a short one."""
    if len(passphrase) < SHORTEST:
        raise BadRequest(f"A passphrase has at least {SHORTEST} characters")
    return _sealed(key, _phrase(passphrase), {"alg": _FOR_PHRASE, "p2c": ROUNDS})


def opened(envelope: str, *, private: Path | None = None, passphrase: str | None = None) -> bytes:
    """Return the key in an envelope; Damaged when it is not for this pair or passphrase."""
    if passphrase is None:
        if private is None:
            raise BadRequest("The export opens by a private key or by a passphrase; give one")
        return _content(envelope, _pair(private, private=True), _FOR_PAIR)
    return _content(envelope, _phrase(passphrase), _FOR_PHRASE)


def _sealed(key: bytes, by: OKPKey | OctKey, header: dict[str, Any]) -> str:
    said = {**header, "enc": _CIPHER}
    return jwe.encrypt_compact(said, key, by, algorithms=[header["alg"], _CIPHER])


def _content(envelope: str, by: OKPKey | OctKey, algorithm: str) -> bytes:
    try:
        found = jwe.decrypt_compact(envelope, by, algorithms=[algorithm, _CIPHER]).plaintext
    except (JoseError, ValueError):
        found = None
    if found is None or len(found) != KEY_BYTES:
        raise Damaged("The envelope of the key was changed, or is for another key or passphrase")
    return found


def _phrase(passphrase: str) -> OctKey:
    return OctKey.import_key(passphrase.encode())


def _pair(path: Path, *, private: bool) -> OKPKey:
    try:
        with path.open("rb") as file:
            if private and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
                raise Conflict(f"Other accounts may read or change the key: chmod 0400 {path}")
            found = OKPKey.import_key(json.loads(file.read(LARGEST)))
    except OSError as error:
        raise BadRequest(f"The key {path} cannot be read ({error.strerror})") from error
    except (JoseError, ValueError) as error:
        raise BadRequest(f"The file {path} is no key that `sangam tenant pair` made") from error
    if found.curve_name != "X25519" or (private and not found.is_private):
        raise BadRequest(f"The file {path} is no key that `sangam tenant pair` made")
    return found
