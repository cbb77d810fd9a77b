"""Authorization servers outside: where their keys are, and what they say of opaque tokens.

https://openid.net/specs/openid-connect-discovery-1_0.html
https://www.rfc-editor.org/rfc/rfc7662
"""

import asyncio
import base64
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fhir_server.errors import BadRequest, Conflict, Unavailable
from fhir_server.identity.keys import Published
from fhir_server.outbound import Fetched, fetch
from fhir_server.r4.json import decode
from fhir_server.security_settings import Introspection, Issuer, OutboundSettings

_OK: Final = 200
_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?(\d{1,9})")
_DISCOVERY: Final = "/.well-known/openid-configuration"


async def published(settings: OutboundSettings, issuer: Issuer) -> Published:
    """Return the keys of an issuer; Unavailable when they cannot be had."""
    return await keys_at(settings, issuer.jwks_url or await _said(settings, issuer, "jwks_uri"))


async def keys_at(settings: OutboundSettings, url: str) -> Published:
    """Return the JWK set at a URL; Unavailable when it cannot be had."""
    answer = await _fetched(settings, url)
    found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    return Published(_document(answer), float(found[1]) if found else None)


async def introspected(
    settings: OutboundSettings, issuer: Issuer, asking: Introspection, token: str
) -> Mapping[str, Any] | None:
    """Return what an issuer says of a token that is active, None of any other."""
    url = asking.url or await _said(settings, issuer, "introspection_endpoint")
    secret = await asyncio.to_thread(_secret, asking.secret_file)
    named = f"{quote(asking.client_id, safe='')}:{quote(secret, safe='')}"
    headers = {
        "authorization": f"Basic {base64.b64encode(named.encode()).decode()}",
        "accept": "application/json",
    }
    form = {"token": token, "token_type_hint": "access_token"}
    try:
        answer = await fetch(settings, url, form=form, headers=headers)
    except BadRequest as error:
        raise Unavailable("The issuer may not be asked") from error
    if answer.status != _OK:
        raise Unavailable("The issuer does not say what the token is")
    said = _document(answer)
    # What RFC 7662 leaves away of tokens that only their issuer knows.
    return {"iss": issuer.url, "iat": time.time(), **said} if said.get("active") is True else None


async def _said(settings: OutboundSettings, issuer: Issuer, name: str) -> str:
    """Return a URL of the issuer's metadata, which have to be its own."""
    document = _document(await _fetched(settings, issuer.url.rstrip("/") + _DISCOVERY))
    found = document.get(name)
    if document.get("issuer") != issuer.url or not isinstance(found, str):
        raise Unavailable("The issuer's metadata are of another, or incomplete")
    return found


async def _fetched(settings: OutboundSettings, url: str) -> Fetched:
    try:
        answer = await fetch(settings, url, headers={"accept": "application/json"})
    except BadRequest as error:
        raise Unavailable("The issuer may not be asked") from error
    if answer.status != _OK:
        raise Unavailable("The issuer does not answer")
    return answer


def _document(answer: Fetched) -> Mapping[str, Any]:
    try:
        found = decode(answer.body)
    except BadRequest as error:
        raise Unavailable("The issuer's answer cannot be read") from error
    if not isinstance(found, dict):
        raise Unavailable("The issuer's answer cannot be read")
    return found


def _secret(place: str) -> str:
    try:
        return Path(place).read_text().strip()
    except OSError as error:
        raise Conflict("The file with the client's secret cannot be read") from error
