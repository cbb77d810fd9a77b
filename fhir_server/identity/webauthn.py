"""What browsers and authenticators are asked, and what is believed of their answers.

https://www.w3.org/TR/webauthn-3/
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from fhir_server.errors import Unauthenticated

SECONDS: Final = 300
"""How long an answer is waited for."""

WRONG: Final = "The passkey was not taken; try again"

_ALGORITHMS: Final = (-7, -8, -35, -257)
"""ES256, Ed25519, ES384, RS256 (COSE, RFC 9053), the best known first."""

_ALGORITHM: Final = 3
_LONGEST: Final = 2_600  # with a key of RSA of 8192 bits
_LONGEST_ID: Final = 1023
"""Bytes of a credential's id (WebAuthn, 7.1 step 25)."""

_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    RecursionError,
    struct.error,
    UnsupportedAlgorithm,
)
"""What the library raises of bytes that are none, and of checks that fail."""

R = TypeVar("R", RegistrationResponse, AuthenticationResponse)


@dataclass(frozen=True, slots=True)
class Place:
    """Where keys count: the origin of our pages, and the relying party's id, its host."""

    origin: str
    host: str


@dataclass(frozen=True, slots=True)
class Passkey:
    """A key as its authenticator told it; `count` is its counter of signatures.

    `synced` keys may be on several devices.
    """

    attested: bytes
    count: int
    synced: bool

    @property
    def credential(self) -> bytes:
        """Return the id by which its authenticator knows it."""
        return AttestedCredentialData(self.attested).credential_id


def place(origin: str) -> Place | None:
    """Return where keys count for pages of this origin (that of the base URL).

    None where browsers have none: of addresses instead of names, and of http beyond this
    machine.
    """
    found = urlsplit(origin)
    host = found.hostname or ""
    local = host == "localhost" or host.endswith(".localhost")
    if _is_address(host) or not host or not (found.scheme == "https" or local):
        return None
    return Place(origin, host)


def creation(
    here: Place, user: tuple[str, str, str], known: Sequence[bytes], challenge: bytes
) -> str:
    """Return what a browser is asked for a new key, in the form of JSON.

    `user` is id, name and display; keys that are `known` (their credentials) are not made again.
    """
    id_, name, display = user
    entity = PublicKeyCredentialUserEntity(id=id_.encode(), name=name, display_name=display)
    options, _ = _server(here).register_begin(
        entity,
        [_descriptor(one) for one in known],
        ResidentKeyRequirement.DISCOURAGED,
        UserVerificationRequirement.REQUIRED,
        challenge=challenge,
    )
    return json.dumps(dict(options.public_key))


def request(here: Place, known: Sequence[bytes], challenge: bytes) -> str:
    """Return what a browser is asked for a signature by one of the known keys, as JSON."""
    options, _ = _server(here).authenticate_begin(
        [_descriptor(one) for one in known],
        UserVerificationRequirement.REQUIRED,
        challenge=challenge,
    )
    return json.dumps(dict(options.public_key))


def challenge_of(text: str) -> bytes:
    """Return the challenge that an answer says it is to; Unauthenticated when it is none."""
    try:
        said = msgspec.json.decode(text.encode())
        data = CollectedClientData(websafe_decode(said["response"]["clientDataJSON"]))
        return data.challenge  # noqa: TRY300  (what is refused above is refused alike)
    except _UNREADABLE as error:
        raise Unauthenticated(WRONG) from error


def registered(here: Place, text: str, challenge: bytes) -> Passkey:
    """Return the new key of an answer; Unauthenticated when it is not one to the challenge.

    What the authenticator says of its maker is not asked for and not believed.
    """
    try:
        answer = _read(RegistrationResponse, text)
        _check(answer.response.client_data)
        server = _server(here)
        data = server.register_complete(_state(challenge), answer)
        attested = data.credential_data
        _agree(attested is not None and data.is_user_verified())
        assert attested is not None
        _agree(attested.credential_id == answer.raw_id)
        _agree(0 < len(attested.credential_id) <= _LONGEST_ID and len(attested) <= _LONGEST)
        _agree(attested.public_key.get(_ALGORITHM) in _ALGORITHMS)
        return Passkey(bytes(attested), data.counter, _is_synced(data))
    except _UNREADABLE as error:
        raise Unauthenticated(WRONG) from error


def asserted(
    here: Place, text: str, challenge: bytes, user_id: str, known: Sequence[Passkey]
) -> tuple[Passkey, int]:
    """Return which of the user's keys signed the challenge, and the counter that it told.

    Unauthenticated when none did. Whether the counter went on is for who keeps it.
    """
    try:
        answer = _read(AuthenticationResponse, text)
        _check(answer.response.client_data)
        handle = answer.response.user_handle
        _agree(not handle or handle == user_id.encode())
        keys = {one.credential: one for one in known}
        found = _server(here).authenticate_complete(
            _state(challenge), [AttestedCredentialData(one.attested) for one in known], answer
        )
        key = keys[found.credential_id]
        data = answer.response.authenticator_data
        # Whether a key can be copied is settled when it is made (WebAuthn, 7.2 step 18).
        _agree(_is_synced(data) == key.synced)
        return key, data.counter  # noqa: TRY300  (what is refused above is refused alike)
    except _UNREADABLE as error:
        raise Unauthenticated(WRONG) from error


def _server(here: Place) -> Fido2Server:
    found = Fido2Server(
        PublicKeyCredentialRpEntity(name="Sangam", id=here.host),
        AttestationConveyancePreference.NONE,
        verify_origin=lambda origin: origin == here.origin,
    )
    kind = PublicKeyCredentialType.PUBLIC_KEY
    found.allowed_algorithms = [
        PublicKeyCredentialParameters(type=kind, alg=one) for one in _ALGORITHMS
    ]
    found.timeout = SECONDS * 1000  # type: ignore[assignment]  # the library infers None
    return found


def _state(challenge: bytes) -> dict[str, Any]:
    """Return what the library keeps of a question, in its form."""
    return {
        "challenge": websafe_encode(challenge),
        "user_verification": UserVerificationRequirement.REQUIRED,
    }


def _read(kind: type[R], text: str) -> R:
    return kind.from_dict(msgspec.json.decode(text.encode(), type=dict[str, Any]))


def _check(data: CollectedClientData) -> None:
    # Our pages stand in no frame, and so does no question of ours.
    _agree(not data.cross_origin and "topOrigin" not in msgspec.json.decode(bytes(data)))


def _agree(right: bool) -> None:  # noqa: FBT001  (the one thing that it is told)
    if not right:
        raise ValueError


def _is_synced(data: AuthenticatorData) -> bool:
    """Return whether the key may be on several devices; ValueError where it is without it may."""
    may, does = AuthenticatorData.FLAG.BE, AuthenticatorData.FLAG.BS
    _agree(bool(data.flags & may) or not data.flags & does)
    return bool(data.flags & may)


def _descriptor(credential: bytes) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=credential)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
