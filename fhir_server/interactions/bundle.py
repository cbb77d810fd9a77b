"""batch and transaction: a Bundle of requests in, a Bundle of responses out.

https://hl7.org/fhir/R4/http.html#transaction
"""

import logging
import re
from http import HTTPStatus
from typing import Any

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, SangamError, TooLarge
from fhir_server.interactions.entry import Entry, Outcome, placed
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.r4.outcome import operation_outcome
from fhir_server.server import Server
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


async def bundle(server: Server, caller: Caller, raw: bytes) -> bytes:
    """Carry out a batch or transaction and return the text of its response Bundle."""
    kind, given = requests(server, raw)
    if kind == "transaction":
        entries = [_entry(server, index, one) for index, one in enumerate(given)]
        outcomes = await atomically(
            server.database, lambda connection: transaction(server, connection, caller, entries)
        )
        answers = [
            _answer(server, entry, outcome)
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]
    else:
        answers = [await _alone(server, caller, index, one) for index, one in enumerate(given)]
    return b'{"resourceType":"Bundle","type":"%b-response"%b}' % (
        kind.encode(),
        b',"entry":[' + b",".join(answers) + b"]" if answers else b"",
    )


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


async def _alone(server: Server, caller: Caller, index: int, text: msgspec.Raw) -> bytes:
    """Carry out one entry of a batch in a transaction of its own; its failure is its own."""
    try:
        entry = _entry(server, index, text)
        outcomes = await atomically(
            server.database,
            lambda connection: transaction(server, connection, caller, [entry], linked=False),
        )
    except SangamError as error:
        return _refused(error, index)
    except Exception as error:  # noqa: BLE001  (other entries are done already, and are told)
        # Without the error's text, which might quote a patient.
        log.error("an entry of a batch failed: %s", type(error).__name__)  # noqa: TRY400
        return _refused(SangamError("The server failed to carry out this entry"), index)
    return _answer(server, entry, outcomes[0])


def _refused(error: SangamError, index: int) -> bytes:
    at_home = any((issue.expression or "").startswith("Bundle.entry") for issue in error.issues)
    refusal = error if at_home else placed(error, 0)
    outcome = operation_outcome(refusal.issues, entry=index)
    return b'{"response":{"status":"%b","outcome":%b}}' % (_status(refusal.status), outcome)


def _status(code: int) -> bytes:
    return f"{code} {HTTPStatus(code).phrase}".encode()


def _answer(server: Server, entry: Entry, outcome: Outcome) -> bytes:
    """Return one entry of the response; the resource itself is sent with a read only."""
    response = [b'"status":"%b"' % _status(outcome.status)]
    if outcome.status == HTTPStatus.CREATED or (outcome.status == HTTPStatus.OK and outcome.id):
        url = f"{server.base}/{outcome.type}/{outcome.id}"
        response.append(f'"location":"{url}/_history/{outcome.version}"'.encode())
    if outcome.version:
        response.append(b'"etag":"W/\\"%d\\""' % outcome.version)
    if outcome.last_updated:
        response.append(f'"lastModified":"{instant(outcome.last_updated)}"'.encode())
    full_url = (
        f'"fullUrl":"{server.base}/{outcome.type}/{outcome.id}",'.encode() if outcome.id else b""
    )
    body = b""
    if entry.method == "GET" and outcome.body:
        body = b'"resource":%b,' % outcome.body
    return b'{%b%b"response":{%b}}' % (full_url, body, b",".join(response))
