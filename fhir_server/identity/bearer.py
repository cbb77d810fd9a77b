"""Access tokens: from a text to a caller, remembered for as long as it surely holds.

https://www.rfc-editor.org/rfc/rfc6750
https://www.rfc-editor.org/rfc/rfc9068
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from fhir_server.access import role_store
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.identity import caller_of, claims, issuers, persons, signing, standing
from fhir_server.identity.caller_of import Known
from fhir_server.identity.claims import Claims, Expected, refuse
from fhir_server.identity.keys import Keys, Published
from fhir_server.identity.standing import Standing, Watch
from fhir_server.security_settings import Issuer
from fhir_server.server import Server

PERSON_SECONDS: Final = 60.0
"""How long it is remembered which roles and teams in FHIR a member of staff has."""

OWN_SECONDS: Final = 5.0
"""As of staff, of patients and who acts for them."""

_ASYMMETRIC: Final = frozenset(("RS256", "RS384", "PS256", "ES256", "ES384"))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token; `origins` are those from which scripts may use it."""

    caller: Caller
    origins: tuple[str, ...]
    until: float


@dataclass(frozen=True, slots=True)
class _Source:
    """An issuer whose tokens count: what they have to say, and its keys."""

    expected: Expected
    algorithms: tuple[str, ...]
    keys: Keys
    issuer: Issuer | None = None


class Bearers:
    """The tokens that one process has seen of late, each with its caller."""

    def __init__(self, server: Server, clock: Callable[[], float] = time.time) -> None:
        security = server.settings.security
        self._server = server
        self._clock = clock
        self._held: OrderedDict[bytes, Holder] = OrderedDict()
        self._generation = 0
        self._watch = Watch(server.database, security.revocation_seconds)
        self._looking = asyncio.Lock()
        self._sources = {one.expected.issuer: one for one in _sources(server)}
        self._opaque = [one for one in self._sources.values() if _is_asked(one)]

    async def caller(self, token: str) -> Holder:
        """Return who holds the token; Unauthenticated when it is not accepted."""
        if len(token) > self._server.settings.security.token_bytes:
            refuse("The access token is too long")
        if not self._watch.is_fresh():
            await self._look()
        key = hashlib.sha256(token.encode()).digest()
        held = self._held.get(key)
        if held is not None and held.until > self._clock():
            return held
        generation = self._generation
        held = await self._checked(token)
        if generation == self._generation:
            # Else it may have been revoked between the look at it and now.
            self._held[key] = held
            while len(self._held) > self._server.settings.security.cached_tokens:
                self._held.popitem(last=False)
        return held

    async def refresh(self) -> int:
        """Return the generation of what may be remembered, as of a few seconds ago at most."""
        if not self._watch.is_fresh():
            await self._look()
        return self._generation

    async def _look(self) -> None:
        async with self._looking:
            if self._watch.is_fresh():
                return
            await self._watch.look()
            if self._watch.generation != self._generation:
                self._generation = self._watch.generation
                self._held.clear()
                if ours := self._sources.get(self._server.base):
                    ours.keys.forget()

    async def _checked(self, token: str) -> Holder:
        source, said, believed = await (
            self._of_jwt(token) if claims.is_jwt(token) else self._of_opaque(token)
        )
        async with self._server.database.connection() as connection:
            stands = await self._standing(connection, source, said)
            known = await self._known(connection, said, stands)
            # As it is now: what was in force two seconds ago would be remembered for long.
            table = await role_store.table(connection)
        settings = self._server.settings.security
        rights = caller_of.of_token(settings, table, said, known)
        caller = Caller(
            name=_name(source, said, person=known is not None),
            door="rest",
            rights=rights,
            user=said.user,
            roles=known.roles if known is not None else (),
            client=said.client,
            patient=said.patient,
            purpose=caller_of.purpose(settings, table, known),
            token=said.jti,
            authenticated=int(said.authenticated) if said.authenticated is not None else None,
        )
        return Holder(caller, stands.origins, min(believed, self._clock() + _remembered(known)))

    async def _of_jwt(self, token: str) -> tuple[_Source, Claims, float]:
        head = claims.header(token)
        source = self._sources.get(claims.unverified_issuer(token))
        if source is None or head.algorithm not in source.algorithms:
            refuse()
        if source.issuer is None and not head.is_access_token:
            refuse()
        key = await source.keys.key(head.kid, head.algorithm)
        if key is None:
            refuse()
        registry = JWSRegistry(algorithms=[head.algorithm], strict_check_header=False)
        try:
            signed = jws.deserialize_compact(token, key, [head.algorithm], registry)
        except (JoseError, ValueError):
            refuse()
        said = claims.read(signed.payload, source.expected, self._clock())
        return source, said, said.expires

    async def _of_opaque(self, token: str) -> tuple[_Source, Claims, float]:
        now = self._clock()
        for source in self._opaque:
            assert source.issuer is not None
            assert source.issuer.introspection is not None
            asking = source.issuer.introspection
            outbound = self._server.settings.security.outbound
            told = await issuers.introspected(outbound, source.issuer, asking, token)
            if told is not None:
                own = {"jti": hashlib.sha256(token.encode()).hexdigest()}
                said = claims.checked({**own, **told}, source.expected, now)
                return source, said, min(said.expires, now + asking.seconds)
        return refuse()

    async def _standing(self, connection: Connection, source: _Source, said: Claims) -> Standing:
        if source.issuer is None:
            return await standing.of_ours(connection, said, demo=self._server.settings.demo)
        if "*" not in source.issuer.clients and said.client not in source.issuer.clients:
            refuse("The app is not known here")
        return await standing.of_theirs(connection, said)

    async def _known(self, connection: Connection, said: Claims, stands: Standing) -> Known | None:
        if stands.roles is None:
            return None
        person = await persons.person(self._server, connection, said.user)
        return Known(stands.roles, person)


def remembered(user: str | None) -> float:
    """Return for how many seconds what was found of a person (a reference) is believed."""
    return OWN_SECONDS if caller_of.is_own(user) else PERSON_SECONDS


def _remembered(known: Known | None) -> float:
    return remembered(known.person.user if known is not None else None)


def _is_asked(source: _Source) -> bool:
    return source.issuer is not None and source.issuer.introspection is not None


def _name(source: _Source, said: Claims, *, person: bool) -> str:
    """Return the name of a caller, which is that of no other issuer's subject or client."""
    kind = "user" if person else "client"
    if source.issuer is None:
        return f"{kind}/{said.subject}"
    other = hashlib.sha256(f"{said.issuer} {said.subject}".encode()).hexdigest()[:24]
    return f"{kind}/{other}"


def _sources(server: Server) -> list[_Source]:
    security = server.settings.security
    found = [_external(server, one) for one in security.issuers]
    if security.identity.enabled:
        expected = Expected(
            server.base, server.base, server.base, server.tenant, leeway=security.leeway_seconds
        )
        fetch: Callable[[], Awaitable[Published]] = partial(_ours, server)
        # Another process may have made a key this moment, and asking costs next to nothing.
        found.append(_Source(expected, (signing.ALGORITHM,), Keys(fetch, pause=0.0)))
    return found


def _external(server: Server, issuer: Issuer) -> _Source:
    security = server.settings.security
    expected = Expected(
        issuer=issuer.url,
        audience=(issuer.audience or server.base).rstrip("/"),
        base=server.base,
        tenant=server.tenant,
        tenant_claim=issuer.tenant_claim,
        roles_claim=issuer.roles_claim,
        leeway=security.leeway_seconds,
    )
    keys = Keys(partial(issuers.published, security.outbound, issuer))
    return _Source(expected, tuple(_ASYMMETRIC.intersection(issuer.algorithms)), keys, issuer)


async def _ours(server: Server) -> Published:
    """Return our own keys; a change of them is seen by the watch."""
    return Published(await signing.published(server))
