"""The claims of an access token, checked without asking anybody.

A claim that is missing, of another kind, or there twice makes the token no token: it never
means that there is no restriction.

https://www.rfc-editor.org/rfc/rfc9068#section-4
https://www.rfc-editor.org/rfc/rfc8725
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fhir_server.access import scopes
from fhir_server.errors import BadRequest, Unauthenticated
from fhir_server.r4.json import decode

OLDEST_SECONDS: Final = 366 * 86_400
"""Tokens that were issued longer ago count no more: revocations are kept for so long."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_PARTS: Final = 3
_REFERENCE: Final = re.compile(
    r"(Practitioner|PractitionerRole|Patient|RelatedPerson|Person|Device)/[A-Za-z0-9.-]{1,64}"
)
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_BEARER: Final = 'Bearer error="invalid_token"'
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the token says of its signature, and whether it says that it is an access token."""

    algorithm: str
    kid: str
    is_access_token: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """What tokens of an issuer have to say; `tenant_claim` "": they have no tenant."""

    issuer: str
    audience: str
    base: str
    tenant: str
    tenant_claim: str = "tenant"
    roles_claim: str = ""
    leeway: int = 60


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, once it is believed. `roles` is None where the issuer tells none.

    `user` is a reference relative to the FHIR base, `expires` in seconds of the epoch.
    """

    issuer: str
    subject: str
    client: str
    scope: str
    jti: str
    expires: float
    user: str | None = None
    patient: str | None = None
    roles: tuple[str, ...] | None = None
    authenticated: float | None = None


def refuse(text: str = "The access token is not accepted") -> NoReturn:
    """Raise the refusal of a token (RFC 6750, 3.1)."""
    raise Unauthenticated(text, headers={"WWW-Authenticate": _BEARER})


def is_jwt(token: str) -> bool:
    """Return whether this may be a JWT; another token is opaque."""
    return token.count(".") == _PARTS - 1


def header(token: str) -> Header:
    """Return the header of a JWT. Keys that it brings along (`jwk`, `jku`, `x5u`) do not count."""
    found = _object(_bytes(token.partition(".")[0]))
    kind, kid, algorithm = found.get("typ", "JWT"), found.get("kid"), found.get("alg")
    if not isinstance(kind, str) or kind.lower() not in _TYPES or "crit" in found:
        refuse()
    if "b64" in found or not isinstance(algorithm, str) or not isinstance(kid, str) or not kid:
        refuse()
    return Header(algorithm, kid, is_access_token=kind.lower().endswith("at+jwt"))


def unverified_issuer(token: str) -> str:
    """Return the `iss` of a JWT, by which its keys are found; nothing else of it is believed."""
    found = _object(_bytes(token.split(".")[1])).get("iss")
    return found if isinstance(found, str) else refuse()


def read(payload: bytes, expected: Expected, now: float) -> Claims:
    """Return the claims of a verified payload; Unauthenticated where one is not as expected."""
    return checked(_object(payload), expected, now)


def checked(said: Mapping[str, Any], expected: Expected, now: float) -> Claims:
    """Return claims once each is as expected; Unauthenticated otherwise."""
    if said.get("iss") != expected.issuer or expected.audience not in _audiences(said):
        refuse()
    _timely(said, expected.leeway, now)
    if expected.tenant_claim and said.get(expected.tenant_claim) != expected.tenant:
        refuse()
    scope, client = _scope(said), _client(said)
    user, patient = _user(said, expected.base), _patient(said)
    contexts = {one.context for one in scopes.scopes(scope)}
    if contexts & {"user", "patient"} and user is None:
        refuse("The access token does not say who its user is")
    if "patient" in contexts and patient is None:
        refuse("The access token does not say of which patient it is")
    return Claims(
        issuer=expected.issuer,
        subject=_text(said, "sub"),
        client=client,
        scope=scope,
        jti=_text(said, "jti"),
        expires=_seconds(said, "exp"),
        user=user,
        patient=patient,
        roles=_texts(said, expected.roles_claim) if expected.roles_claim else None,
        authenticated=_seconds(said, "auth_time") if "auth_time" in said else None,
    )


def _timely(said: Mapping[str, Any], leeway: int, now: float) -> None:
    if _seconds(said, "exp") + leeway <= now or _seconds(said, "iat") - leeway > now:
        refuse("The access token has expired")
    if now - _seconds(said, "iat") > OLDEST_SECONDS:
        refuse("The access token has expired")
    if "nbf" in said and _seconds(said, "nbf") - leeway > now:
        refuse()


def _audiences(said: Mapping[str, Any]) -> Collection[str]:
    found = said.get("aud")
    listed = found if isinstance(found, list) else [found]
    return [one.rstrip("/") for one in listed if isinstance(one, str)]


def _client(said: Mapping[str, Any]) -> str:
    """Return who asked for the token; both names of it, where both are given, say the same."""
    found = {_text(said, name) for name in ("client_id", "azp") if name in said}
    return found.pop() if len(found) == 1 else refuse()


def _scope(said: Mapping[str, Any]) -> str:
    """Return the scopes, which some issuers call `scp` and list."""
    found = said.get("scope")
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return " ".join(found)
    return found if isinstance(found, str) else refuse()


def _user(said: Mapping[str, Any], base: str) -> str | None:
    if "fhirUser" not in said:
        return None
    relative = _text(said, "fhirUser").removeprefix(f"{base}/")
    return relative if _REFERENCE.fullmatch(relative) else refuse()


def _patient(said: Mapping[str, Any]) -> str | None:
    if "patient" not in said:
        return None
    found = _text(said, "patient").removeprefix("Patient/")
    return found if _ID.fullmatch(found) else refuse()


def _texts(said: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = said.get(name)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        refuse("The access token does not say which roles its user has")
    return tuple(found)


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) and 0 < len(found) < _MOST else refuse()


def _seconds(said: Mapping[str, Any], name: str) -> float:
    found = said.get(name)
    if isinstance(found, bool) or found is None:
        refuse()
    try:
        return float(found)
    except (TypeError, ValueError):
        refuse()


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        found = decode(raw)
    except BadRequest:  # also for a member named twice
        refuse()
    return found if isinstance(found, dict) else refuse()


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        refuse()
