"""What is done once before the processes of a server start, and what is said when they have.

A process of its own does it, forked from the one that has imported all of this (entry.py).
"""

import asyncio
import logging
from collections.abc import Mapping

import psycopg

from fhir_server.at_rest.keyring import keyring
from fhir_server.bases import DEFAULT
from fhir_server.config import Settings
from fhir_server.identity import samples
from fhir_server.main import connections, logins, postgres, walls
from fhir_server.main.banner import banner
from fhir_server.main.catching_up import notice
from fhir_server.main.entry import Prepared
from fhir_server.main.schema import migrate
from fhir_server.main.startable import check_people, check_wall
from fhir_server.main.tenants import check_walls, migrate_all, settings_of_all
from fhir_server.main.wiring import opened_keys

log = logging.getLogger(__name__)


def prepared(settings: Settings, embedded: str) -> Prepared:
    """Bring the database to this version, and check that it may be served.

    `embedded` is the URL of a PostgreSQL that was started, "" where settings name one. Raises
    Refused and SangamError.
    """
    conninfo = _roomy(settings, owned(embedded)) if embedded else settings.database_url
    migrate(conninfo)
    migrate_all(settings, conninfo)
    check_secret(settings, conninfo)
    check_people(settings, conninfo)
    serving = logins.serving(settings, conninfo)
    check_wall(settings, serving)
    check_walls(settings, conninfo)
    if settings.demo:
        settle_samples(conninfo)
    return Prepared(conninfo, serving, _pools(settings, serving))


def _pools(settings: Settings, serving: str) -> int:
    """Return the size of the pools of each process; Refused where PostgreSQL allows too few."""
    with psycopg.connect(serving, autocommit=True) as connection:
        allowed, tenants = connections.allowed(connection), connections.tenants_of(connection)
    size, best = connections.fitting(settings, allowed, tenants), connections.preferred(settings)
    if size < best:
        text = (
            "PostgreSQL allows %d connections: pools hold %d where %d is best; see max_connections"
        )
        log.warning(text, allowed, size, best)
    return size


def _roomy(settings: Settings, conninfo: str) -> str:
    """Return the conninfo of the embedded database, started anew if it has too few connections.

    How many its tenants need is known when it runs: mostly it was so the last time too.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        allowed, tenants = connections.allowed(connection), connections.tenants_of(connection)
    wanted = connections.for_embedded(settings, tenants)
    if connections.needed(settings, connections.preferred(settings), tenants) <= allowed:
        return conninfo
    directory = settings.data_dir / "postgres"
    postgres.stop(directory)
    return owned(postgres.start(directory, connections=wanted))


def owned(embedded: str) -> str:
    """Return the URL of the database of an embedded PostgreSQL, its owner's, made if need be."""
    return logins.settle(postgres.ensure_database(embedded, postgres.DATABASE))


def greeting(settings: Settings, base: str, ports: Mapping[str, int], conninfo: str) -> str:
    """Return what a person reads when the server answers."""
    return banner(settings, base, ports) + walls.warning(conninfo) + notice(conninfo)


def check_secret(settings: Settings, conninfo: str) -> None:
    """Refuse to serve a database whose secret or master key is another than the settings have."""

    async def check(own: Settings, conninfo: str, tenant: str) -> None:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            await opened_keys(connection, keyring(own, conninfo, tenant), own, tenant)

    async def every() -> None:
        await check(settings, conninfo, DEFAULT)
        for own, said, name in settings_of_all(settings, conninfo):
            await check(own, said, name)

    asyncio.run(every())


def settle_samples(conninfo: str) -> None:
    """Store the users and the app of the demonstration, as far as they are missing."""

    async def settle() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            await samples.settle(connection)

    asyncio.run(settle())
