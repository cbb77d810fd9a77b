"""Requests of this server to others, by one guarded client.

Only https to listed ports; the name is resolved once, each address is checked, and the
connection goes to the one that was checked. Redirects, proxies and credentials of the
environment have no effect. docs/decisions/0050 has the reasons.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from fhir_server.errors import BadRequest, Unavailable
from fhir_server.security_settings import OutboundSettings

Address = IPv4Address | IPv6Address

_HTTPS: Final = 443
_NAT64: Final = IPv6Network("64:ff9b::/96")
_IPV4_BITS: Final = 32
_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "sangam"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: status, headers by name in lower case, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: `host` is checked against the certificate.

    Connected to is the first of the `addresses` that answers.
    """

    host: str
    port: int
    addresses: tuple[str, ...]
    path: str


async def fetch(
    settings: OutboundSettings,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fetched:
    """Return what the URL answers to GET, or to POST of a form.

    BadRequest for a URL that may not be asked, Unavailable where there is no whole answer in
    time and within the size. A redirect is an answer like any other.
    """
    _tls(settings.ca_file)  # read from disk before any time is counted
    try:
        async with asyncio.timeout(settings.seconds) as limit:
            place = await resolved(settings, url)
            until = limit.when() or 0.0
            return await _reached(settings, place, form, {**_HEADERS, **(headers or {})}, until)
    except (httpx.HTTPError, OSError, ssl.SSLError) as error:
        raise Unavailable("Another server does not answer") from error


async def resolved(settings: OutboundSettings, url: str) -> Place:
    """Return where a URL leads, its name resolved; BadRequest where it may not lead there."""
    parts = _parts(url)
    host, port = parts.hostname or "", parts.port or _HTTPS
    named = f"{host}:{port}" in settings.inside
    if not named and port not in settings.ports:
        raise BadRequest("The port of the URL may not be asked")
    inside = named or host in settings.inside
    found = await _addresses(host, port)
    if not found or not all(_may_ask(one, inside=inside) for one in found):
        raise BadRequest("The address of the URL may not be asked")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(host, port, tuple(str(one) for one in found), path)


def is_public(address: Address) -> bool:
    """Return whether an address is one of the internet, also where it holds another inside."""
    if isinstance(address, IPv6Address):
        if address.teredo:
            return False
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & ((1 << _IPV4_BITS) - 1))
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _may_ask(address: Address, *, inside: bool) -> bool:
    if not inside:
        return is_public(address)
    # Clouds tell who they are on a link-local address, which no hospital's server has.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    plain = mapped or address
    return not (plain.is_link_local or plain.is_multicast or plain.is_unspecified)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises for one that is none)
    except ValueError:
        raise BadRequest("The URL cannot be read") from None
    if parts.scheme != "https" or not parts.hostname or not url.isascii():
        raise BadRequest("Only URLs with https are asked")
    if "@" in parts.netloc or "\\" in url or not url.isprintable() or " " in url:
        raise BadRequest("The URL cannot be asked")
    return parts


async def _addresses(host: str, port: int) -> Sequence[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable("The host of the URL is not known") from error
    return tuple(dict.fromkeys(ip_address(one[4][0]) for one in found))


async def _reached(
    settings: OutboundSettings,
    place: Place,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str],
    until: float,
) -> Fetched:
    *others, last = place.addresses
    for address in others:
        with suppress(httpx.ConnectError):
            return await _asked(settings, place, address, form, headers, until)
    return await _asked(settings, place, last, form, headers, until)


def _times(until: float) -> httpx.Timeout:
    """Return how long each step may take, so that all end by a time of the loop.

    Whoever is cancelled in a handshake leaves its connection open (httpcore): connecting and the
    handshake, each of which has the time of `connect`, give up before that.
    """
    left = until - asyncio.get_running_loop().time()
    if left <= 0:
        raise TimeoutError
    return httpx.Timeout(left, connect=left * 0.45)


async def _asked(
    settings: OutboundSettings,
    place: Place,
    address: str,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str],
    until: float,
) -> Fetched:
    literal = f"[{address}]" if ":" in address else address
    host = f"[{place.host}]" if ":" in place.host else place.host
    named = host if place.port == _HTTPS else f"{host}:{place.port}"
    async with (
        httpx.AsyncClient(
            verify=_tls(settings.ca_file),
            trust_env=False,
            follow_redirects=False,
        ) as client,
        client.stream(
            "GET" if form is None else "POST",
            f"https://{literal}:{place.port}{place.path}",
            headers={**headers, "host": named},
            data=dict(form) if form is not None else None,
            extensions={"sni_hostname": place.host},
            timeout=_times(until),
        ) as answer,
    ):
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Unavailable("Another server's answer is packed, which was not asked for")
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > settings.answer_bytes:
                raise Unavailable("Another server's answer is too large")
        return Fetched(answer.status_code, dict(answer.headers), bytes(body))


@lru_cache(maxsize=8)
def _tls(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
