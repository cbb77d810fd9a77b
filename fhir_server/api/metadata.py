"""Answers that describe the server.

https://hl7.org/fhir/R4/http.html#capabilities
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fhir_server.api import formats, parts
from fhir_server.api.answer import Answer
from fhir_server.api.encoding import takes_gzip
from fhir_server.api.request import Request
from fhir_server.interactions import terminology_capabilities
from fhir_server.interactions.capabilities import (
    TERMINOLOGY,
    Operation,
    Routed,
    Statement,
    capabilities,
)
from fhir_server.interactions.patching import JSON_PATCH
from fhir_server.server import Server

_CONDITIONAL = frozenset(("update", "patch", "delete"))


async def metadata(server: Server, request: Request, routed: Routed) -> Answer:
    """Answer with the CapabilityStatement, or that of terminology; 304 where the client has it."""
    mode = next((value for name, value in request.pairs if name == "mode"), "full")
    others = tuple(pair for pair in request.pairs if pair[0] != "mode")
    part = parts.part(replace(request, pairs=others))
    found = await statement(server, routed, mode)
    headers = {"ETag": found.etag, "Vary": "Accept, Accept-Encoding"}
    if _has(request, found.etag):
        return Answer(304, b"", headers, cacheable=True)
    whole = part == parts.Part() and not formats.is_pretty(request)
    if (
        whole
        and formats.accepted(request) == "json"
        and takes_gzip(request.headers.get(b"accept-encoding"))
    ):
        headers["Content-Encoding"] = "gzip"
        return Answer(200, found.packed, headers, cacheable=True)
    return Answer(200, parts.cut(server.definitions, found.body, part), headers, cacheable=True)


async def statement(server: Server, routed: Routed, mode: str) -> Statement:
    """Return what the server says of itself in this mode."""
    if mode == TERMINOLOGY:
        return await terminology_capabilities.statement(server)
    return capabilities(server, routed, mode)


def routed(
    codes: Mapping[tuple[str, str], Iterable[str]], operations: Sequence[Operation] = ()
) -> Routed:
    """Return what is routed, from the interaction codes by shape of URL and method."""
    return Routed(
        codes=frozenset(code for found in codes.values() for code in found),
        conditional=frozenset(
            code
            for (shape, _), found in codes.items()
            for code in found
            if shape == "type" and code in _CONDITIONAL
        ),
        formats=(formats.FHIR_JSON, formats.FHIR_XML),
        patch_formats=(JSON_PATCH, formats.FHIR_JSON, formats.FHIR_XML),
        operations=tuple(operations),
    )


def _has(request: Request, etag: str) -> bool:
    """Whether If-None-Match names the tag; tags are compared weakly (RFC 9110, 13.1.2)."""
    given = request.header(b"if-none-match") or ""
    return etag in {one.strip() for one in given.split(",")} or given.strip() == "*"
