"""The work of analyzers, as long as the server runs."""

import asyncio
import contextlib
import logging
from typing import Final

import psycopg

from adapters.hl7.law import giving
from adapters.hl7.law.answering import recover
from adapters.hl7.law.follow import look
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.uri_base import uri_base
from fhir_server.errors import SangamError
from fhir_server.server import Server

_AGAIN_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Follow orders, answers and results until `stop` is set.

    What is followed is locked as it is read, so several processes may do so.
    """
    recovered = False
    while not stop.is_set():
        pause = server.settings.hl7.outbound_poll_seconds
        try:
            if server.settings.hl7.profiles_dir:
                if not recovered:
                    await recover(server)
                    recovered = True
                await _look(server)
        except (psycopg.Error, SangamError) as error:
            _log.warning("The work of analyzers is not followed now: %s", type(error).__name__)
            pause = _AGAIN_SECONDS
        except Exception:  # noqa: BLE001  (who sends to us is not to suffer from it)
            _log.exception("The work of analyzers is not followed now")
            pause = _AGAIN_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()


async def _look(server: Server) -> None:
    agreed = agreements(server)
    await agreed.refresh()
    base = await uri_base(server)
    profiles = [one for one in agreed.profiles.by_sender.values() if giving.is_analyzer(one)]
    analyzers = {one.sender: giving.analyzer(server, base, one) for one in profiles}
    if analyzers:
        while await look(server, base, analyzers):
            pass
