"""`sangam worker`: jobs carried out beside a server."""

import asyncio
import signal

from fhir_server.main.log import configure
from fhir_server.main.options import BrokerUrl, DatabaseUrl, DataDir, fail, given
from fhir_server.main.tenants import opener
from fhir_server.main.wiring import JOBS, running
from fhir_server.server import Server
from fhir_server.tenancy.handles import Register, attend
from fhir_server.worker.runner import carrying


def worker(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, broker_url: BrokerUrl = None
) -> None:
    """Carry out jobs beside a server that uses a real broker.

    Example: `sangam worker --database-url postgresql://... --broker-url redis://localhost`
    """
    settings = given(data_dir=data_dir, database_url=database_url, broker_url=broker_url)
    if settings.broker_url.startswith("memory:") or not settings.database_url:
        fail("A worker of its own needs --database-url and a --broker-url such as redis://...")
    configure("worker")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        base = settings.base_url or f"http://{settings.host}:{settings.http_port}/fhir"
        url = settings.serving_url or settings.database_url
        async with (
            running(settings, url, base) as server,
            carrying(settings.broker_url) as carrier,
        ):

            async def serve(one: Server, ended: asyncio.Event) -> None:
                await carrier.work(one, JOBS, ended)

            # What comes from the broker is of every tenant.
            register = Register(server.database, settings.tenants.look_seconds)
            others = attend(register, opener(settings, url, base), serve, stop)
            await asyncio.gather(serve(server, stop), others)

    asyncio.run(main())
