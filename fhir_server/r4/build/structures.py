"""StructureDefinitions without what only people read: every one of R4, to validate by.

Each is compressed by itself, so that a server reads those that it is asked for.

https://hl7.org/fhir/R4/profilelist.html
"""

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from fhir_server.r4.build.package import Json

_KEPT: Final[tuple[str, ...]] = (
    *("resourceType", "id", "url", "version", "name", "status", "kind", "abstract", "type"),
    *("baseDefinition", "derivation", "context", "contextInvariant"),
)
_OF_ELEMENT: Final[tuple[str, ...]] = (
    *("id", "path", "sliceName", "min", "max", "base", "contentReference", "maxLength"),
    *("slicing", "isModifier"),
)
_BY_TYPE: Final = ("fixed", "pattern", "minValue", "maxValue")
_OF_RULE: Final = ("key", "severity", "human", "expression")
_OF_TYPE: Final = ("code", "profile", "targetProfile", "aggregation")
_PREFIX: Final = "http://hl7.org/fhir/StructureDefinition/"
# What many definitions have in common, for a compressor that sees one at a time.
_COMMON: Final = ("Extension", "Observation", "vitalsigns")


def packed(definitions: Iterable[Json]) -> Json:
    """Return `common`, the compressor's dictionary, and `known`: URL to compressed msgpack."""
    known = [one for one in definitions if "snapshot" in one]
    types = {_PREFIX + one["type"] for one in known if one.get("derivation") != "constraint"}
    stripped = {one["url"]: _stripped(one, types) for one in known}
    texts = {url: msgspec.msgpack.encode(stripped[url]) for url in sorted(stripped)}
    common = b"".join(texts[_PREFIX + name] for name in reversed(_COMMON))[-32_768:]
    return {"common": common, "known": {url: _deflated(texts[url], common) for url in texts}}


def _deflated(text: bytes, common: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, common)
    return compressor.compress(text) + compressor.flush()


def _stripped(definition: Json, types: set[str]) -> Json:
    kept = {key: definition[key] for key in _KEPT if key in definition}
    elements = [
        _element(one, definition["url"], types) for one in definition["snapshot"]["element"]
    ]
    return kept | {"snapshot": {"element": elements}}


def _element(element: Json, url: str, types: set[str]) -> Json:
    kept = {key: element[key] for key in _OF_ELEMENT if key in element}
    kept |= {key: element[key] for key in element if key.startswith(_BY_TYPE)}
    if "type" in element:
        kept["type"] = [
            {key: type_[key] for key in _OF_TYPE if key in type_} for type_ in element["type"]
        ]
    if "binding" in element and "valueSet" in element["binding"]:
        kept["binding"] = {key: element["binding"][key] for key in ("strength", "valueSet")}
    # What a type says of itself is judged with every resource of it.
    rules = [
        {key: rule[key] for key in _OF_RULE if key in rule}
        for rule in element.get("constraint", ())
        if "expression" in rule and rule.get("source", url) not in types
    ]
    return kept | ({"constraint": rules} if rules else {})
