"""An app and its user, as far as the authorization server sees them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc.jwk import RSAKey

from fhir_server.config import Settings
from fhir_server.identity import clients, passwords, signing, users
from fhir_server.identity.authorization import challenge
from fhir_server.identity.clients import Client
from fhir_server.identity_settings import IdentitySettings, PasswordSettings
from fhir_server.security_settings import SecuritySettings
from fhir_server.server import Server

BASE = "http://testserver/fhir"
AUTH = "http://testserver/auth"
REDIRECT = "https://app.example.org/back"
VERIFIER = "v" * 43
PASSWORD = "blue kettle on the seventh stair"
SCOPE = (
    "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access"
    " patient/*.rs user/*.cruds"
)
CHEAP = PasswordSettings(memory_kib=8, passes=1, parallelism=1)
APP = Client("app", "Growth chart", "none", redirects=(REDIRECT,), scope=SCOPE)


def cheap(settings: Settings, **identity: Any) -> Settings:
    """Settings under which a password costs nothing."""
    found = IdentitySettings(password=CHEAP, **identity)
    return settings.model_copy(
        update={"security": SecuritySettings(identity=found, revocation_seconds=0.01)}
    )


@lru_cache(maxsize=1)
def signing_key() -> RSAKey:
    return RSAKey.generate_key(2048)


async def settle(
    server: Server, client: Client = APP, *, roles: tuple[str, ...] = ("ADMIN",)
) -> str:
    """Store a signing key, a user who is a sample (no second factor), and an app."""
    hashed = await passwords.hashed(CHEAP, PASSWORD)
    draft = users.Draft("asha", "Dr Asha Rao", "Practitioner/p1", roles, hashed, demo=True)
    async with server.database.transaction() as connection:
        await signing._add(server, connection, signing_key(), 0)  # noqa: SLF001
        await users.add(connection, "u1", draft)
        await clients.add(connection, client, "test")
    return "u1"


@dataclass
class Person:
    """A browser: its cookies, and the page it is at."""

    http: httpx.AsyncClient
    page: str = ""
    root: str = "http://testserver"
    hidden: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        url = path if path.startswith("http") else f"{self.root}/auth/{path}"
        return self._at(await self.http.get(url, params=query))

    async def send(self, path: str, **given: str | list[str]) -> httpx.Response:
        form = {**self.hidden, **given}
        headers = {"Origin": self.root}
        url = f"{self.root}/auth/{path}"
        return self._at(await self.http.post(url, data=form, headers=headers))

    async def log_in(self, name: str = "asha", password: str = PASSWORD) -> httpx.Response:
        await self.get("login")
        return await self.send("login", name=name, password=password)

    def _at(self, answer: httpx.Response) -> httpx.Response:
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.page = answer.text
            found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
            self.hidden = dict(found)
        return answer


def asked(**more: str) -> dict[str, str]:
    """The parameters of an authorization request, all right."""
    return {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": REDIRECT,
        "scope": "openid fhirUser user/Observation.rs",
        "state": "s1",
        "aud": BASE,
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
        **more,
    }


def told(answer: httpx.Response) -> dict[str, str]:
    """The parameters that an app is sent back with."""
    assert answer.status_code == 303, answer.text
    where = urlsplit(answer.headers["location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(where.query).items()}


async def code_of(person: Person, **more: str) -> str:
    """A code for what is asked, the user being logged in and agreeing to all of it."""
    asking = asked(**more)
    await person.get("authorize", asking)
    scopes = re.findall(r'name="scope" value="([^"]*)"', person.page)
    assert scopes, person.page
    return told(await person.send("continue", agree="yes", scope=scopes))["code"]


def redeeming(code: str, **more: str) -> dict[str, str]:
    """The form by which an app redeems a code."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "client_id": "app",
        "code_verifier": VERIFIER,
        **more,
    }
