"""From a request to an interaction, and from its result to an answer.

https://hl7.org/fhir/R4/http.html
"""

from datetime import datetime
from email.utils import parsedate_to_datetime

from fhir_server.api import formats, parts, raw
from fhir_server.api.answer import Answer, version_headers
from fhir_server.api.place import Place
from fhir_server.api.prefer import preferences
from fhir_server.api.request import Request
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Issue
from fhir_server.interactions import bundle as bundles
from fhir_server.interactions import create as creating
from fhir_server.interactions import delete as deleting
from fhir_server.interactions import history as histories
from fhir_server.interactions import judging
from fhir_server.interactions import patch as patching
from fhir_server.interactions import provenance as provenances
from fhir_server.interactions import read as reading
from fhir_server.interactions import search as searching
from fhir_server.interactions import update as updating
from fhir_server.interactions import vread as version_reading
from fhir_server.interactions.binary import BINARY, whole
from fhir_server.interactions.draft import Sent
from fhir_server.interactions.entry import Outcome
from fhir_server.interactions.patching import JSON_PATCH
from fhir_server.interactions.precondition import Conditions, has_current
from fhir_server.interactions.retrieve import Called, Metadata
from fhir_server.r4.json import check_caps, decode
from fhir_server.r4.outcome import operation_outcome
from fhir_server.search.compartment import Compartment
from fhir_server.server import Server
from fhir_server.store.read import Stored

CREATED = 201
# Definitions hold no patient data: they may be kept by clients and asked after by entity tag.
PUBLIC = frozenset(
    (
        "CapabilityStatement",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "GraphDefinition",
        "ImplementationGuide",
        "MessageDefinition",
        "NamingSystem",
        "OperationDefinition",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "TerminologyCapabilities",
        "ValueSet",
    )
)


async def read(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a read, 304 where the client has this version already."""
    part = parts.part(request)
    found = await reading.read(server, caller, place.type, place.id)
    return await _version_answer(server, request, place, found, part)


async def vread(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a read of one version."""
    part = parts.part(request)
    found = await version_reading.vread(server, caller, place.type, place.id, place.version)
    return await _version_answer(server, request, place, found, part)


async def create(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a create, also a conditional one (If-None-Exist)."""
    _only_general(request)
    provenance = await _provenance(server, request)
    sent = await _resource(server, request, place)
    outcome = await creating.create(
        server,
        caller,
        place.type,
        sent,
        if_none_exist=request.header(b"if-none-exist"),
        provenance=provenance,
    )
    return await _outcome_answer(server, request, outcome)


async def update(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer an update; without an id in the URL, a conditional one."""
    criteria = _criteria(request, place)
    provenance = await _provenance(server, request)
    sent = await _resource(server, request, place)
    outcome = await updating.update(
        server,
        caller,
        place.type,
        place.id or None,
        sent,
        criteria=criteria,
        conditions=Conditions(request.header(b"if-match"), request.header(b"if-none-match")),
        provenance=provenance,
    )
    return await _outcome_answer(server, request, outcome)


async def patch(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a JSON Patch or FHIRPath Patch; without an id in the URL, a conditional one."""
    criteria = _criteria(request, place)
    provenance = await _provenance(server, request)
    is_json_patch = formats.media_type(request) == JSON_PATCH
    cap = server.settings.limits.body_bytes
    body = await request.body(cap) if is_json_patch else await _body(server, request, cap)
    check_caps(body, server.settings.limits)
    asked = patching.json_patch_body(body) if is_json_patch else patching.fhirpath_patch_body(body)
    outcome = await patching.patch(
        server,
        caller,
        place.type,
        place.id or None,
        asked,
        criteria=criteria,
        if_match=request.header(b"if-match"),
        provenance=provenance,
    )
    return await _outcome_answer(server, request, outcome)


async def delete(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a deletion; without an id in the URL, a conditional one."""
    outcome = await deleting.delete(
        server,
        caller,
        place.type,
        place.id or None,
        criteria=_criteria(request, place),
        if_match=request.header(b"if-match"),
        provenance=await _provenance(server, request),
    )
    headers = {"ETag": f'W/"{outcome.version}"'} if outcome.version else {}
    prefer = preferences(request).answer
    if prefer in {"OperationOutcome", "minimal"}:
        headers["Preference-Applied"] = f"return={prefer}"
    if prefer == "OperationOutcome":
        return Answer(200, _success(f"Deleted: {len(outcome.written)}"), headers)
    return Answer(204, b"", headers)


async def bundle(
    server: Server, caller: Caller, request: Request, metadata: Metadata, called: Called
) -> Answer:
    """Answer a batch or transaction.

    `metadata` is for entries that read the capabilities, `called` for those that call operations.
    """
    _only_general(request)
    prefer = preferences(request).answer
    provenance = await _provenance(server, request)
    manner = bundles.Manner(provenance, prefer, metadata, request.ledger, called)
    body = await _body(server, request, server.settings.limits.bundle_bytes)
    headers = {"Preference-Applied": f"return={prefer}"} if prefer else {}
    return Answer(200, await bundles.bundle(server, caller, body, manner), headers)


async def history(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a history of an instance, a type or the system."""
    pairs = [pair for pair in request.pairs if pair[0] not in parts.GENERAL]
    body = await histories.history(server, caller, place.type or None, place.id or None, pairs)
    return Answer(200, body)


async def search(server: Server, caller: Caller, request: Request, place: Place) -> Answer:
    """Answer a search by GET or POST, perhaps inside a compartment.

    Form and URL parameters count alike.
    """
    inside = Compartment(place.type, place.id) if place.member else None
    type_name = place.member.strip("*") if inside else place.type
    lenient = preferences(request).lenient
    body = await searching.search(
        server,
        caller,
        type_name or None,
        [pair for pair in request.pairs if pair[0] not in parts.GENERAL],
        lenient=lenient,
        compartment=inside,
    )
    return Answer(200, body, {"Preference-Applied": "handling=lenient"} if lenient else {})


def _only_general(request: Request) -> None:
    for name, _ in request.pairs:
        if name not in parts.GENERAL:
            raise BadRequest("This interaction has no such parameter", expression=name)


def _criteria(request: Request, place: Place) -> str | None:
    """Return the query of a conditional write; an id in the URL excludes one."""
    if place.id:
        _only_general(request)
        return None
    given = request.query.split("&")
    kept = [part for part in given if part.partition("=")[0] not in parts.GENERAL]
    criteria = "&".join(part for part in kept if part)
    if not criteria:
        raise BadRequest("The URL needs an id, or criteria", code="required")
    return criteria


async def _provenance(server: Server, request: Request) -> provenances.Given | None:
    return await provenances.given(server, request.header(b"x-provenance"))


async def _resource(server: Server, request: Request, place: Place) -> Sent:
    if place.type == BINARY:
        return await raw.received(server, request, place.id)
    return Sent(await _body(server, request, server.settings.limits.body_bytes))


async def _body(server: Server, request: Request, cap: int) -> bytes:
    """Return a FHIR body as JSON text, whichever format it came in."""
    format_ = formats.sent(request)
    body = await request.body(cap)
    return formats.as_json(server.definitions, body, server.settings.limits, format_)


async def _version_answer(
    server: Server, request: Request, place: Place, found: Stored, part: parts.Part
) -> Answer:
    headers = version_headers(found.version, found.last_updated)
    if has_current(
        found.version,
        found.last_updated,
        if_none_match=request.header(b"if-none-match"),
        modified_since=_http_date(request.header(b"if-modified-since")),
    ):
        return Answer(304, b"", headers)
    body = found.body
    if place.type == BINARY:
        headers["Vary"] = "Accept"
        if formats.accepted_content(request) is None:
            return await raw.answer(server, request, body, headers)
        if part.elements:
            body = await whole(server, body)
    public = place.type in PUBLIC
    return Answer(200, parts.cut(server.definitions, body, part), headers, cacheable=public)


def _http_date(text: str | None) -> datetime | None:
    """Return the date; None where it is none, as RFC 9110 section 13.1.3 wants it."""
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


async def _outcome_answer(server: Server, request: Request, outcome: Outcome) -> Answer:
    headers = (
        {}
        if outcome.last_updated is None
        else version_headers(outcome.version, outcome.last_updated)
    )
    literal = f"{server.base}/{outcome.type}/{outcome.id}"
    headers["Location"] = f"{literal}/_history/{outcome.version}"
    prefer = preferences(request).answer
    if prefer:
        headers["Preference-Applied"] = f"return={prefer}"
    if prefer == "minimal":
        return Answer(outcome.status, b"", headers)
    if prefer == "OperationOutcome":
        text = "Created" if outcome.status == CREATED else "Stored"
        told = [Issue("information", "informational", text), *await _advice(server, outcome)]
        return Answer(outcome.status, operation_outcome(told), headers)
    return Answer(outcome.status, outcome.body or b"", headers)


async def _advice(server: Server, outcome: Outcome) -> list[Issue]:
    """Return what might be better in what was stored."""
    if not outcome.body:
        return []
    verdict = await judging.judged(server, outcome.type, decode(outcome.body), advice=True)
    return verdict.issues


def _success(text: str) -> bytes:
    return operation_outcome([Issue("information", "informational", text)])
