"""What of a message may go to a destination of another organisation.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Iterator, Mapping

from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, literal
from adapters.hl7.outbound.segments.belongings import Belongings
from fhir_server.database import Connection
from fhir_server.interactions import disclosing
from fhir_server.server import Server


async def left(
    server: Server,
    connection: Connection,
    peer: Peer,
    told: Json,
    record: Record,
    own: Belongings,
    gone: Mapping[str, Json],
) -> tuple[Record, Belongings] | None:
    """Return what may be told beside a resource, None where it may not be told itself.

    Neither is what is of a patient who may not be named. What is `gone` goes by its patient.
    """
    organization = peer.settings.discloses_to
    if not organization:
        return record, own
    places = {at: _place(one, gone) for at, one in record.others.items()}
    others = {literal(one): _place(one, gone) for one in own.resources}
    needed = {_place(told, gone), *_patients(told)}
    asked = {*places.values(), *others.values(), *needed}
    may = await disclosing.permitted(server, connection, organization, asked)
    if not needed <= may:
        return None
    kept = {at: one for at, one in record.others.items() if places[at] in may}
    shown = tuple(one for one in own.resources if others[literal(one)] in may)
    return Record(kept), Belongings(shown)


def _place(resource: Json, gone: Mapping[str, Json]) -> str:
    at = literal(resource)
    return next(_patients(resource), at) if at in gone else at


def _patients(resource: Json) -> Iterator[str]:
    """Yield whom a resource is of."""
    for name in ("subject", "patient", "beneficiary"):
        reference = str(resource.get(name, {}).get("reference", ""))
        if reference.startswith("Patient/"):
            yield reference.partition("/_history/")[0]
