"""The data directory: one server's at a time, with the database in it."""

import fcntl
import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fhir_server.config import Settings
from fhir_server.errors import Unavailable
from fhir_server.main import connections, postgres
from fhir_server.main.late import found
from fhir_server.main.refused import Refused

READY_FILE: Final = "serve.json"
"""What a running server says of itself, for `sangam status` and scripts."""

POSTGRES: Final = "postgres"
"""The folder of an embedded PostgreSQL, which sees to its own modes."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

log = logging.getLogger(__name__)


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the lock ends with the process, however that ends."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"Another server runs on {data_dir}. Stop it, or choose another --data-dir."
            ) from error
        yield


def close_to_others(data_dir: Path) -> None:
    """Take from other accounts what versions before left open to them.

    They pass the directory itself where PostgreSQL has an account of its own, which needs that.
    """
    for place in data_dir.iterdir():
        mode = stat.S_IMODE(place.lstat().st_mode)
        if place.name != POSTGRES and not place.is_symlink() and mode & _OTHERS:
            place.chmod(mode & ~_OTHERS)


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Lend the URL of the database, its owner's; an embedded one runs meanwhile.

    The caller holds the lock of the data directory.
    """
    with embedded(settings) as own:
        yield found("fhir_server.main.preparing:owned")(own) if own else settings.database_url


@contextmanager
def embedded(settings: Settings) -> Iterator[str]:
    """Lend the URL of an embedded PostgreSQL, its superuser's; "" where settings name another."""
    if settings.database_url:
        yield ""
        return
    directory = settings.data_dir / POSTGRES
    uri = postgres.start(directory, connections=connections.for_embedded(settings))
    try:
        yield uri
    finally:
        try:
            postgres.stop(directory)
        except Unavailable:
            # What was committed is safe; the next start takes the cluster over.
            log.warning("PostgreSQL is slow to stop and is left to end by itself")
