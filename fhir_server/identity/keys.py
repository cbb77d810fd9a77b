"""The public keys of issuers: fetched when they are needed, believed for a while.

https://www.rfc-editor.org/rfc/rfc7517
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from fhir_server.errors import SangamError, Unavailable

LEAST, MOST = 300.0, 86_400.0
"""Seconds for which keys are believed, whatever the issuer says (Cache-Control)."""

PAUSE: Final = 60.0
"""Seconds between two requests for the keys of one issuer."""

_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
# Of a modulus of 2048 bits in base64.
_RSA_DIGITS: Final = 342

Key = RSAKey | ECKey


@dataclass(frozen=True, slots=True)
class Published:
    """A JWK set and for how many seconds its issuer lets it be kept, None if it does not say."""

    document: Mapping[str, Any]
    seconds: float | None = None


@dataclass(slots=True)
class Keys:
    """The keys of one issuer. A key that is not known is asked for, once in `pause` seconds.

    All requests that lack it wait for the one that asks.
    """

    fetch: Callable[[], Awaitable[Published]]
    clock: Callable[[], float] = time.monotonic
    pause: float = PAUSE
    known: Mapping[tuple[str, str], Key] = field(default_factory=dict)
    fetched: float = -math.inf
    until: float = -math.inf
    tried: float = -math.inf
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def key(self, kid: str, algorithm: str) -> Key | None:
        """Return the key with that id for the algorithm, None where the issuer has none.

        Unavailable when the issuer cannot be asked and what is known of it is too old.
        """
        wanted = (kid, _KINDS.get(algorithm[:2], ""))
        if self.clock() >= self.until or wanted not in self.known:
            await self._renew(wanted)
        found = self.known.get(wanted)
        said = found.get("alg") if found is not None else None
        return None if said is not None and said != algorithm else found

    def forget(self) -> None:
        """Have the keys asked for before one is next believed."""
        self.known = {}
        self.until = self.tried = -math.inf

    async def _renew(self, wanted: tuple[str, str]) -> None:
        async with self.asking:
            now = self.clock()
            if now < self.until and wanted in self.known:
                return
            if now - self.tried >= self.pause:
                self.tried = now
                try:
                    self._take(await self.fetch(), now)
                except SangamError:
                    # Its last keys do for a day: an issuer that is away keeps nobody out.
                    self.until = min(now + PAUSE, self.fetched + MOST)
            if self.clock() >= max(self.until, self.fetched + MOST):
                raise Unavailable("The keys of the issuer cannot be had now")

    def _take(self, published: Published, now: float) -> None:
        asked = LEAST if published.seconds is None else published.seconds
        self.known = dict(usable(published.document))
        self.fetched, self.until = now, now + min(MOST, max(LEAST, asked))


def usable(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Key]]:
    """Yield the keys of a JWK set that may verify, by id and kind; secrets are none."""
    listed = document.get("keys")
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        if one.get("kty") not in _KINDS.values() or not isinstance(one.get("kid"), str):
            continue
        if one["kty"] == "RSA" and len(str(one.get("n", ""))) < _RSA_DIGITS:
            continue
        try:
            key = JWKRegistry.import_key(one)
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, RSAKey | ECKey):
            yield (one["kid"], one["kty"]), key
