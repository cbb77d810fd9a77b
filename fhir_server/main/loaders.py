"""The processes that a load is shared among.

Storing costs more in Python than in the database, so a load takes all processors.
"""

import asyncio
import gc
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass

import uvloop

from fhir_server.config import Settings
from fhir_server.main.load import Carry
from fhir_server.main.piece import Done, store
from fhir_server.main.sources import Document
from fhir_server.main.tenants import opener
from fhir_server.main.wiring import running
from fhir_server.server import Server
from fhir_server.tenancy.tenant import Tenant


@dataclass(slots=True)
class _Process:
    """The event loop of this process and the server that it holds open until its end."""

    runner: asyncio.Runner
    server: Server
    held: AsyncExitStack


_opened: list[_Process] = []
"""Filled once in each process, before its first piece: an executor hands over functions only."""


@contextmanager
def loaders(
    settings: Settings, conninfo: str, base: str, processes: int, tenant: Tenant | None = None
) -> Iterator[Carry]:
    """Lend what stores a piece in one of so many processes, for a tenant if one is given."""
    context = multiprocessing.get_context("spawn")
    given = (settings, conninfo, base, tenant)
    with ProcessPoolExecutor(processes, context, _open, given) as executor:

        async def carry(piece: Sequence[Document]) -> Done:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, _store, piece)

        yield carry


def _open(settings: Settings, conninfo: str, base: str, tenant: Tenant | None) -> None:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    held = AsyncExitStack()
    opening: AbstractAsyncContextManager[Server]
    if tenant is None:
        opening = running(settings, conninfo, base)
    else:
        opening = opener(settings, conninfo, base)(tenant)
    server = runner.run(held.enter_async_context(opening))
    server.validator.warm()
    # What stays for good need not be looked through again and again (a sixth of the time).
    gc.freeze()
    _opened.append(_Process(runner, server, held))


def _store(piece: Sequence[Document]) -> Done:
    here = _opened[0]
    return here.runner.run(store(here.server, piece))
