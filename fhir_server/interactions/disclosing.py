"""What may be told to another organisation: what a consent of the patient permits to disclose.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Iterable

from fhir_server.access import consent
from fhir_server.access.queries import Walls
from fhir_server.database import Connection
from fhir_server.rights import Rights
from fhir_server.server import Server
from fhir_server.store import walls as store


async def permitted(
    server: Server,
    connection: Connection,
    organization: str,
    literals: Iterable[str],
    purpose: str = "TREAT",
) -> set[str]:
    """Return those of the resources (`Type/id`) that may be told to an organisation (a reference).

    What is of no patient may be; what is not stored, or not any more, may not.
    """
    ids, names = server.definitions.type_ids, server.definitions.type_names
    split = (one.partition("/") for one in literals)
    places = {(ids[kind], id_) for kind, _, id_ in split if kind in ids}
    rights = Rights((consent.wall((organization,), purpose, disclosing=True),))
    types = sorted({names[type_id] for type_id, _ in places})
    wall = Walls(server, rights, types, "r").any
    if wall is None:
        return set()
    found = await store.there(connection, places, wall)
    return {f"{names[type_id]}/{id_}" for type_id, id_ in found}
