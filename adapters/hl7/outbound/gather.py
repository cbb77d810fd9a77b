"""What a message speaks of, read from the store."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.hl7.outbound.record import Json, Record, literal
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions import binary
from fhir_server.interactions.read import read_on
from fhir_server.interactions.search import search_on
from fhir_server.interactions.vread import vread_on
from fhir_server.r4 import json
from fhir_server.server import Server

CALLER: Final = trusted("hl7", "outbound")
_ONCE: Final = 100
_DEEPEST: Final = 6
_NUMBER: Final = re.compile(r"\d+")
_ROW_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_FOLLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "DiagnosticReport": (
        *("subject", "encounter", "basedOn", "result", "specimen"),
        *("performer", "resultsInterpreter"),
    ),
    "Observation": (
        *("subject", "encounter", "basedOn", "specimen", "performer"),
        *("device", "hasMember"),
    ),
    "ServiceRequest": (
        *("subject", "encounter", "requester", "specimen", "supportingInfo", "performer"),
        "reasonReference",
    ),
    "AllergyIntolerance": ("patient",),
    "Condition": ("asserter",),
    "Coverage": ("payor", "policyHolder", "subscriber"),
    "Procedure": ("performer.actor", "location"),
    "Encounter": ("subject", "participant.individual", "location.location"),
    "Location": ("partOf",),
    "PractitionerRole": ("practitioner", "organization"),
    "Patient": ("link.other",),
    "Specimen": ("parent",),
}


async def version(
    server: Server, connection: Connection, kind: str, id_: str, number: int
) -> Json | None:
    """Return a version of a resource, None where it is a deletion or there is none."""
    if number < 1:
        return None
    try:
        found = await vread_on(server, connection, CALLER, kind, id_, str(number))
    except (NotFound, Gone):
        return None
    resource: Json = json.decode_keeping(found.body)
    return resource


async def gather(
    server: Server, connection: Connection, first: Json, more: Iterable[Json] = ()
) -> Record:
    """Return a resource, and `more`, with what they refer to, and what that refers to.

    Who was deleted is told as he was at last: what is said of him is understood by that.
    """
    told = [first, *more]
    others: dict[str, Json] = {literal(one): one for one in reversed(told)}
    wanted = {reference for one in told for reference in _references(one)}
    for _ in range(_DEEPEST):
        missing = sorted(one for one in wanted if one not in others)
        if not missing:
            break
        found = await _read(server, connection, missing)
        others.update((literal(one), one) for one in found)
        others.update(await _binaries(server, connection, [*found, first]))
        wanted = {reference for one in found for reference in _references(one)}
    for reference in _persons(first):
        if reference not in others and (was := await last(server, connection, reference)):
            others[reference] = was
    return Record(others)


def _persons(first: Json) -> Iterator[str]:
    for name in ("subject", "patient"):
        reference = str(first.get(name, {}).get("reference", ""))
        if reference.startswith("Patient/") and reference.count("/") == 1:
            yield reference


async def last(server: Server, connection: Connection, reference: str) -> Json | None:
    """Return the last version of a resource that was deleted, None of others."""
    kind, _, id_ = reference.partition("/")
    try:
        await read_on(server, connection, CALLER, kind, id_)
    except NotFound:
        return None
    except Gone as gone:
        number = _NUMBER.search(gone.headers.get("ETag", ""))
        return await version(server, connection, kind, id_, int(number[0]) - 1 if number else 0)
    return None


async def belongings(server: Server, connection: Connection, first: Json) -> list[Json]:
    """Return what belongs to a Patient, or to the patient of a visit or order, and to the visit."""
    kind = first["resourceType"]
    patient = literal(first) if kind == "Patient" else first.get("subject", {}).get("reference", "")
    if not str(patient).startswith("Patient/"):
        return []
    asked = [
        ("AllergyIntolerance", "patient", patient),
        ("Coverage", "beneficiary", patient),
    ]
    if kind != "ServiceRequest":
        asked.append(("RelatedPerson", "patient", patient))
    if kind == "Encounter":
        asked += [(one, "encounter", literal(first)) for one in ("Condition", "Procedure")]
    found: list[Json] = []
    for one, name, value in asked:
        found += await searched(server, connection, one, [(name, value), ("_count", str(_ONCE))])
    if kind == "Encounter":
        listed = {each["condition"].get("reference", "") for each in first.get("diagnosis", ())}
        found += await _read(server, connection, sorted(listed - {literal(o) for o in found}))
    return found


async def _binaries(
    server: Server, connection: Connection, resources: Sequence[Json]
) -> dict[str, Json]:
    """Return the documents that resources have apart, with all their data."""
    found = {}
    for one in {url for each in resources for url in _documents(each)}:
        try:
            id_ = one.partition("/")[2]
            stored = await read_on(server, connection, CALLER, "Binary", id_)
        except (NotFound, Gone):
            continue
        found[one] = json.decode(await binary.whole(server, stored.body))
    return found


def _documents(resource: Json) -> Iterator[str]:
    told = [one.get("valueAttachment") for one in resource.get("extension", ())]
    for one in [*resource.get("presentedForm", ()), *told]:
        url = str((one or {}).get("url", ""))
        if url.startswith("Binary/"):
            yield url


def _references(resource: Json) -> Iterator[str]:
    """Yield the literal references that are followed, also those of what is contained."""
    for holder in (resource, *resource.get("contained", ())):
        for path in _FOLLOWED.get(holder["resourceType"], ()):
            for one in _at(holder, path.split(".")):
                told = str(one.get("reference", "")).partition("/_history/")[0]
                if told.count("/") == 1 and not told.startswith(("#", "urn:")):
                    yield told


def _at(holder: Any, path: Sequence[str]) -> Iterable[Json]:  # noqa: ANN401  (JSON)
    found = holder.get(path[0])
    items = found if isinstance(found, list) else [found] if found else []
    return items if len(path) == 1 else [each for one in items for each in _at(one, path[1:])]


async def _read(server: Server, connection: Connection, literals: Sequence[str]) -> list[Json]:
    by_type: dict[str, list[str]] = {}
    for one in literals:
        kind, _, id_ = one.partition("/")
        if kind in server.definitions.type_ids:
            by_type.setdefault(kind, []).append(id_)
    found: list[Json] = []
    for kind, ids in by_type.items():
        for start in range(0, len(ids), _ONCE):
            some = ",".join(ids[start : start + _ONCE])
            found += await searched(
                server, connection, kind, [("_id", some), ("_count", str(_ONCE))]
            )
    return found


async def searched(
    server: Server, connection: Connection, kind: str, pairs: Sequence[tuple[str, str]]
) -> list[Json]:
    """Return the matches of a search, those of its first page."""
    page = await search_on(server, connection, CALLER, kind, pairs)
    entries = json.decode_keeping(page).get("entry", ())
    return [one["resource"] for one in entries if one["resource"]["resourceType"] == kind]


async def source(
    server: Server, connection: Connection, base: str, versioned: str
) -> tuple[str, str] | None:
    """Return sender and channel of the message that wrote a version, None where none did."""
    reference = versioned.partition("/_history/")[0]
    pairs = [("target", reference), ("_sort", "-_lastUpdated"), ("_count", "20")]
    for one in await searched(server, connection, "Provenance", pairs):
        if any(target.get("reference") == versioned for target in one.get("target", ())):
            for entity in one.get("entity", ()):
                number = entity.get("what", {}).get("identifier", {})
                value = str(number.get("value", ""))
                # Whoever may write a Provenance may say so of any number.
                if number.get("system") == f"{base}/hl7/message" and _ROW_NUMBER.fullmatch(value):
                    return await _row(connection, int(value))
    return None


_ROW: Final = "SELECT sender, channel FROM hl7_message WHERE id = %s"


async def _row(connection: Connection, id_: int) -> tuple[str, str] | None:
    row = await (await connection.execute(_ROW, (id_,))).fetchone()
    return (str(row[0]), str(row[1])) if row else None
