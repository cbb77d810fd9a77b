"""What an app may ask of the authorization endpoint.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fhir_server.access.scopes import narrower, parse
from fhir_server.errors import BadRequest
from fhir_server.identity import clients
from fhir_server.identity.clients import Client
from fhir_server.identity.refusal import Refusal

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_LONGEST: Final = 2048
LAUNCH: Final = "launch"
LAUNCH_PATIENT: Final = "launch/patient"
LAUNCH_ENCOUNTER: Final = "launch/encounter"
PLAIN: Final = frozenset(
    (
        LAUNCH,
        LAUNCH_PATIENT,
        LAUNCH_ENCOUNTER,
        "openid",
        "fhirUser",
        "profile",
        "offline_access",
        "online_access",
    )
)
"""Scopes that are no rights on resources."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be answered, once the user agrees; `scope` is what may be granted."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str
    challenge: str
    launch: str | None = None
    nonce: str | None = None
    prompts: frozenset[str] = frozenset()
    max_age: int | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes one by one."""
        return tuple(self.scope.split())

    @property
    def needs_patient(self) -> bool:
        """Whether a patient has to be in context (`patient/` scopes say nothing without one)."""
        return needs_patient(self.scopes)


class Misdirected(Refusal):
    """A refusal that is shown to the person: there is no address to which it could be sent."""


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters by name; BadRequest when one comes twice (RFC 6749, 3.1)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest("A parameter comes twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def redirect_of(given: Mapping[str, str], client: Client | None) -> str:
    """Return where the answer goes; Misdirected when client or address are not known."""
    if client is None or "authorization_code" not in client.grants:
        raise Misdirected("invalid_client", "This app is not known here")
    uri = given.get("redirect_uri", "")
    if len(uri) > _LONGEST or not clients.redirects_to(client, uri):
        raise Misdirected("invalid_request", "This app did not register the address it came from")
    return uri


def asked(given: Mapping[str, str], client: Client, redirect_uri: str, base: str) -> Asked:
    """Return the request; a Refusal is to be sent to `redirect_uri`."""
    if given.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "response_type is code")
    if not given.get("state"):
        raise Refusal("invalid_request", "state is missing")
    if given.get("aud", "").rstrip("/") != base:
        raise Refusal("invalid_request", "aud is not the base URL of this server")
    if given.get("code_challenge_method") != "S256":
        raise Refusal("invalid_request", "code_challenge_method is S256")
    if not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        raise Refusal("invalid_request", "code_challenge is the SHA-256 of a verifier in base64url")
    if any(len(given.get(name, "")) > _LONGEST for name in ("state", "nonce", "launch")):
        raise Refusal("invalid_request", "A parameter is too long")
    scope = grantable(given.get("scope", ""), client)
    launch = given.get("launch")
    if (launch is None) == (LAUNCH in scope.split()):
        raise Refusal("invalid_request", "launch comes with the scope launch, and only with it")
    return Asked(
        client_id=client.id,
        redirect_uri=redirect_uri,
        scope=scope,
        state=given["state"],
        challenge=given["code_challenge"],
        launch=launch,
        nonce=given.get("nonce"),
        prompts=_prompts(given.get("prompt", "")),
        max_age=_seconds(given.get("max_age")),
    )


def grantable(scope: str, client: Client) -> str:
    """Return those of the scopes that the client may ask for; a Refusal when none is left.

    Scopes of backend services are not among them, as no user can give them.
    """
    kept = [
        one
        for one in dict.fromkeys(scope.split())
        if (one in PLAIN or _of_user(one)) and narrower(one, client.scope)
    ]
    if not kept:
        raise Refusal("invalid_scope", "None of the scopes can be granted to this app")
    return " ".join(kept)


def needs_patient(scopes: Iterable[str]) -> bool:
    """Return whether one of these scopes says nothing without a patient in context."""
    return any(one.startswith("patient/") or one == LAUNCH_PATIENT for one in scopes)


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def proves(verifier: str, known: str) -> bool:
    """Return whether this is the verifier of a challenge."""
    return bool(_VERIFIER.fullmatch(verifier)) and challenge(verifier) == known


def _of_user(text: str) -> bool:
    if text.startswith("sangam/"):
        return True
    scope = parse(text)
    return scope is not None and scope.context != "system"


def _prompts(text: str) -> frozenset[str]:
    """Return how the user is to be asked (OpenID Connect Core, 3.1.2.1)."""
    found = frozenset(text.split())
    if not found <= {"none", "login", "consent", "select_account"}:
        raise Refusal("invalid_request", "prompt is none, login, consent or select_account")
    if "none" in found and len(found) > 1:
        raise Refusal("invalid_request", "prompt none stands alone")
    return found


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > len("999999999"):
        raise Refusal("invalid_request", "max_age is a number of seconds")
    return int(text)
