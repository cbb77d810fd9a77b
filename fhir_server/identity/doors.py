"""The doors of HTTP: who comes in by a request, and what each door asks of them.

A request without a token is nobody's, and refused; in demo mode it is the demo
administrator's. Pages know a browser by its session. What no door was said of asks for
everything.

https://www.rfc-editor.org/rfc/rfc6750
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from starlette.routing import BaseRoute, Mount, Route

from fhir_server.caller import Caller, trusted
from fhir_server.errors import Forbidden, Unauthenticated
from fhir_server.identity import clients, sessions
from fhir_server.identity.bearer import Bearers
from fhir_server.identity.rate_sums import Sums
from fhir_server.identity.visitors import Visitors
from fhir_server.networks import Networks, within
from fhir_server.rights import ANY
from fhir_server.server import Server

OPEN: Final = trusted("demo", "rest")
"""Who asks without a token, in demo mode."""

CALLER: Final = "sangam.caller"
"""Where a request (an ASGI scope) holds its caller."""

_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_SCHEME: Final = "bearer"
_HEALTH: Final = "/health/"
# What pages of others are made of, where many people come from one address.
_PARTS: Final = frozenset(("/auth/me", "/auth/me.js", "/auth/page.css", "/auth/passkey.js"))
_CHALLENGE: Final = "Bearer"

Headers = Mapping[bytes, bytes]
Scope = MutableMapping[str, Any]
R = TypeVar("R", bound=BaseRoute)


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of who comes: `operator` is the name of an operator scope.

    `*` asks for all of them, "" for none: any caller does. A `public` door takes everyone.
    At one with `session` browsers are known by their session, and led to the login. Scripts of
    registered apps may call where `shared` is set (CORS). From `networks` anyone comes.
    """

    operator: str = ANY
    public: bool = False
    session: bool = False
    shared: bool = False
    networks: Networks = ()


CLOSED: Final = Door()
PUBLIC: Final = Door(operator="", public=True)


@dataclass(slots=True)
class Marked:
    """An application with its door, until it is put behind one: it answers to nobody."""

    app: Any
    door: Door

    async def __call__(self, *_: object) -> None:
        """Refuse."""
        raise Forbidden("This door is not open")


def marked(routes: Sequence[R], door: Door) -> Sequence[R]:
    """Return the routes, each with its door."""
    for one in routes:
        if isinstance(one, Route | Mount):
            one.app = Marked(one.app, door)
    return routes


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who asks by a request that came through a door; Unauthenticated for another."""
    found = scope.get(CALLER)
    if not isinstance(found, Caller):
        raise Unauthenticated("Nobody is known to ask")
    return found


def named(scope: Mapping[str, Any], said: str = "") -> str:
    """Return who does something at a page of operators, and from where, as it is recorded.

    In demo mode, where nobody is known, it is who they `said` they are.
    """
    caller = caller_of(scope)
    client = scope.get("client")
    who = (said.strip() or "operator") if caller.rights is OPEN.rights else caller.name
    return f"{who} at {client[0]}" if client else who


class Doors:
    """The doors of one process: it knows the tokens and sessions of late.

    `headers` are what every answer has.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bearers = Bearers(server)
        self._visitors = Visitors(server)
        self._own = clients.origin(server.base)
        self.rates = Sums(server).rates
        self.headers = always(server)
        self._origins: dict[str, bool] = {}
        self._generation = 0

    async def rest(self, headers: Headers, address: str | None) -> Caller:
        """Return who asks below the FHIR base, by token; Unauthenticated for nobody."""
        authorization = headers.get(b"authorization")
        if not self._server.settings.demo or authorization is not None:
            # Also of nobody: each refusal is a row that is kept for years.
            self.rates.arrive(address)
        if authorization is None:
            return self._nobody(headers)
        holder = await self._bearers.caller(_token(authorization))
        self.rates.known(holder.caller)
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin, headers):
            self._check_origin(origin.decode("latin-1"), holder.origins)
        return holder.caller

    async def outside(self, door: Door, scope: Mapping[str, Any]) -> Caller | None:
        """Return who asks at a door outside of the FHIR base, None where that is not asked.

        Unauthenticated for nobody. Whether the door is for who asks, `require` says.
        """
        address = scope["client"][0] if scope.get("client") else None
        if door.public:
            if scope["path"] in _PARTS:
                self.rates.arrive(address)
            elif not scope["path"].startswith(_HEALTH):
                self.rates.knock(address)
            return None
        headers = dict(scope["headers"])
        self._check_site(scope["method"], headers, shared=door.shared)
        if within(address or "", door.networks):
            return None
        found = await self._visitor(door, headers)
        if found is None:
            found = await self.rest(headers, address)
        return replace(found, address=address)

    async def allows(self, origin: str) -> bool:
        """Return whether scripts of this origin may call at all: an app's, or one of settings."""
        generation = await self._bearers.refresh()
        if generation != self._generation or len(self._origins) > _MOST_ORIGINS:
            self._origins.clear()
            self._generation = generation
        if origin not in self._origins:
            self._origins[origin] = await self._is_registered(origin)
        return self._origins[origin]

    async def _is_registered(self, origin: str) -> bool:
        settings = self._server.settings
        if origin in settings.security.origins:
            return True
        async with self._server.database.connection() as connection:
            return await clients.allows_origin(connection, origin, demo=settings.demo)

    async def _visitor(self, door: Door, headers: Headers) -> Caller | None:
        if not door.session or b"authorization" in headers:
            return None
        cookies = headers.get(b"cookie", b"").decode("latin-1")
        if sessions.cookie_of(self._server, cookies) is None:
            return None
        generation = await self._bearers.refresh()
        found = await self._visitors.caller(cookies, generation)
        if found is not None:
            self.rates.known(found)
        return found

    def _nobody(self, headers: Headers) -> Caller:
        # A page of another site must not use what is open on this machine only, nor one whose
        # name was made to lead here (DNS rebinding).
        origin, host = headers.get(b"origin"), headers.get(b"host", b"")
        places = [b"http://" + host, *([origin] if origin is not None else [])]
        if self._server.settings.demo and all(_is_local(one, self._own) for one in places):
            return OPEN
        raise Unauthenticated("Log in: there is no access token", headers=_CHALLENGES)

    def _check_site(self, method: str, headers: Headers, *, shared: bool) -> None:
        """Refuse what the page of another site lets a browser send, which has our cookies."""
        if method in _READING or (shared and b"authorization" in headers):
            return
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin, headers):
            raise Forbidden("Requests of other sites are not taken")

    def _check_origin(self, origin: str, registered: Sequence[str]) -> None:
        settings = self._server.settings
        local = settings.demo and clients.is_loopback(origin)
        if not local and origin not in registered and origin not in settings.security.origins:
            raise Forbidden("Scripts of this site may not use the token")

    def _is_own(self, origin: bytes, headers: Headers) -> bool:
        return is_own(self._own, origin.decode("latin-1"), headers)


def require(door: Door, caller: Caller | None) -> None:
    """Refuse who has not the operator scope that a door asks for."""
    if caller is None or not door.operator:
        return
    if caller.rights.operator.isdisjoint((door.operator, ANY)):
        raise Forbidden("This needs the rights of an operator")


_CHALLENGES: Final = {"WWW-Authenticate": _CHALLENGE}
_MOST_ORIGINS: Final = 1_000


def is_own(own: str, origin: str, headers: Headers) -> bool:
    """Return whether a page of this server asks: by the base URL, or by how it was called."""
    return origin == own or urlsplit(origin).netloc == headers.get(b"host", b"").decode("latin-1")


@lru_cache(maxsize=256)
def _is_local(origin: bytes, own: str) -> bool:
    """Return whether an origin is this server's as it is set, or of this machine."""
    text = origin.decode("latin-1")
    return urlsplit(text).netloc == urlsplit(own).netloc or clients.is_loopback(text)


def always(server: Server) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of every answer."""
    return tuple(_always(server))


def _always(server: Server) -> Iterator[tuple[bytes, bytes]]:
    yield b"x-content-type-options", b"nosniff"
    seconds = server.settings.security.hsts_seconds
    if server.base.startswith("https:") and seconds:
        yield b"strict-transport-security", b"max-age=%d" % seconds
    if server.settings.demo:
        yield b"x-sangam-mode", b"demo"


def _token(authorization: bytes) -> str:
    scheme, _, token = authorization.decode("latin-1").strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip() or not token.isascii():
        raise Unauthenticated("Only Bearer tokens are taken", headers=_CHALLENGES)
    return token.strip()
