"""Application entities that we know: who may use what, and where we reach them.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_7.1.1
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import psycopg

from adapters.dicom.network.associate import Request
from adapters.dicom.network.classes import Service
from adapters.dicom.network.negotiate import (
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    TEMPORARY_CONGESTION,
    Rejected,
)
from adapters.dicom.network.peer import Admission, Admitted
from adapters.dicom.network.tls import Certificate
from fhir_server.errors import BadRequest, Conflict
from fhir_server.networks import Address, Unprotected, check_protected
from fhir_server.networks import address as address_of

Connection = psycopg.Connection[tuple[Any, ...]]

ANY_HOST = "*"
SERVICES = tuple(service.value for service in Service)
# At most 16 characters of the default repertoire, no backslash, no control (PS3.5, 6.2).
_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")
_MAX_PORT = 65535
_ORGANIZATION = re.compile(r"Organization/[A-Za-z0-9.-]{1,64}", re.ASCII)
_ASKING = frozenset((Service.FIND.value, Service.MPPS.value, Service.WORKLIST.value))


@dataclass(frozen=True, slots=True)
class Known:
    """A peer. `host` is an address, a network, a name or `*`; `port` 0: it is not called.

    `services` are those it may use; `identity` is a name in its certificate or the
    SHA-256 of it; `tls`: it is called with TLS; `plain`: it may be called without, where
    it is another machine. `issuer` and `timezone` stand in for what its instances leave
    away, `character_set` for what its queries do. `discloses_to` is the Organization (a
    reference) whose it is, where that is another: only studies go there of which a consent
    permits that.
    """

    ae_title: str
    host: str
    port: int = 0
    services: tuple[str, ...] = ()
    tls: bool = False
    identity: str | None = None
    issuer: str | None = None
    timezone: str | None = None
    character_set: str | None = None
    plain: bool = False
    discloses_to: str | None = None


_COLUMNS = (
    "ae_title, host, port, services, tls, identity, issuer, timezone, character_set, plain,"
    " discloses_to"
)

_GET = f"SELECT {_COLUMNS} FROM dicom_peer WHERE ae_title = %s"
_LIST = f"SELECT {_COLUMNS}, heard_at, reached_at, failure FROM dicom_peer ORDER BY 1"
_ADD = f"""
INSERT INTO dicom_peer ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_PROTECT = "UPDATE dicom_peer SET tls = %s, plain = %s WHERE ae_title = %s"
_REMOVE = "DELETE FROM dicom_peer WHERE ae_title = %s"
_HEARD = "UPDATE dicom_peer SET heard_at = clock_timestamp() WHERE ae_title = %s"
_REACHED = """
UPDATE dicom_peer
SET reached_at = CASE WHEN %(failure)s::text IS NULL THEN clock_timestamp() ELSE reached_at END,
    failure = %(failure)s
WHERE ae_title = %(title)s
"""


def valid(peer: Known) -> Known:
    """Return the peer; BadRequest tells what of it cannot be."""
    if not _TITLE.fullmatch(peer.ae_title):
        raise BadRequest("An AE title has 1 to 16 characters of ASCII, without backslash")
    if not 0 <= peer.port <= _MAX_PORT:
        raise BadRequest("A port is at most 65535")
    if peer.tls and peer.plain:
        raise BadRequest("A peer is called with TLS or without: not both")
    if peer.discloses_to is not None:
        _check_another(peer)
    if unknown := set(peer.services) - set(SERVICES):
        raise BadRequest(f"No such service: {', '.join(sorted(unknown))}; {', '.join(SERVICES)}")
    return peer


def _check_another(peer: Known) -> None:
    """Refuse a peer of another organisation that could ask for what no consent is looked up."""
    if not _ORGANIZATION.fullmatch(peer.discloses_to or ""):
        raise BadRequest("Another organisation is named as Organization/id")
    if peer.host == ANY_HOST and peer.identity is None:
        raise BadRequest("A peer of another organisation has a host, or an identity")
    if asking := set(peer.services) & _ASKING:
        raise BadRequest(
            f"A peer of another organisation does not use {', '.join(sorted(asking))}: "
            "answers to these tell of all patients"
        )


def get(connection: Connection, ae_title: str) -> Known | None:
    """Return the peer of this AE title."""
    row = connection.execute(_GET, (ae_title,)).fetchone()
    return _known(row) if row else None


def listed(connection: Connection) -> list[tuple[Known, Any, Any, str | None]]:
    """Return all peers, when each was last heard and reached, and the last failure."""
    rows = connection.execute(_LIST).fetchall()
    return [(_known(row[:-3]), row[-3], row[-2], row[-1]) for row in rows]


def add(connection: Connection, peer: Known) -> None:
    """Write a new peer; Conflict when there is one of its AE title."""
    values = [list(one) if isinstance(one, tuple) else one for one in astuple(valid(peer))]
    if not connection.execute(_ADD, values).rowcount:
        raise Conflict(f"There is a peer {peer.ae_title} already; remove it first")


def protect(connection: Connection, ae_title: str, *, tls: bool) -> bool:
    """Have a peer called with TLS, or say that it may be called without; return if it is one."""
    return bool(connection.execute(_PROTECT, (tls, not tls, ae_title)).rowcount)


def check(peer: Known) -> None:
    """Raise Unprotected where the peer may not be called, as that would be in the clear."""
    check_protected(
        peer.host,
        tls=peer.tls,
        plain=peer.plain,
        mend=f"`sangam dicom peers protect {peer.ae_title} --tls`, or `--plain` where it has none",
    )


def unprotected(connection: Connection) -> list[tuple[str, str]]:
    """Return the AE titles of peers that may not be called, each with what to do."""
    found = []
    for row in connection.execute(_LIST).fetchall():
        peer = _known(row[:-3])
        try:
            if peer.port:
                check(peer)
        except Unprotected as error:
            found.append((peer.ae_title, why(error)))
    return found


def why(error: Exception) -> str:
    """Return how it is noted with a peer that it could not be called."""
    return str(error.strerror) if isinstance(error, Unprotected) else type(error).__name__


def remove(connection: Connection, ae_title: str) -> bool:
    """Forget a peer; return whether there was one."""
    return bool(connection.execute(_REMOVE, (ae_title,)).rowcount)


def reached(connection: Connection, ae_title: str, failure: str | None) -> None:
    """Note that a peer was called, and why that failed."""
    connection.execute(_REACHED, {"title": ae_title, "failure": failure})


def _known(row: tuple[Any, ...]) -> Known:
    ae_title, host, port, services, *rest = row
    return Known(ae_title, host, port, tuple(services), *rest)


def admission(connect: Callable[[], Any], unlisted: frozenset[str] | None) -> Admission:
    """Return who may associate: peers from where they are, others with `unlisted` services.

    `connect` lends a connection as a context manager; None of `unlisted` is all services.
    """

    def admit(
        request: Request, address: str, certificate: Certificate | None
    ) -> Admitted | Rejected:
        try:
            with connect() as connection:
                peer = get(connection, request.calling)
                if peer is None:
                    return Admitted(services=unlisted)
                if not fits(peer, address, certificate):
                    return CALLING_AE_TITLE_NOT_RECOGNIZED
                connection.execute(_HEARD, (peer.ae_title,))
        except psycopg.Error:
            return TEMPORARY_CONGESTION
        return Admitted(
            known=True,
            services=frozenset(peer.services),
            issuer=peer.issuer or "",
            timezone=peer.timezone or "",
            character_set=peer.character_set or "",
        )

    return admit


def fits(peer: Known, address: str, certificate: Certificate | None) -> bool:
    """Return whether who calls from `address` with this certificate may be the peer."""
    if peer.identity and not (certificate and certificate.proves(peer.identity)):
        return False
    return peer.host == ANY_HOST or _is_at(peer.host, address)


def _is_at(host: str, address: str) -> bool:
    found = address_of(address)
    try:
        return found in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return found in _resolved(host)


def _resolved(host: str) -> set[Address]:
    try:
        return {address_of(str(entry[4][0])) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
