"""Clients: the apps and systems that may ask for tokens.

https://www.rfc-editor.org/rfc/rfc6749#section-2
https://www.rfc-editor.org/rfc/rfc7591
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict

METHODS: Final = ("none", "client_secret_basic", "private_key_jwt")
"""How clients prove who they are."""

GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials")
POWERS: Final = ("launch", "introspection")
"""What a client may be let do beside: open apps with a patient, ask of any token."""

MOST: Final = 100
"""Redirect URIs, origins and keys of a client, of each."""

LONGEST_URI: Final = 2_048
LONGEST_SCOPE: Final = 20_000
_PORTS: Final = {"https": 443, "http": 80}

# What every reader of URLs takes for the same host, and the same path.
_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:.]+")
_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|\Z)|\.?%2[EeFf])[\w.~!$&'()*+,;=:@%-]*)*", re.ASCII)
_COLUMNS: Final = (
    "id, name, authentication, secret, keys, keys_url, redirects, origins, grants, scope,"
    " launch_url, preapproved, demo, active, created_at"
)


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; `secret` is a hash, `keys` its JWK set, `scope` all it may ask for."""

    id: str
    name: str
    authentication: str
    secret: bytes | None = None
    keys: Mapping[str, Any] | None = None
    keys_url: str | None = None
    redirects: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    grants: tuple[str, ...] = GRANTS[:2]
    scope: str = ""
    launch_url: str | None = None
    preapproved: bool = False
    demo: bool = False
    active: bool = True
    created_at: datetime | None = field(default=None, compare=False)


async def by_id(connection: Connection, id_: str, *, demo: bool) -> Client | None:
    """Return the active client; a sample client is one only with `demo`."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM identity_client WHERE id = %s AND active AND (%s OR NOT demo)",
        (id_, demo),
    )
    row = await cursor.fetchone()
    return _client(row) if row else None


async def listed(connection: Connection) -> list[Client]:
    """Return all clients by name."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM identity_client ORDER BY name, id")
    return [_client(row) for row in await cursor.fetchall()]


async def add(connection: Connection, client: Client, by: str) -> None:
    """Store a new client; Conflict when there is one of that id, BadRequest when it cannot be."""
    check(client)
    keys = Jsonb(dict(client.keys)) if client.keys is not None else None
    try:
        await connection.execute(
            "INSERT INTO identity_client (id, name, authentication, secret, keys, keys_url,"
            " redirects, origins, grants, scope, launch_url, preapproved, demo, created_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                client.id,
                client.name,
                client.authentication,
                client.secret,
                keys,
                client.keys_url,
                list(client.redirects),
                list(client.origins or origins_of(client.redirects)),
                list(client.grants),
                client.scope,
                client.launch_url,
                client.preapproved,
                client.demo,
                by,
            ),
        )
    except UniqueViolation as error:
        raise Conflict("There is a client of this id already") from error


async def set_active(connection: Connection, id_: str, *, active: bool) -> bool:
    """Let a client in, or no longer: then all that it holds is revoked too."""
    cursor = await connection.execute(
        "UPDATE identity_client SET active = %s WHERE id = %s", (active, id_)
    )
    return bool(cursor.rowcount)


async def allows_origin(connection: Connection, origin: str, *, demo: bool) -> bool:
    """Return whether pages of this origin belong to an active client (CORS)."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM identity_client"
        " WHERE active AND (%s OR NOT demo) AND %s = ANY (origins))",
        (demo, origin),
    )
    row = await cursor.fetchone()
    return bool(row and row[0]) or (demo and is_loopback(origin))


def check(client: Client) -> None:
    """Refuse a client that could not be used, or not safely; BadRequest names what."""
    _check_size(client)
    if client.authentication not in METHODS:
        raise BadRequest(f"A client authenticates by one of {', '.join(METHODS)}")
    if unknown := set(client.grants) - {*GRANTS, *POWERS}:
        raise BadRequest(f"{len(unknown)} of the grant types are not offered")
    confidential = client.authentication != "none"
    if not confidential and set(client.grants) - set(GRANTS[:2]):
        raise BadRequest("Only a client that authenticates may have these grant types")
    if client.authentication == "private_key_jwt" and not (client.keys or client.keys_url):
        raise BadRequest("A client with private_key_jwt has a JWK set, or the URL of one")
    if (client.secret is None) == (client.authentication == "client_secret_basic"):
        raise BadRequest("A client with client_secret_basic has a secret, and no other has one")
    if "authorization_code" in client.grants and not client.redirects:
        raise BadRequest("A client of authorization codes has a redirect URI")
    for one in client.redirects:
        check_redirect(one)
    if not client.scope.split():
        raise BadRequest("A client has at least one scope that it may ask for")


def _check_size(client: Client) -> None:
    """Refuse what each request of the app would have to be compared with for long."""
    keys = (client.keys or {}).get("keys", ())
    if max(len(client.redirects), len(client.origins), len(keys)) > MOST:
        raise BadRequest(f"A client has at most {MOST} redirect URIs, origins and keys")
    texts = (*client.redirects, *client.origins, client.name, client.launch_url or "")
    if max(map(len, texts)) > LONGEST_URI or len(client.scope) > LONGEST_SCOPE:
        raise BadRequest("A name, a URI or the scope of the client is too long")


def check_redirect(uri: str) -> None:
    """Refuse a redirect URI by which a code could get to others (RFC 9700, 4.1; RFC 8252)."""
    found = _split(uri)
    if found is None or not found.scheme or found.fragment or "*" in uri or "#" in uri:
        raise BadRequest("A redirect URI is absolute, without fragment and wildcard")
    if found.scheme == "http" and not _is_loopback_host(found.hostname):
        raise BadRequest("A redirect URI has https, but for one on the same machine")
    if found.scheme in {"https", "http"}:
        _check_place(found)
    if found.scheme not in {"https", "http"} and "." not in found.scheme:
        raise BadRequest("A private scheme is a reversed domain name (RFC 8252, 7.1)")


def _check_place(found: SplitResult) -> None:
    """Refuse what one reader of URLs takes for another place than the next one does."""
    if not _HOST.fullmatch(found.hostname or ""):
        raise BadRequest("A redirect URI names its host, in plain letters")
    if "@" in found.netloc:
        raise BadRequest("A redirect URI names no user")
    if not _PATH.fullmatch(found.path):
        raise BadRequest("A redirect URI has a plain path, without . and .. as its parts")


def redirects_to(client: Client, uri: str) -> bool:
    """Return whether this is a registered redirect URI, exactly.

    On the same machine by http the port is free (RFC 8252, 7.3), and in demo mode the path of
    the sample client too.
    """
    if uri in client.redirects:
        return True
    given = _split(uri)
    if given is None or given.scheme != "http" or not _is_loopback_host(given.hostname):
        return False
    if given.fragment or given.username or given.password:
        return False
    if client.demo:
        return True
    known = (_split(one) for one in client.redirects)
    return any(
        one is not None
        and (one.scheme, one.hostname, one.path, one.query)
        == (given.scheme, given.hostname, given.path, given.query)
        and _is_loopback_host(one.hostname)
        for one in known
    )


def origin(uri: str) -> str:
    """Return the origin of a URI as browsers write it, or the scheme of one that has no host."""
    found = urlsplit(uri)
    if not found.hostname:
        return f"{found.scheme}:"
    host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
    is_usual = found.port in {None, _PORTS.get(found.scheme)}
    return f"{found.scheme}://{host}" + ("" if is_usual else f":{found.port}")


def origins_of(uris: Sequence[str]) -> tuple[str, ...]:
    """Return the web origins of redirect URIs, each once."""
    web = (one for one in uris if one.startswith(("https://", "http://")))
    return tuple(dict.fromkeys(map(origin, web)))


def is_loopback(uri: str) -> bool:
    """Return whether a URI is of this machine, by http."""
    found = _split(uri)
    return found is not None and found.scheme == "http" and _is_loopback_host(found.hostname)


def _split(uri: str) -> SplitResult | None:
    try:
        found = urlsplit(uri)
        found.port  # noqa: B018  (raises for one that is none)
    except ValueError:
        return None
    return found if uri.isascii() and uri.isprintable() and " " not in uri else None


def _is_loopback_host(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False


def _client(row: Sequence[Any]) -> Client:
    id_, name, method, secret, keys, keys_url, redirects, origins, grants, *rest = row
    scope, launch_url, preapproved, demo, active, created = rest
    return Client(
        id=id_,
        name=name,
        authentication=method,
        secret=secret,
        keys=keys,
        keys_url=keys_url,
        redirects=tuple(redirects),
        origins=tuple(origins),
        grants=tuple(grants),
        scope=scope,
        launch_url=launch_url,
        preapproved=preapproved,
        demo=demo,
        active=active,
        created_at=created,
    )
