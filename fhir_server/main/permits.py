"""What the DICOM of each tenant may send to other organisations, asked by its threads."""

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from adapters.dicom.serving import Permits
from adapters.dicom.studies import disclosing
from fhir_server.server import Server
from fhir_server.tenancy.handles import Opener, Register

log = logging.getLogger(__name__)

_SECONDS: Final = 30.0


def permits(server: Server, register: Register, opened: Opener) -> Permits:
    """Return what a thread asks beside this loop: of the installation itself, or of a tenant.

    What cannot be answered in time permits nothing.
    """
    loop = asyncio.get_running_loop()

    async def asked(tenant: str, organization: str, studies: Collection[str]) -> set[str]:
        if not tenant:
            return await disclosing.permitted(server, organization, studies)
        async with opened(await register.served(tenant)) as own:
            return await disclosing.permitted(own, organization, studies)

    def ask(tenant: str, organization: str, studies: Collection[str]) -> Collection[str]:
        asking = asyncio.run_coroutine_threadsafe(asked(tenant, organization, studies), loop)
        try:
            return asking.result(_SECONDS)
        except Exception as error:  # noqa: BLE001  (whatever it is, nothing is permitted)
            asking.cancel()
            log.error("a disclosure could not be decided: %s", type(error).__name__)  # noqa: TRY400  (no values)
            return ()

    return ask
