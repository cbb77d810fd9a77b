"""The words of the OpenAPI document: what each route is called, takes and answers.

https://hl7.org/fhir/R4/http.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.config import SearchSettings

PATHS: Mapping[str, str] = {
    "system": "",
    "metadata": "/metadata",
    "system-search": "/_search",
    "system-history": "/_history",
    "type": "/{type}",
    "type-search": "/{type}/_search",
    "type-history": "/{type}/_history",
    "instance": "/{type}/{id}",
    "instance-history": "/{type}/{id}/_history",
    "version": "/{type}/{id}/_history/{vid}",
    "compartment": "/{type}/{id}/{member}",
    "compartment-search": "/{type}/{id}/{member}/_search",
    "asynchronous": "/_async/{request}",
}
"""Where each shape of URL lies below the FHIR base."""


@dataclass(frozen=True, slots=True)
class Described:
    """A route for readers.

    `success` names a response by status, `refused` the statuses that say no;
    `parameters` are names of `PARAMETERS`; `searches` adds the search parameters;
    `body` is `resource`, `patch`, `bundle` or `form`.
    """

    summary: str
    success: Mapping[str, str]
    refused: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    description: str = ""
    body: str = ""
    searches: bool = False


REFUSALS: Mapping[str, str] = {
    "400": "The request cannot be understood: an unknown parameter, a value or body that cannot "
    "be read.",
    "403": "Too costly.",
    "404": "Not stored.",
    "405": "Not allowed here; `Allow` names what is.",
    "406": "No format that the client accepts is offered.",
    "409": "In conflict with what is stored, as with references that lead here.",
    "410": "Deleted.",
    "412": "`If-Match` differs, or several resources meet the criteria.",
    "413": "Over a limit of size or number.",
    "414": "The URL is too long; search by POST.",
    "415": "Content-Type or Content-Encoding is not one that is taken here.",
    "416": "The Range lies outside of the content.",
    "422": "Understood, and not valid.",
    "429": "Too many requests under way; `Retry-After` says when to try again.",
    "503": "A needed service is away or too slow; try again.",
}

_ANY = ("400", "406", "414", "429", "503")
_SEARCH = (*_ANY, "403", "404")
_FORM = (*_SEARCH, "413", "415")
_BODY = (*_ANY, "409", "412", "413", "415", "422")
_FOUND = {"200": "Page", "202": "Accepted"}
CALLED = (*_BODY, "404", "405", "410")
"""The statuses by which an operation may say no."""
_PAGE = ("_sort", "_count", "_total", "_summary", "_elements", "_include", "_revinclude")
_SHOWN = ("_format", "_pretty")
_PART = ("_summary", "_elements", *_SHOWN)
_SEARCHED = (*_PAGE, "further", *_SHOWN, "Prefer-handling")
_WRITTEN = (*_SHOWN, "Prefer-return", "X-Provenance")
_CRITERIA = "The resource is the one that meets `criteria`, which are search parameters."

DESCRIBED: Mapping[tuple[str, str], Described] = {
    ("system", "POST"): Described(
        "Batch or transaction",
        {"200": "Done", "202": "Accepted"},
        (*_BODY, "404", "410"),
        (*_SHOWN, "Prefer-batch"),
        "The entries of a transaction succeed together or not at all; those of a batch each "
        "for itself.",
        body="bundle",
    ),
    ("system", "GET"): Described(
        "Search all types",
        _FOUND,
        _SEARCH,
        ("_type", *_SEARCHED),
        "Takes the parameters that all types of `_type` have.",
        searches=True,
    ),
    ("system", "OPTIONS"): Described(
        "Capabilities", {"200": "Statement", "304": "Unchanged"}, _ANY, ("mode", *_PART)
    ),
    ("metadata", "GET"): Described(
        "Capabilities",
        {"200": "Statement", "304": "Unchanged"},
        _ANY,
        ("mode", *_PART),
        "What this server can do, derived from what it is made of.",
    ),
    ("system-search", "POST"): Described(
        "Search all types by form", _FOUND, _FORM, ("Prefer-handling",), body="form"
    ),
    ("system-history", "GET"): Described(
        "History of everything",
        {"200": "History"},
        _ANY,
        ("_since", "_at", "_count", *_SHOWN),
    ),
    ("type", "GET"): Described("Search", _FOUND, _SEARCH, _SEARCHED, searches=True),
    ("type", "POST"): Described(
        "Create",
        {"201": "Stored", "200": "Stored"},
        _BODY,
        ("If-None-Exist", *_WRITTEN),
        "With `If-None-Exist` nothing is created where a resource meets its criteria; the "
        "answer is then 200 and that resource.",
        body="resource",
    ),
    ("type", "PUT"): Described(
        "Update by criteria",
        {"200": "Stored", "201": "Stored"},
        (*_BODY, "405"),
        ("criteria", "If-Match", "If-None-Match", *_WRITTEN),
        f"{_CRITERIA} It is created where none does.",
        body="resource",
    ),
    ("type", "PATCH"): Described(
        "Patch by criteria",
        {"200": "Stored"},
        (*_BODY, "404", "410"),
        ("criteria", "If-Match", *_WRITTEN),
        _CRITERIA,
        body="patch",
    ),
    ("type", "DELETE"): Described(
        "Delete by criteria",
        {"204": "Gone", "200": "Told"},
        (*_ANY, "404", "409", "412"),
        ("criteria", "If-Match", *_WRITTEN),
        _CRITERIA,
    ),
    ("type-search", "POST"): Described(
        "Search by form",
        _FOUND,
        _FORM,
        ("Prefer-handling",),
        "Takes the parameters of a search by GET, in URL or form.",
        body="form",
    ),
    ("type-history", "GET"): Described(
        "History of the type",
        {"200": "History"},
        _ANY,
        ("_since", "_at", "_count", *_SHOWN),
    ),
    ("instance", "GET"): Described(
        "Read",
        {"200": "Read", "304": "Unchanged"},
        (*_ANY, "404", "410"),
        (*_PART, "If-None-Match-read", "If-Modified-Since"),
    ),
    ("instance", "PUT"): Described(
        "Update",
        {"200": "Stored", "201": "Stored"},
        (*_BODY, "405"),
        ("If-Match", "If-None-Match", *_WRITTEN),
        "Stores the next version; an unknown id is created (201). The body needs the id of the "
        "URL. Equal content stores nothing.",
        body="resource",
    ),
    ("instance", "PATCH"): Described(
        "Patch",
        {"200": "Stored"},
        (*_BODY, "404", "410"),
        ("If-Match", *_WRITTEN),
        body="patch",
    ),
    ("instance", "DELETE"): Described(
        "Delete",
        {"204": "Gone", "200": "Told"},
        (*_ANY, "404", "409", "412"),
        ("If-Match", *_WRITTEN),
        "The deletion is a version of its own, and earlier versions stay readable.",
    ),
    ("instance-history", "GET"): Described(
        "History",
        {"200": "History"},
        (*_ANY, "404"),
        ("_since", "_at", "_count", *_SHOWN),
    ),
    ("version", "GET"): Described(
        "Read a version",
        {"200": "Read", "304": "Unchanged"},
        (*_ANY, "404", "410"),
        (*_PART, "If-None-Match-read", "If-Modified-Since"),
    ),
    ("compartment", "GET"): Described(
        "Search what belongs to it",
        _FOUND,
        _SEARCH,
        _SEARCHED,
        "Searches the compartment: `*` is all types.",
        searches=True,
    ),
    ("compartment-search", "POST"): Described(
        "Search what belongs to it by form",
        _FOUND,
        _FORM,
        ("Prefer-handling",),
        body="form",
    ),
    ("asynchronous", "GET"): Described(
        "Answer to a request with `Prefer: respond-async`",
        {"200": "Done", "202": "Waiting"},
        (*_ANY, "404"),
        _SHOWN,
        "The URL is the `Content-Location` that accepted the request.",
    ),
    ("asynchronous", "DELETE"): Described(
        "Forget a request with `Prefer: respond-async`",
        {"202": "Accepted"},
        (*_ANY, "404"),
        _SHOWN,
    ),
}


def _query(name: str, description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    given = schema or {"type": "string"}
    return {"name": name, "in": "query", "description": description, "schema": given}


def _header(name: str, description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    given = schema or {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": given}


def _path(name: str, description: str, pattern: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }


def _free(name: str, description: str, example: dict[str, str]) -> dict[str, Any]:
    """Return a parameter whose members are parameters of any name; mandatory with an example."""
    members = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "name": name,
        "in": "query",
        "description": description,
        "style": "form",
        "explode": True,
        "required": bool(example),
        "schema": {**members, "minProperties": len(example)},
        # Without one a page would send its own.
        "example": example,
    }


_SEARCH_SETTINGS = SearchSettings()
_TAG = 'W/"3"'

PARAMETERS: Mapping[str, dict[str, Any]] = {
    "id": _path("id", "The logical id.", r"^[A-Za-z0-9\-.]{1,64}$"),
    "vid": _path("vid", "The number of the version.", r"^[A-Za-z0-9\-.]{1,64}$"),
    "request": _path("request", "The id of the request.", r"^[A-Za-z0-9\-.]{1,64}$"),
    "mode": _query(
        "mode",
        "Which statement; a normative one leaves out what is for trial use.",
        {"type": "string", "enum": ["full", "normative", "terminology"]},
    ),
    "_format": _query(
        "_format", "Format of the answer, before `Accept`.", {"enum": ["json", "xml"]}
    ),
    "_pretty": _query("_pretty", "Indent the answer.", {"type": "boolean"}),
    "_summary": _query(
        "_summary",
        "Part of each resource.",
        {"type": "string", "enum": ["true", "text", "data", "false"]},
    ),
    "_elements": _query("_elements", "Elements to show, with commas between them."),
    "_count": _query(
        "_count",
        f"Entries of a page; {_SEARCH_SETTINGS.default_count} unless told.",
        {"type": "integer", "minimum": 0},
    ),
    "_sort": _query("_sort", "Parameters to sort by, with commas between; `-` descends."),
    "_total": _query(
        "_total",
        "How exact the total is.",
        {"type": "string", "enum": ["none", "estimate", "accurate"]},
    ),
    "_include": _query("_include", "Also what matches refer to: `Observation:subject`."),
    "_revinclude": _query("_revinclude", "Also what refers to matches: `Provenance:target`."),
    "_type": _query("_type", "Types to search, with commas between; all unless told."),
    "_since": _query("_since", "Versions stored at this instant or later."),
    "_at": _query("_at", "Versions that were current then: a date or instant."),
    "further": _free(
        "further",
        'Further parameters by name: modifiers, chains, `_has`: `{"name:exact": "Rao"}`.',
        {},
    ),
    "criteria": _free("criteria", "Search parameters that one resource meets.", {"_id": "example"}),
    "If-Match": _header("If-Match", f"Only if this is the current version: `{_TAG}`."),
    "If-None-Match": _header("If-None-Match", "`*`: only if there is none yet."),
    "If-None-Match-read": _header(
        "If-None-Match", f"304 if this is the current version: `{_TAG}`."
    ),
    "If-Modified-Since": _header("If-Modified-Since", "304 if not changed after this HTTP date."),
    "If-None-Exist": _header("If-None-Exist", "Criteria: `identifier=urn:example:mrn|MRN-1`."),
    "X-Provenance": _header("X-Provenance", "A Provenance without target, stored with the write."),
    "Prefer-return": _header(
        "Prefer",
        "What the answer holds.",
        {
            "type": "string",
            "enum": ["return=representation", "return=minimal", "return=OperationOutcome"],
        },
    ),
    "Prefer-handling": _header(
        "Prefer",
        "Whether unknown parameters are refused, or passed over with a warning; or the answer "
        "is fetched later.",
        {"type": "string", "enum": ["handling=strict", "handling=lenient", "respond-async"]},
    ),
    "Prefer-batch": _header(
        "Prefer",
        "Whether to wait for the answer, or to come back for it.",
        {"type": "string", "enum": ["respond-async"]},
    ),
}
"""Parameters that are not search parameters, by the name of their component."""

HEADERS: Mapping[str, dict[str, Any]] = {
    "ETag": {"description": 'The version: `W/"3"`.', "schema": {"type": "string"}},
    "Last-Modified": {"description": "When it was stored.", "schema": {"type": "string"}},
    "Location": {"description": "The URL of the version.", "schema": {"type": "string"}},
    "Content-Location": {
        "description": "Where the answer will be.",
        "schema": {"type": "string"},
    },
    "Preference-Applied": {
        "description": "The preference that was honoured.",
        "schema": {"type": "string"},
    },
}
