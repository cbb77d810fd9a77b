"""What is agreed with all senders, as it stands now."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from adapters.hl7 import metrics
from adapters.hl7.mapping.context import Profile
from adapters.hl7.mapping.sender_rules import Codes
from adapters.hl7.profiles import ledger, maps
from adapters.hl7.profiles.compose import compose
from adapters.hl7.profiles.directory import Directory
from adapters.hl7.profiles.read import Loaded, Profiles
from fhir_server.database import Database
from fhir_server.server import Server
from fhir_server.vocabulary.freshness import Freshness

_LOOK_SECONDS: Final = 0.5
_PROCESSES_HANDLES: Final = 4
_SENDERS: Final = 4_096


class Agreements:
    """The profiles of the directory and the stored maps, looked at twice a second at most.

    A process keeps one for each server that it handles: `agreements` gives it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._directory = Directory(server.settings.hl7.profiles_dir)
        self._type_id = server.definitions.type_ids["ConceptMap"]
        self._freshness = Freshness(server.database, [self._type_id])
        self._generation = 0
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self._maps: dict[str, Mapping[str, Codes]] = {}
        self._agreed: dict[tuple[str, str], tuple[Profile, bool, Profile]] = {}

    @property
    def server(self) -> Server:
        """The server whose senders these are."""
        return self._server

    @property
    def profiles(self) -> Profiles:
        """The profiles that served when last looked at."""
        return self._directory.profiles

    @property
    def are_known(self) -> bool:
        """Whether the directory was read: until then nobody knows who is to be told of what."""
        return not self._directory.missing or bool(self._directory.files)

    async def refresh(self) -> None:
        """Look for changed files and maps, unless that was just done."""
        async with self._looking:  # whoever comes meanwhile goes by what is found now
            await self._refresh()

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        changed = await self._scan()
        if changed:
            await ledger.record(self._server.database, self._directory, changed)
            self._agreed.clear()
        metrics.profile_problems.set(len(self.profiles.problems))
        generation = (await self._freshness.now())[self._type_id]
        if generation != self._generation:
            self._generation = generation
            self._maps.clear()
            self._agreed.clear()

    async def _scan(self) -> frozenset[str]:
        """Read the changed files in a thread; without a directory there is none to read."""
        if not self._directory.path:
            return frozenset()
        return await asyncio.to_thread(self._directory.scan)

    async def profile(self, usual: Profile, loaded: Loaded | None) -> Profile:
        """Return what is agreed with the sender of `usual`: what is usual, and its profile."""
        sender = loaded.sender if loaded else usual.sender
        hold = self._server.settings.hl7.unmapped_policy == "hold"
        key = (sender, loaded.fingerprint if loaded else "")
        known = self._agreed.get(key)
        if known is not None and known[0] == usual and known[1] == hold:
            return known[2]
        if sender not in self._maps:
            self._maps[sender] = await maps.stored(self._server, usual.base, sender)
        made = compose(usual, loaded, self._maps[sender], hold=hold)
        if len(self._agreed) >= _SENDERS:  # whoever sends names senders
            self._agreed.clear()
            self._maps.clear()
        self._agreed[key] = (usual, hold, made)
        return made


_KEPT: dict[tuple[Database, str], Agreements] = {}


def agreements(server: Server) -> Agreements:
    """Return what this process keeps of a server's agreements."""
    key = (server.database, server.settings.hl7.profiles_dir)
    if key not in _KEPT:
        while len(_KEPT) >= _PROCESSES_HANDLES:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = Agreements(server)
    return _KEPT[key]
