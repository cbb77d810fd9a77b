"""batch and transaction: a Bundle of requests in, a Bundle of responses out.

https://hl7.org/fhir/R4/http.html#transaction
"""

import logging
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from fhir_server.audit.record import refuses
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Issue, SangamError, TooLarge
from fhir_server.interactions import provenance as provenances
from fhir_server.interactions.asynchronous import Ended, Ledger
from fhir_server.interactions.binary import whole
from fhir_server.interactions.entry import Entry, Outcome, placed, target
from fhir_server.interactions.retrieve import Called, Metadata, query_pairs
from fhir_server.interactions.step import READS
from fhir_server.interactions.transaction import Outside, transaction
from fhir_server.r4 import json
from fhir_server.r4.outcome import operation_outcome
from fhir_server.server import Server
from fhir_server.store.asynchronous import Answered
from fhir_server.store.attempts import atomically
from fhir_server.store.text import instant


class _Request(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    method: str
    url: str
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_match: str | None = None
    if_none_exist: str | None = None
    id: str | None = None
    extension: msgspec.Raw = msgspec.Raw(b"")


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    full_url: str | None = None
    resource: msgspec.Raw = msgspec.Raw(b"")
    request: _Request | None = None
    id: str | None = None
    link: msgspec.Raw = msgspec.Raw(b"")
    search: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")
    extension: msgspec.Raw = msgspec.Raw(b"")


class _Bundle(msgspec.Struct, rename="camel"):
    resource_type: str
    type: str
    entry: list[msgspec.Raw] = []


_decoder = msgspec.json.Decoder(_Bundle)
_entry_decoder = msgspec.json.Decoder(_Entry)
log = logging.getLogger(__name__)
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`\Z")


@dataclass(frozen=True, slots=True)
class Manner:
    """How a Bundle is carried out, beside what it says.

    `provenance` is stored with the versions that it writes, in a batch with each
    entry's; `answer` is what the client prefers to see of writes (None: no resource);
    `metadata` gives the CapabilityStatement; a `ledger` notes what is done, so that it
    is not done again (asynchronous.py). `called` answers a batch's calls of operations.
    """

    provenance: provenances.Given | None = None
    answer: Literal["minimal", "representation", "OperationOutcome"] | None = None
    metadata: Metadata | None = None
    ledger: Ledger | None = None
    called: Called | None = None


AS_USUAL = Manner()


async def bundle(server: Server, caller: Caller, raw: bytes, manner: Manner = AS_USUAL) -> bytes:
    """Carry out a batch or transaction and return the text of its response Bundle."""
    kind, given = requests(server, raw)
    if manner.ledger is not None:
        await manner.ledger.expect(len(given))
    if kind == "transaction":
        answers = await _together(server, caller, given, manner)
    else:
        urns = _urns(given)
        answers = [
            await _alone(server, caller, (index, one), urns, manner)
            for index, one in enumerate(given)
        ]
    return _response(kind, answers)


def _response(kind: str, answers: Sequence[bytes]) -> bytes:
    return b'{"resourceType":"Bundle","type":"%b-response"%b}' % (
        kind.encode(),
        b',"entry":[' + b",".join(answers) + b"]" if answers else b"",
    )


async def _together(
    server: Server, caller: Caller, given: Sequence[msgspec.Raw], manner: Manner
) -> list[bytes]:
    entries = [_entry(server, index, one) for index, one in enumerate(given)]

    async def work(connection: Connection) -> list[Outcome]:
        outcomes = await transaction(server, connection, caller, entries, metadata=manner.metadata)
        await provenances.record(server, connection, caller, manner.provenance, outcomes)
        if manner.ledger is not None:
            answers = await _answers(server, entries, outcomes, manner)
            answered = Answered(HTTPStatus.OK, {}, _response("transaction", answers))
            await manner.ledger.finish(connection, answered)
        return outcomes

    outcomes = await atomically(server.database, work)
    return await _answers(server, entries, outcomes, manner)


async def _answers(
    server: Server, entries: Sequence[Entry], outcomes: Sequence[Outcome], manner: Manner
) -> list[bytes]:
    return [
        await _answer(server, entry, outcome, manner)
        for entry, outcome in zip(entries, outcomes, strict=True)
    ]


async def _alone(
    server: Server,
    caller: Caller,
    numbered: tuple[int, msgspec.Raw],
    urns: Collection[str],
    manner: Manner,
) -> bytes:
    """Carry out one entry of a batch in a transaction of its own; its failure is its own."""
    index, text = numbered
    ledger = manner.ledger
    try:
        entry = _entry(server, index, text)
        if manner.called and (answer := await _call(server, entry, manner.called)) is not None:
            if ledger:
                await ledger.note_alone(index, answer)
            return answer
        beside = urns if b"urn:" in bytes(text) else ()

        async def work(connection: Connection) -> bytes:
            if ledger and (known := await ledger.noted(connection, index)) is not None:
                return known
            outcomes = await transaction(
                server,
                connection,
                caller,
                [entry],
                linked=False,
                outside=Outside(beside),
                metadata=manner.metadata,
            )
            await provenances.record(server, connection, caller, manner.provenance, outcomes)
            answer = await _answer(server, entry, outcomes[0], manner)
            if ledger:
                await ledger.note(connection, index, answer)
            return answer

        return await atomically(server.database, work)
    except Exception as error:
        if isinstance(error, Ended) or (ledger and ledger.tries_again(error)):
            raise
        refused = _refused(_told(error), index)
        _note_refusal(caller, text, error)
        if ledger:
            await ledger.note_alone(index, refused)
        return refused


async def _call(server: Server, entry: Entry, called: Called) -> bytes | None:
    """Return the answer of an operation that the entry calls, None where it calls none."""
    where = target(server.definitions.type_ids, server.bases, entry)
    if not where.rest or not where.rest[-1].startswith("$"):
        return None
    segments = (*filter(None, (where.type, where.id)), *where.rest)
    outcome = await called(entry, segments, query_pairs(where))
    status, body = _status(outcome.status), outcome.body or b"{}"
    if outcome.status >= HTTPStatus.BAD_REQUEST:
        return b'{"response":{"status":"%b","outcome":%b}}' % (status, body)
    return b'{"resource":%b,"response":{"status":"%b"}}' % (body, status)


def _told(error: Exception) -> SangamError:
    """Return why an entry was not carried out; other entries are done already, and are told."""
    if isinstance(error, SangamError):
        return error
    # Without the error's text, which might quote a patient.
    log.error("an entry of a batch failed: %s", type(error).__name__)
    return SangamError("The server failed to carry out this entry")


def _note_refusal(caller: Caller, text: msgspec.Raw, error: Exception) -> None:
    """Note, to be audited, what an entry asked for and was not given."""
    hidden = isinstance(error, SangamError) and refuses(error.status, caller)
    if not hidden or caller.trail is None:
        return
    with suppress(msgspec.ValidationError):
        asked = _entry_decoder.decode(text).request
        caller.trail.refused.append(asked.url if asked else "")


def _urns(given: Sequence[msgspec.Raw]) -> frozenset[str]:
    """Return the fullUrls that are urns; an entry that cannot be read has none."""
    found = set()
    for text in given:
        with suppress(msgspec.ValidationError):
            found.add(_entry_decoder.decode(text).full_url or "")
    return frozenset(url for url in found if url.startswith("urn:"))


def requests(server: Server, raw: bytes) -> tuple[str, list[msgspec.Raw]]:
    """Return the Bundle's type and its entries; BadRequest names the place of a fault."""
    json.check_caps(raw, server.settings.limits)
    try:
        given = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _structure(error, "Bundle") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        json.decode(raw)  # says what is wrong, and where
        raise BadRequest("The body is not JSON", code="structure") from None
    if given.resource_type != "Bundle":
        raise BadRequest("The body is not a Bundle", code="structure", expression="resourceType")
    if given.type not in {"batch", "transaction"}:
        raise BadRequest(
            "Bundle.type must be batch or transaction", code="value", expression="Bundle.type"
        )
    if len(given.entry) > server.settings.limits.bundle_entries:
        raise TooLarge("The Bundle has too many entries", expression="Bundle.entry")
    return given.type, given.entry


def _structure(error: msgspec.ValidationError, place: str) -> BadRequest:
    """Turn msgspec's message, which names types and places only, into ours."""
    match = _AT.search(str(error))
    path = f".{match['path']}" if match and match["path"] else ""
    what = str(error)[: match.start()] if match else str(error)
    return BadRequest(what, code="structure", expression=f"{place}{path}")


def _entry(server: Server, index: int, text: msgspec.Raw) -> Entry:
    place = f"Bundle.entry[{index}]"
    try:
        given = _entry_decoder.decode(text)
    except msgspec.ValidationError as error:
        raise _structure(error, place) from None
    if given.request is None:
        raise BadRequest("The entry has no request", code="required", expression=f"{place}.request")
    raw = bytes(given.resource) or None
    return Entry(
        method=given.request.method,
        url=given.request.url,
        resource=_resource(server, index, raw) if raw is not None else None,
        raw=raw,
        full_url=given.full_url,
        if_none_exist=given.request.if_none_exist,
        if_match=given.request.if_match,
        if_none_match=given.request.if_none_match,
        if_modified_since=given.request.if_modified_since,
    )


def _resource(server: Server, index: int, raw: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.decode(raw)
    named = data.get("resourceType") if isinstance(data, dict) else None
    if not isinstance(named, str) or named not in server.definitions.type_ids:
        raise BadRequest(
            "resource is not an R4 resource",
            code="structure",
            expression=f"Bundle.entry[{index}].resource",
        )
    return data


def _refused(error: SangamError, index: int) -> bytes:
    at_home = any((issue.expression or "").startswith("Bundle.entry") for issue in error.issues)
    refusal = error if at_home else placed(error, 0)
    outcome = operation_outcome(refusal.issues, entry=index)
    return b'{"response":{"status":"%b","outcome":%b}}' % (_status(refusal.status), outcome)


def _status(code: int) -> bytes:
    return f"{code} {HTTPStatus(code).phrase}".encode()


async def _answer(server: Server, entry: Entry, outcome: Outcome, manner: Manner) -> bytes:
    """Return one entry of the response: a write's resource only where that is preferred."""
    reads = entry.method in READS
    response = [b'"status":"%b"' % _status(outcome.status)]
    literal = f"{server.base}/{outcome.type}/{outcome.id}" if outcome.id else ""
    if not reads and outcome.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        response.append(f'"location":"{literal}/_history/{outcome.version}"'.encode())
    if outcome.version:
        response.append(b'"etag":"W/\\"%d\\""' % outcome.version)
    if outcome.last_updated:
        response.append(f'"lastModified":"{instant(outcome.last_updated)}"'.encode())
    if not reads and manner.answer == "OperationOutcome":
        response.append(b'"outcome":%b' % _success(outcome))
    shown = entry.method == "GET" or (not reads and manner.answer == "representation")
    return b"{%b%b%b}" % (
        f'"fullUrl":"{literal}",'.encode() if literal else b"",
        b'"resource":%b,' % await whole(server, outcome.body) if shown and outcome.body else b"",
        b'"response":{%b}' % b",".join(response),
    )


def _success(outcome: Outcome) -> bytes:
    texts = {HTTPStatus.CREATED: "Created", HTTPStatus.NO_CONTENT: "Deleted"}
    text = texts.get(HTTPStatus(outcome.status), "Stored")
    return operation_outcome([Issue("information", "informational", text)])
