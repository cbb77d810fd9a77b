"""What the studies ask of the FHIR server, inside the open transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

Json = dict[str, Any]

CALLER: Final = trusted("dicom", "dicom")

_MOST_MERGES: Final = 10


async def search(server: Server, connection: Connection, url: str) -> list[Json]:
    """Return the resources that a search meets, those of its first page."""
    [outcome] = await transaction(server, connection, CALLER, [Entry("GET", url)])
    bundle = msgspec.json.decode(outcome.body or b"{}")
    return [entry["resource"] for entry in bundle.get("entry", ())]


async def read(server: Server, connection: Connection, literal: str) -> Json | None:
    """Return the resource that a literal reference names, None when there is none."""
    try:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", literal)])
    except (NotFound, Gone):
        return None
    return dict(msgspec.json.decode(outcome.body)) if outcome.body else None


def tokens(identifiers: Iterable[Json]) -> str:
    """Return identifiers as the value of a token search, any of which may match."""
    return ",".join(token(one.get("system", ""), one["value"]) for one in identifiers)


def token(system: str, value: str) -> str:
    """Return an identifier as a token of a query, its separators escaped; "" is any system."""
    return "%7C".join(escaped(part) for part in (system, value) if part is value or part)


def escaped(value: str) -> str:
    """Return a text as one value of a query (https://hl7.org/fhir/R4/search.html#escaping)."""
    return quote("".join(f"\\{c}" if c in "\\|,$" else c for c in value), safe="")


async def location(server: Server, connection: Connection, name: str) -> str | None:
    """Return the literal reference of the Location of a name, else of such an identifier.

    None where there is none, or several.
    """
    for criteria in ("name:exact", "identifier"):
        url = f"Location?{criteria}={escaped(name)}&_count=2"
        if one := only(await search(server, connection, url)):
            return one
    return None


def only(several: Sequence[Json]) -> str | None:
    """Return the literal reference where there is exactly one."""
    return literal(several[0]) if len(several) == 1 else None


def literal(resource: Json) -> str:
    """Return the literal reference of a stored resource."""
    return f"{resource['resourceType']}/{resource['id']}"


async def survivor(server: Server, connection: Connection, patient: Json) -> Json:
    """Return the Patient that this one was merged into, itself if it was not."""
    for _ in range(_MOST_MERGES):
        following = replaced_by(patient)
        found = await read(server, connection, following) if following else None
        if found is None:
            return patient
        patient = found
    return patient


def replaced_by(patient: Json) -> str:
    """Return the literal reference of the Patient that replaces this one, "" for none."""
    links = (one for one in patient.get("link", ()) if one.get("type") == "replaced-by")
    references = (str(one.get("other", {}).get("reference", "")) for one in links)
    return next((one for one in references if one.startswith("Patient/")), "")
