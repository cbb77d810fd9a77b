"""Callers with tokens, at a server in demo mode.

https://hl7.org/fhir/smart-app-launch/app-launch.html
"""

import base64
import hashlib
import html
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks.target import Target

PASSWORD = "sangam demonstration"
REDIRECT = "http://127.0.0.1:9/back"

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')
_SCOPE = re.compile(r'name="scope" value="([^"]*)"')


def with_token(target: Target, token: str) -> Target:
    """Return the target as it is asked by who holds the token."""
    return replace(target, headers={**target.headers, "Authorization": f"Bearer {token}"})


def user_token(target: Target, name: str, scope: str) -> str:
    """Return the access token that a sample user gives an app of this machine."""
    verifier = secrets.token_urlsafe(40)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": "sangam-demo",
        "redirect_uri": REDIRECT,
        "scope": scope,
        "state": "benchmark",
        "aud": target.base_url,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    with _browser(target) as browser:
        page = browser.get("login").text
        login = {**_hidden(page), "name": name, "password": PASSWORD}
        _send(browser, "login", login)
        page = browser.get("authorize", params=asked).text
        scopes = [html.unescape(one) for one in _SCOPE.findall(page)]
        agreed: dict[str, str | list[str]] = {**_hidden(page), "agree": "yes", "scope": scopes}
        back = _send(browser, "continue", agreed).headers["location"]
        code = parse_qs(urlsplit(back).query)["code"][0]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": "sangam-demo",
            "code_verifier": verifier,
        }
        return str(browser.post("token", data=form).raise_for_status().json()["access_token"])


def _browser(target: Target) -> httpx.Client:
    parts = urlsplit(target.base_url)
    path = parts.path.removesuffix("/fhir")
    base = f"{parts.scheme}://{parts.netloc}{path}/auth/"
    origin = f"{parts.scheme}://{parts.netloc}"
    return httpx.Client(base_url=base, headers={"Origin": origin}, timeout=60)


def _send(
    browser: httpx.Client, path: str, form: Mapping[str, str] | Mapping[str, str | list[str]]
) -> httpx.Response:
    found = browser.post(path, data=dict(form))
    if found.status_code != 303:
        raise RuntimeError(f"{path} answered {found.status_code}")
    return found


def _hidden(page: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page)}


@dataclass(frozen=True, slots=True)
class Service:
    """A registered backend service and its private key."""

    client: str
    key: ECKey


def service(target: Target, scope: str) -> Service:
    """Register a backend service with these scopes."""
    key = ECKey.generate_key("P-384")
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    metadata = {
        "client_name": "Benchmark",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "scope": scope,
        "jwks": {"keys": [public]},
    }
    with _browser(target) as http:
        told = http.post("register", json=metadata).raise_for_status().json()
    return Service(str(told["client_id"]), key)


def service_token(target: Target, one: Service, scope: str) -> str:
    """Return a token of a backend service, which lives for 300 seconds."""
    with _browser(target) as http:
        now = int(time.time())
        claims = {
            "iss": one.client,
            "sub": one.client,
            "aud": str(http.base_url.join("token")),
            "iat": now,
            "exp": now + 240,
            "jti": secrets.token_hex(16),
        }
        head = {"alg": "ES384", "kid": one.key.thumbprint(), "typ": "JWT"}
        signed = jwt.encode(head, claims, one.key, algorithms=["ES384"])
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": signed,
        }
        return str(http.post("token", data=form).raise_for_status().json()["access_token"])
