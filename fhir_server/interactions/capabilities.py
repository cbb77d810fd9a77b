"""capabilities: what this server does, derived from what it is made of.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

import gzip
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import msgspec

from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.errors import BadRequest
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.search.offer import Offer, includes, offers, reverse_includes, shared_offers
from fhir_server.search.registry import Registry
from fhir_server.server import Server

SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
# The date of the statement is that of the definitions: equal servers say equal things.
DATE = "2019-11-01"
TERMINOLOGY = "terminology"
RELEASED = "2026-11-21"
# What HL7's terminology clients look for before they trust a server with their tests.
_FEATURE = "http://hl7.org/fhir/uv/application-feature/StructureDefinition/feature"
_FEATURES: Mapping[str, tuple[str, Any]] = {
    "http://hl7.org/fhir/uv/tx-tests/FeatureDefinition/test-version": ("valueCode", "1.9.3"),
    "http://hl7.org/fhir/uv/tx-ecosystem/FeatureDefinition/CodeSystemAsParameter": (
        "valueBoolean",
        True,
    ),
}
_TERMINOLOGY_SERVER = "http://hl7.org/fhir/CapabilityStatement/terminology-server"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
# By their names in the extension.
_ENDPOINTS = {
    "authorize": "authorize",
    "token": "token",
    "register": "register",
    "manage": "manage",
    "introspect": "introspect",
    "revoke": "revoke",
}
MODES = ("full", "normative", TERMINOLOGY)
# What the StructureDefinition of CapabilityStatement marks as trial use.
_TRIAL_USE = frozenset(
    (
        "supportedProfile",
        "versioning",
        "readHistory",
        "updateCreate",
        "conditionalCreate",
        "conditionalRead",
        "conditionalUpdate",
        "conditionalDelete",
        "referencePolicy",
        "searchInclude",
        "searchRevInclude",
    )
)
# Above so many targets a reference leads to nearly anything, and a list says nothing.
_FEW = 12


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: `types` that have it, none for one of the whole system."""

    name: str
    definition: str
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routed:
    """What the API routes.

    `codes` are the interactions (R4 restful-interaction); `conditional` those of
    them that take criteria instead of an id. The formats are media types.
    """

    codes: frozenset[str]
    conditional: frozenset[str]
    formats: tuple[str, ...]
    patch_formats: tuple[str, ...]
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """The text of the statement, its gzip form, and its entity tag."""

    body: bytes
    packed: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Said:
    """All that a statement is derived from; a change of any makes another statement.

    A registry does not change but is replaced, so its identity tells its state; it
    is held here, so that no other takes the identity.
    """

    server: Server = field(compare=False)
    held: Registry = field(compare=False)
    registry: int
    routed: Routed
    mode: str
    base: str
    settings: str


def capabilities(server: Server, routed: Routed, mode: str = "full") -> Statement:
    """Return the CapabilityStatement, made once for each state of registry and settings.

    `mode` is `full` or `normative`; BadRequest for another.
    """
    if mode not in MODES or mode == TERMINOLOGY:
        raise BadRequest(f"mode is one of {', '.join(MODES)}", code="value", expression="mode")
    held, settings = server.registry, server.settings
    login = settings.security.identity.enabled
    said = (
        f"{settings.demo} {login} {settings.write.model_dump_json()} {settings.limits.chain_depth}"
    )
    return _made(_Said(server, held, id(held), routed, mode, server.base, said))


@lru_cache(maxsize=8)
def _made(said: _Said) -> Statement:
    statement = _statement(said.server, said.held, said.routed)
    if said.mode == "normative":
        statement = _normative(statement)
    return written(statement)


def written(resource: Mapping[str, Any]) -> Statement:
    """Return the resource as it is sent."""
    body = msgspec.json.encode(resource)
    etag = f'W/"{blake2b(body, digest_size=8).hexdigest()}"'
    return Statement(body, gzip.compress(body, 6, mtime=0), etag)


def subset(statement: dict[str, Any], types: Collection[str]) -> dict[str, Any]:
    """Return a decoded statement with only these types of it (`$subset`)."""
    rest = [
        {**one, "resource": [kept for kept in one["resource"] if kept["type"] in types]}
        for one in statement["rest"]
    ]
    return {**statement, "rest": rest}


def _normative(statement: dict[str, Any]) -> dict[str, Any]:
    rest = [
        {
            **{name: value for name, value in one.items() if name != "security"},
            "resource": [
                {name: value for name, value in kept.items() if name not in _TRIAL_USE}
                for kept in one["resource"]
            ],
        }
        for one in statement["rest"]
    ]
    return {**statement, "rest": rest}


def _statement(server: Server, registry: Registry, routed: Routed) -> dict[str, Any]:
    release = version("sangam")
    return {
        "resourceType": "CapabilityStatement",
        "extension": [_feature(url, *value) for url, value in _FEATURES.items()],
        "url": f"{server.base}/metadata",
        "version": release,
        "name": "Sangam",
        "title": "Sangam FHIR R4 server",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "instantiates": [_TERMINOLOGY_SERVER],
        "software": {"name": "Sangam", "version": release, "releaseDate": RELEASED},
        "implementation": {"description": "Sangam FHIR R4 server", "url": server.base},
        "fhirVersion": "4.0.1",
        "format": list(routed.formats),
        "patchFormat": list(routed.patch_formats),
        "rest": [_rest(server, registry, routed)],
    }


def _feature(url: str, kind: str, value: object) -> dict[str, Any]:
    parts = [{"url": "definition", "valueCanonical": url}, {"url": "value", kind: value}]
    return {"url": _FEATURE, "extension": parts}


def _rest(server: Server, registry: Registry, routed: Routed) -> dict[str, Any]:
    reverse = reverse_includes(registry)
    types = [t for t in server.definitions.resource_types if t not in NEVER_STORED]
    compartments = [
        f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}"
        for name in server.definitions.compartments
    ]
    system = [one for one in routed.operations if not one.types]
    return {
        "mode": "server",
        "documentation": _documentation(server.settings.limits.chain_depth),
        "security": _security(server),
        "resource": [_resource(server, registry, routed, t, reverse[t]) for t in types],
        "interaction": _codes(SYSTEM_INTERACTIONS, routed.codes),
        "searchParam": [_parameter(one) for one in shared_offers(registry, types)],
        **_some("operation", _operations(system)),
        "compartment": compartments,
    }


def _documentation(depth: int) -> str:
    return (
        "Search parameters name the modifiers that they take. Dates, numbers and quantities take "
        "the prefixes eq, ne, gt, lt, ge, le, sa, eb and ap. Chains and `_has` follow up to "
        f"{depth} references. `_include` and `_revinclude` take `:iterate`."
    )


def _security(server: Server) -> dict[str, Any]:
    """Return who may do what, and where apps get their tokens: nothing that is not there."""
    text = "An access token with SMART scopes; what may be seen also depends on the user's roles."
    if server.settings.demo:
        text = "Demonstration: without a token, whoever reaches this server may do everything."
    if not server.settings.security.identity.enabled:
        return {"description": text}
    root = f"{server.root}/auth"
    uris = [{"url": name, "valueUri": f"{root}/{path}"} for name, path in _ENDPOINTS.items()]
    coding = {"system": _SERVICES, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}
    return {
        "extension": [{"url": _OAUTH_URIS, "extension": uris}],
        "cors": True,
        "service": [{"coding": [coding], "text": "OAuth2 using SMART-on-FHIR profile"}],
        "description": text,
    }


def _resource(
    server: Server, registry: Registry, routed: Routed, type_name: str, reverse: Sequence[str]
) -> dict[str, Any]:
    own = [one for one in routed.operations if type_name in one.types]
    searched = "search-type" in routed.codes
    found = offers(registry, type_name) if searched else ()
    return {
        "type": type_name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_name}",
        "interaction": _codes(_interactions(type_name), routed.codes),
        **_writing(server, routed, type_name),
        **_some("searchInclude", includes(registry, type_name) if searched else ()),
        **_some("searchRevInclude", reverse if searched else ()),
        **_some("searchParam", [_parameter(one) for one in found]),
        **_some("operation", _operations(own)),
    }


def _interactions(type_name: str) -> tuple[str, ...]:
    """Return what may be done with a type: an AuditEvent stays as it was written."""
    if type_name != AUDIT_EVENT:
        return TYPE_INTERACTIONS
    changes = {"update", "patch", "delete"}
    return tuple(code for code in TYPE_INTERACTIONS if code not in changes)


def _writing(server: Server, routed: Routed, type_name: str) -> dict[str, Any]:
    """Return what holds of every type alike, but for an AuditEvent."""
    settings = server.settings.write
    changes = type_name != AUDIT_EVENT
    return {
        "versioning": "versioned-update",
        "readHistory": "vread" in routed.codes,
        "updateCreate": changes and settings.update_create,
        "conditionalCreate": "create" in routed.codes,
        "conditionalRead": "full-support" if "read" in routed.codes else "not-supported",
        "conditionalUpdate": changes and "update" in routed.conditional,
        "conditionalDelete": (
            settings.conditional_delete
            if changes and "delete" in routed.conditional
            else "not-supported"
        ),
        "referencePolicy": [
            "literal",
            "logical",
            *(["enforced"] if settings.referential_integrity else []),
            "local",
        ],
    }


def _parameter(offer: Offer) -> dict[str, Any]:
    text = documentation(offer)
    return {
        "name": offer.code,
        **({"definition": offer.url} if offer.url else {}),
        "type": offer.type,
        **({"documentation": text} if text else {}),
    }


def documentation(offer: Offer) -> str:
    """Return what a parameter means and takes, as a text for people."""
    sentences = [offer.meaning]
    if 0 < len(offer.target) <= _FEW:
        sentences.append(f"Leads to {', '.join(offer.target)}")
    if offer.component:
        sentences.append(f"Parts: {'$'.join(offer.component)}")
    if offer.modifiers:
        sentences.append(f"Modifiers: {', '.join(offer.modifiers)}")
    return " ".join(one.rstrip(".") + "." for one in sentences if one)


def _operations(found: Iterable[Operation]) -> list[dict[str, str]]:
    return [{"name": one.name, "definition": one.definition} for one in found]


def _codes(order: tuple[str, ...], offered: Collection[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in order if code in offered]


def _some(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return the member, or nothing where it would be empty, which FHIR does not allow."""
    return {name: list(values)} if values else {}
