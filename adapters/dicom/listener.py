"""The DICOM listener: a thread for each association.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.1
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from adapters.dicom import metrics
from adapters.dicom.network.association import MAX_REQUEST, Association
from adapters.dicom.network.desk import Desk, Patience, nobody
from adapters.dicom.network.negotiate import LOCAL_LIMIT_EXCEEDED, Rejected
from adapters.dicom.network.peer import UNKNOWN, Peer
from adapters.dicom.network.wire import Wire
from adapters.dicom.places import Limits, Places
from adapters.dicom.query.calling import accepting
from adapters.dicom.serving import Guests, Permits, Room, Rooms
from adapters.dicom.studies import disclosing
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.networks import LOOPBACK, Networks, address, networks, within
from fhir_server.server import Server

log = logging.getLogger(__name__)

THREAD = "dicom-association"
"""Name of the threads that serve associations."""

PLACES = "dicom-associations"
"""The file, beside the data, by which processes share how many associations there may be."""

_POLL_SECONDS = 0.2
# Connections that only wait to be told of the limit may be this many times the limit.
_LOBBY = 2

Secure = Callable[[socket.socket], socket.socket]


def serve(
    server: Server,
    sock: socket.socket,
    stop: threading.Event,
    *,
    with_tls: bool = False,
    upkeep: bool = True,
    guests: Guests | None = None,
    permits: Permits | None = None,
) -> None:
    """Accept associations on the listening socket until `stop` is set.

    Messages under way are then finished; idle associations are aborted. Raises OSError
    where a file of TLS is missing or wrong. One process of several has the `upkeep`.
    `guests` are the tenants whose AE titles are answered to as well, `permits` says what may go
    to peers of other organisations: without it nothing does.
    """
    secure = accepting(server.settings.dicom) if with_tls else None
    listen(
        *(server.settings, server.database.conninfo, server.blobs, sock, stop),
        secure=secure,
        upkeep=upkeep,
        guests=guests,
        permits=permits,
    )


def listen(  # noqa: PLR0913  (what a process is told)
    settings: Settings,
    conninfo: str,
    blobs: Blobs,
    sock: socket.socket,
    stop: threading.Event,
    *,
    secure: Secure | None = None,
    upkeep: bool = True,
    guests: Guests | None = None,
    permits: Permits | None = None,
) -> None:
    """Serve with the database of `conninfo` and an archive under the server's `blobs`.

    `secure` puts TLS on what was accepted. `upkeep`: also remove what a crash left behind,
    count anew what is held, and bring files to the object store.
    """
    dicom = settings.dicom
    limits = Limits(dicom.max_associations, dicom.max_associations_per_host)
    permit = partial(permits, "") if permits else disclosing.nothing
    own = Room(settings, conninfo, blobs, upkeep=upkeep, permit=permit)
    places = Places(settings.data_dir / PLACES, limits)
    rooms = Rooms(guests or dict, upkeep=upkeep, permits=permits)
    listener = Listener(
        desk=own.desk,
        networks=networks(dicom.allow_hosts),
        plain=networks(dicom.plain_from),
        places=places,
        patience=Patience(dicom.artim_seconds, dicom.dimse_seconds, dicom.idle_seconds),
        secure=secure,
        others=rooms.desk,
    )
    own.open()
    rooms.open()
    try:
        listener.listen(sock, stop)
    finally:
        listener.close(dicom.stop_seconds)
        rooms.close()
        own.close()
        places.close()


class Listener:
    """The associations of one process."""

    def __init__(
        self,
        *,
        desk: Desk,
        networks: Networks,
        plain: Networks = (),
        places: Places,
        patience: Patience,
        secure: Secure | None = None,
        others: Callable[[str], Desk | Rejected | None] = nobody,
    ) -> None:
        self._desk = desk
        self._networks = networks
        self._plain = plain
        self._places = places
        self._patience = patience
        self._secure = secure
        self._others = others
        self._lock = threading.Lock()
        self._running: dict[Association, threading.Thread] = {}
        self._per_host: Counter[str] = Counter()

    def listen(self, sock: socket.socket, stop: threading.Event) -> None:
        """Accept connections until `stop` is set."""
        sock.settimeout(_POLL_SECONDS)
        while not stop.is_set():
            try:
                connection, address = sock.accept()
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("a connection could not be accepted: %s", type(error).__name__)
                stop.wait(_POLL_SECONDS)
                continue
            try:
                self._admit(connection, str(address[0]))
            except (OSError, RuntimeError) as error:
                # The peer is gone already, or there can be no further thread.
                log.warning("a connection was dropped: %s", type(error).__name__)
                connection.close()

    def close(self, seconds: float) -> None:
        """End all associations, waiting at most `seconds` for messages under way."""
        with self._lock:
            running = dict(self._running)
        for association in running:
            association.stop()
        deadline = time.monotonic() + seconds
        for thread in running.values():
            thread.join(max(0, deadline - time.monotonic()))

    def _admit(self, connection: socket.socket, host: str) -> None:
        if why := unwanted(host, self._networks, None if self._secure else self._plain):
            log.warning("a connection from %s was closed: %s", host, why)
            metrics.rejected.labels("host").inc()
            connection.close()
            # Others are not to wait for the database until they are accepted.
            told = (Peer(host, UNKNOWN, ""), why)
            threading.Thread(target=self._desk.note, args=told, daemon=True).start()
            return
        with self._lock:
            if self._crowded(host):
                connection.close()
                return
            if self._secure:
                connection = self._secure(connection)
            give_back = self._places.take(host)
            association = Association(
                Wire(connection, limit=MAX_REQUEST),
                host,
                desk=self._desk,
                patience=self._patience,
                refusal=None if give_back else LOCAL_LIMIT_EXCEEDED,
                others=self._others,
            )
            thread = threading.Thread(
                target=self._run, args=(association, host, give_back), daemon=True, name=THREAD
            )
            try:
                thread.start()
            except RuntimeError:
                _done(give_back)
                raise
            self._running[association] = thread
            self._per_host[host] += 1

    def _crowded(self, host: str) -> bool:
        """Return whether there are too many connections even to be told of the limit."""
        return (
            len(self._running) >= _LOBBY * self._places.limits.total
            or self._per_host[host] >= _LOBBY * self._places.limits.per_host
        )

    def _run(
        self, association: Association, host: str, give_back: Callable[[], None] | None
    ) -> None:
        metrics.associations.inc()
        try:
            association.run()
        finally:
            metrics.associations.dec()
            _done(give_back)
            with self._lock:
                del self._running[association]
                self._per_host[host] -= 1
                if not self._per_host[host]:
                    del self._per_host[host]


def _done(give_back: Callable[[], None] | None) -> None:
    """Give a place back, if there was one."""
    if give_back:
        give_back()


def unwanted(host: str, networks: Networks, plain: Networks | None) -> str:
    """Return why nobody may connect from a host, "" where somebody may.

    `plain` are the networks beyond this machine that may do without TLS, None where there
    is TLS.
    """
    if not allowed(host, networks):
        return "Its address is not allowed"
    if plain is not None and not allowed(host, (*LOOPBACK, *plain)):
        return "It does without TLS"
    return ""


def allowed(host: str, networks: Networks) -> bool:
    """Return whether a host may connect; without networks, loopback and private ones may."""
    if networks:
        return within(host, networks)
    found = address(host)
    return found.is_loopback or found.is_private
