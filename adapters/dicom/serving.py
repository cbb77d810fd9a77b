"""What associations are served with: the archive, the index and the rules of each tenant.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_7.1.1
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import psycopg

from adapters.dicom.commitment import provide as commitment
from adapters.dicom.mpps import provide as mpps
from adapters.dicom.network import classes
from adapters.dicom.network.command import Field
from adapters.dicom.network.desk import Desk
from adapters.dicom.network.negotiate import TEMPORARY_CONGESTION, Rejected, policy
from adapters.dicom.network.services import Service, by_class, echo
from adapters.dicom.pixels.pool import Pool as Decoders
from adapters.dicom.pixels.whole import transcoder
from adapters.dicom.query import backfill, peers
from adapters.dicom.query.calling import call
from adapters.dicom.query.find import Pool, Queries, find
from adapters.dicom.query.find import pool as query_pool
from adapters.dicom.query.peers import admission
from adapters.dicom.query.retrieve import Retrievals, get, move
from adapters.dicom.recorded import noting
from adapters.dicom.storage import recompress, verify
from adapters.dicom.storage.index import Index, Rules
from adapters.dicom.storage.quota import Quota, Reserve, Sessions, recount
from adapters.dicom.storage.store import Archive, store
from adapters.dicom.storage.sweep import sweep
from adapters.dicom.storage.tiered import archive_blobs, tend
from adapters.dicom.studies import disclosing
from adapters.dicom.studies.disclosing import Permit
from adapters.dicom.worklist import find as worklist
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 6 * 3600.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Guest:
    """A tenant that has AE titles here; one that is not `served` is refused."""

    settings: Settings
    conninfo: str
    blobs: Blobs
    served: bool = True


Permits = Callable[[str, str, Collection[str]], Collection[str]]
"""Returns for a tenant (empty: the installation itself) what its `disclosing.Permit` does."""

Guests = Callable[[], Mapping[str, Guest]]
"""Returns the tenants by name, as they are now. Raises psycopg.Error when that is not known."""


class Room:
    """The archive, the index and the rules by which one tenant's associations are served."""

    def __init__(
        self,
        settings: Settings,
        conninfo: str,
        own: Blobs,
        *,
        upkeep: bool,
        permit: Permit = disclosing.nothing,
    ) -> None:
        dicom = settings.dicom
        self._queries = query_pool(
            conninfo, connections=dicom.query_connections, seconds=dicom.find_seconds
        )
        self._index = Index(
            conninfo,
            connections=dicom.connections,
            quiet_seconds=dicom.quiet_seconds,
            rules=Rules(dicom.on_conflict, dicom.rejected == "refuse"),
        )
        blobs = archive_blobs(own, dicom)
        render = dicom.render
        self._upkeep = upkeep
        self._decoders = Decoders(
            workers=render.workers, memory=render.memory_bytes, seconds=render.seconds
        )
        self._quota = Quota(Sessions(self._queries.connection), dicom.quota_bytes)
        reserve = Reserve(dicom.reserve_bytes)
        denied = frozenset(dicom.denied_sop_classes)
        archive = Archive(blobs, self._index, dicom.max_object_bytes, reserve, self._quota, denied)
        self._stop = stop = threading.Event()
        beside: list[Callable[[], None]] = [partial(self._quota.settle_often, stop)]
        if upkeep:
            beside += [
                partial(_sweep_often, conninfo, blobs, self._quota, dicom, stop),
                partial(tend, blobs, dicom.s3.cache_bytes, stop),
            ]
        self._beside = [threading.Thread(target=one, daemon=True) for one in beside]
        self.desk = Desk(
            policy(settings),
            _services(settings, archive, self._queries, self._decoders, permit),
            admission(self._queries.connection, unlisted(settings)),
            noting(self._queries.connection),
        )

    def open(self) -> None:
        """Connect, and begin what goes on beside the associations."""
        self._index.open()
        self._queries.open()
        if self._upkeep:
            self._warn()
        for thread in self._beside:
            thread.start()

    def _warn(self) -> None:
        """Say of which peers nothing is sent, as that would be in the clear."""
        try:
            with self._queries.connection() as session:
                for title, why in peers.unprotected(session):
                    log.error("peer %s is not called: %s", title, why)
        except psycopg.Error as error:
            log.warning("the peers were not looked at: %s", type(error).__name__)

    def close(self) -> None:
        """End what goes on beside the associations, and close the connections."""
        self._stop.set()
        for thread in self._beside:
            thread.join()
        self._quota.settle()
        self._decoders.close()
        self._queries.close()
        self._index.close()


class Rooms:
    """The rooms of the tenants that have AE titles, as the register has them now."""

    def __init__(self, guests: Guests, *, upkeep: bool, permits: Permits | None = None) -> None:
        self._guests = guests
        self._permits = permits
        self._upkeep = upkeep
        self._rooms: dict[str, tuple[Guest, Room]] = {}
        self._desks: Mapping[str, Desk | Rejected] = {}
        self._stop = threading.Event()
        self._looking = threading.Thread(target=self._look_often, daemon=True)

    def desk(self, called: str) -> Desk | Rejected | None:
        """Return by what an association that calls this AE title is served, or why it is not.

        None where it is no tenant's.
        """
        return self._desks.get(called)

    def open(self) -> None:
        """Open the rooms, and follow the register from now on."""
        self.look()
        self._looking.start()

    def close(self) -> None:
        """Close all rooms."""
        self._stop.set()
        self._looking.join()
        for _, room in self._rooms.values():
            room.close()
        self._rooms.clear()

    def look(self) -> None:
        """Open and close rooms as the register says; where it says nothing all stays."""
        try:
            guests = self._guests()
        except psycopg.Error as error:
            log.warning("the tenants cannot be read now: %s", type(error).__name__)
            return
        served = {name: one for name, one in guests.items() if one.served}
        over = [name for name, (guest, _) in self._rooms.items() if served.get(name) != guest]
        leaving = [self._rooms.pop(name)[1] for name in over]
        for name in served.keys() - self._rooms.keys():
            self._enter(name, served[name])
        self._desks = self._titles(guests)
        for room in leaving:
            room.close()

    def _enter(self, name: str, guest: Guest) -> None:
        try:
            permit = partial(self._permits, name) if self._permits else disclosing.nothing
            given = (guest.settings, guest.conninfo, guest.blobs)
            room = Room(*given, upkeep=self._upkeep, permit=permit)
            room.open()
        except Exception as error:  # noqa: BLE001  (what is wrong with one is no other's matter)
            log.error("tenant %s has no DICOM now: %s", name, type(error).__name__)  # noqa: TRY400  (no values)
        else:
            self._rooms[name] = (guest, room)

    def _titles(self, guests: Mapping[str, Guest]) -> dict[str, Desk | Rejected]:
        """Return the desk of each AE title; who calls one that is not served is asked to wait."""
        return {
            title: self._rooms[name][1].desk if name in self._rooms else TEMPORARY_CONGESTION
            for name, guest in guests.items()
            for title in guest.settings.dicom.ae_titles
        }

    def _look_often(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.look()


def _services(
    settings: Settings, archive: Archive, queries: Pool, decoders: Decoders, permit: Permit
) -> Mapping[int, Service]:
    """Return what answers each request; C-FIND, C-MOVE and C-GET by the SOP class."""
    calling = partial(call, settings.dicom)
    decoding = transcoder(decoders, decoders.workers)
    retrievals = Retrievals(queries, archive.blobs, calling, decoding, permit)
    asked = Queries(queries, settings.dicom.find_limit)
    finding, scheduled = partial(find, asked), partial(worklist.find, asked)
    steps = mpps.Steps(queries, settings.dicom.mpps_strict)
    commitments = commitment.Commitments(queries, settings.dicom.commit_reply == "same")
    return {
        Field.C_ECHO_RQ: echo,
        Field.C_STORE_RQ: partial(store, archive),
        Field.C_FIND_RQ: by_class(
            {**dict.fromkeys(classes.FIND, finding), classes.WORKLIST_FIND: scheduled}
        ),
        Field.C_MOVE_RQ: by_class(dict.fromkeys(classes.MOVE, partial(move, retrievals))),
        Field.C_GET_RQ: by_class(dict.fromkeys(classes.GET, partial(get, retrievals))),
        Field.N_CREATE_RQ: by_class({classes.MPPS: partial(mpps.create, steps)}),
        Field.N_SET_RQ: by_class({classes.MPPS: partial(mpps.change, steps)}),
        Field.N_GET_RQ: by_class(
            dict.fromkeys((classes.MPPS, classes.MPPS_RETRIEVE), partial(mpps.get, steps))
        ),
        Field.N_ACTION_RQ: by_class({classes.COMMITMENT: partial(commitment.request, commitments)}),
    }


def unlisted(settings: Settings) -> frozenset[str] | None:
    """Return the services of callers that are no peers, None for all."""
    return None if settings.demo else frozenset(settings.dicom.default_services)


def _sweep_often(
    conninfo: str, blobs: Blobs, quota: Quota, settings: DicomSettings, stop: threading.Event
) -> None:
    again = False
    while True:
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                backfill.start(connection)
                recount(connection, quota, again=again)
                verify.start(connection, settings.verify_days)
                recompress.start(connection, settings.recompress)
                removed = sweep(connection, blobs)
            if removed:
                log.info("%d files without an index row were removed", removed)
        except (OSError, psycopg.Error) as error:
            log.warning("the sweep failed: %s", type(error).__name__)
        again = True
        if stop.wait(_SWEEP_SECONDS):
            return
