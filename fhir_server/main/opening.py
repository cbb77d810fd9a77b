"""Whether a server may be opened as it is set: to whom, and with what in its database."""

import ipaddress
from typing import Any, Final

import psycopg

from fhir_server.config import Settings

_PEOPLE: Final = "SELECT EXISTS (SELECT FROM identity_user WHERE active AND NOT demo)"
_TENANTS: Final = "SELECT EXISTS (SELECT FROM tenancy.tenant)"


class Refused(Exception):
    """The server does not start; the text says what to do."""


def check_open(settings: Settings) -> None:
    """Refuse settings under which nobody logs in, or what is said could be overheard."""
    security = settings.security
    if settings.demo:
        if not is_loopback(settings.host):
            raise Refused(
                "--demo opens the server to everyone who reaches it, so it binds loopback only. "
                "Leave --host away, or start without --demo: docs/security.md says how."
            )
        return
    if not security.identity.enabled and not security.issuers:
        raise Refused(
            "Nobody could log in: the embedded login is off (security.identity.enabled) and no "
            "issuer of tokens is set (security.issuers). docs/security.md says how to set one, "
            "and --demo opens a server to this machine only."
        )
    if is_loopback(settings.host) or security.tls is not None:
        return
    if not security.trusted_proxies:
        raise Refused(
            f"On {settings.host} tokens and records would go over the network in the clear. Set "
            "security.tls (certificate and key), or security.trusted_proxies if a proxy before "
            "this server ends TLS."
        )
    if not settings.base_url.startswith("https://"):
        raise Refused("Behind a proxy the server needs base_url, the https URL that clients use.")


def check_people(settings: Settings, conninfo: str) -> None:
    """Refuse to open what is real to a demonstration, or a server into which nobody can log in."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        people, tenants = _is_any(connection, _PEOPLE), _is_any(connection, _TENANTS)
    if settings.demo and (people or tenants):
        raise Refused(
            "This database has users or tenants of its own, so it is not opened by --demo. "
            "Start without --demo, or choose another --data-dir."
        )
    if not settings.demo and not people and not settings.security.issuers:
        raise Refused(
            "Nobody could log in yet: add the first user by `sangam user add NAME --role ADMIN` "
            "(with the same --data-dir), then start again. --demo shows the server without."
        )


def is_loopback(host: str) -> bool:
    """Return whether a host to bind is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any(connection: psycopg.Connection[tuple[Any, ...]], statement: str) -> bool:
    row = connection.execute(statement).fetchone()
    return bool(row and row[0])
