"""`sangam status`: a running server, and what lies in its database."""

import asyncio

from rich.console import Console

from fhir_server.main.databases import opened, running_server
from fhir_server.main.options import DatabaseUrl, DataDir, fail, given
from fhir_server.main.status import overview


def status(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show processes, ports, jobs, the HL7 inbox and the change feed."""
    settings = given(data_dir=data_dir, database_url=database_url)
    server = running_server(settings.data_dir)
    if server is None and not settings.database_url:
        fail(f"No server runs on {settings.data_dir}. Start one: sangam serve --demo")

    async def main() -> None:
        async with opened(settings) as database:
            Console(markup=False).print(await overview(database, server))

    asyncio.run(main())
