"""The handles of tenants that a process holds, opened when they are first asked for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import psycopg

from fhir_server.background import end
from fhir_server.database import Database
from fhir_server.errors import Forbidden, NotFound, SangamError, Unavailable
from fhir_server.server import Server
from fhir_server.tenancy.tenant import LIST, Tenant, of_row

Opener = Callable[[Tenant], AbstractAsyncContextManager[Server]]
"""Opens the handle of a tenant."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Register:
    """The tenants as the installation's database has them, read again after `seconds`."""

    database: Database
    seconds: float
    known: dict[str, Tenant] = field(default_factory=dict)
    read_at: float | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def present(self) -> dict[str, Tenant]:
        """Return all tenants by name, as they were `seconds` ago at most.

        Unavailable when they cannot be read: one that was suspended might go on.
        """
        async with self.reading:
            now = asyncio.get_running_loop().time()
            if self.read_at is None or now - self.read_at >= self.seconds:
                async with self.database.connection() as connection:
                    rows = await (await connection.execute(LIST)).fetchall()
                self.known = {one.name: one for one in map(of_row, rows)}
                self.read_at = now
            return self.known

    async def served(self, name: str) -> Tenant:
        """Return a tenant that is served; NotFound or Forbidden say why one is not."""
        found = (await self.present()).get(name)
        if found is None or found.state in {"creating", "importing", "erasing"}:
            raise NotFound("There is no such tenant")
        if found.state == "suspended":
            raise Forbidden("The tenant is suspended", code="suppressed")
        return found


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    """What was made of a tenant's handle, and what closes it."""

    tenant: Tenant
    made: T
    closing: AsyncExitStack


class Handles(Generic[T]):
    """What a process makes of the handle of each tenant that is asked for (`make`)."""

    def __init__(self, register: Register, opener: Opener, make: Callable[[Server], T]) -> None:
        self._register = register
        self._opener = opener
        self._make = make
        self._held: dict[str, _Held[T]] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        self._ending = asyncio.Event()

    async def of(self, name: str) -> T:
        """Return what was made for a tenant; NotFound or Forbidden when it is not served."""
        try:
            tenant = await self._register.served(name)
        except SangamError:
            self._leave(name)
            raise
        held = self._held.get(name)
        if held is not None and held.tenant == tenant:
            return held.made
        async with self._opening.setdefault(name, asyncio.Lock()):
            held = self._held.get(name)
            if held is None or held.tenant != tenant:
                self._leave(name)
                held = self._held[name] = await self._open(tenant)
            return held.made

    async def _open(self, tenant: Tenant) -> _Held[T]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(self._opener(tenant))
            return _Held(tenant, self._make(server), stack.pop_all())

    def _leave(self, name: str) -> None:
        """Close a handle, once the requests that it still carries out had time to end."""
        held = self._held.pop(name, None)
        if held is not None:
            task = asyncio.create_task(self._closed(held.closing))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _closed(self, closing: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._ending.wait()
        except TimeoutError:
            pass
        await closing.aclose()

    async def close(self) -> None:
        """Close all handles, at once."""
        self._ending.set()
        for name in tuple(self._held):
            self._leave(name)
        await asyncio.gather(*self._leaving, return_exceptions=True)


@asynccontextmanager
async def handles(
    register: Register, opener: Opener, make: Callable[[Server], T]
) -> AsyncIterator[Handles[T]]:
    """Lend handles that are closed at the end."""
    found = Handles(register, opener, make)
    try:
        yield found
    finally:
        await found.close()


@dataclass(slots=True)
class _Served:
    """A tenant that a process serves all the time, until `stop` is set."""

    tenant: Tenant
    stop: asyncio.Event
    task: asyncio.Task[None]


async def attend(
    register: Register,
    opener: Opener,
    serve: Callable[[Server, asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
) -> None:
    """Serve each active tenant until `stop` is set, and follow the register meanwhile.

    One that is suspended, erased or changed is told to stop, and begun again if it is to be.
    """
    served: dict[str, _Served] = {}
    while not stop.is_set():
        try:
            await _adjust(await register.present(), served, opener, serve)
        except (psycopg.OperationalError, Unavailable):
            log.warning("the tenants cannot be read now; those that are served go on")
        try:
            async with asyncio.timeout(register.seconds):
                await stop.wait()
        except TimeoutError:
            continue
    await _finish(served.values())


async def _adjust(
    present: dict[str, Tenant],
    served: dict[str, _Served],
    opener: Opener,
    serve: Callable[[Server, asyncio.Event], Awaitable[None]],
) -> None:
    wanted = {name: one for name, one in present.items() if one.state == "active"}
    over = [one for name, one in served.items() if wanted.get(name) != one.tenant]
    await _finish(over)
    for name in [name for name, one in served.items() if one.task.done()]:
        del served[name]
    for name in wanted.keys() - served.keys():
        ended = asyncio.Event()
        task = asyncio.create_task(_serve(wanted[name], opener, serve, ended))
        served[name] = _Served(wanted[name], ended, task)


async def _serve(
    tenant: Tenant,
    opener: Opener,
    serve: Callable[[Server, asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
) -> None:
    """Serve one tenant; what goes wrong with it is no other's matter, and is tried again."""
    try:
        async with opener(tenant) as server:
            await serve(server, stop)
    except Exception as error:  # noqa: BLE001  (the next look begins it again)
        log.error("tenant %s is not served now: %s", tenant.name, type(error).__name__)  # noqa: TRY400  (no values)


async def _finish(some: Any) -> None:  # noqa: ANN401  (a view or a list)
    """Tell some to stop and wait for them."""
    ending = list(some)
    for one in ending:
        one.stop.set()
    if ending:
        _, late = await asyncio.wait([one.task for one in ending], timeout=STOP_SECONDS)
        await end(late)


GRACE_SECONDS = 30.0
"""So long requests go on that began before their tenant was suspended or changed."""

STOP_SECONDS = 8.0
"""So long may what a tenant has under way take to end."""
