"""Expansions written as R4 ValueSet resources.

https://hl7.org/fhir/R4/valueset.html#expansion
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from terminology.code_system_resource import EXTENSION_PROPERTIES
from terminology.concepts import CONCEPT_PROPERTIES, STRUCTURE_DEFINITION, Concept, Json
from terminology.displays import Display, displays, preferred
from terminology.expand import Expansion, Wish
from terminology.languages import Languages
from terminology.nesting import Node
from terminology.notices import notices
from terminology.value_set import UNCLOSED, ConceptReference, ValueSet

R5 = "http://hl7.org/fhir/5.0/StructureDefinition/"
EXPANSION_PROPERTY = R5 + "extension-ValueSet.expansion.property"
CONTAINS_PROPERTY = R5 + "extension-ValueSet.expansion.contains.property"
UNCLOSED_REASON = STRUCTURE_DEFINITION + "valueset-unclosed-reason"
LANGUAGE_SYSTEM = "urn:ietf:bcp:47"
PREFERRED = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}

# Extensions of a concept that an expansion shows as they are.
SHOWN = frozenset(
    STRUCTURE_DEFINITION + name
    for name in (
        "rendering-style",
        "rendering-xhtml",
        "valueset-concept-definition",
        "valueset-deprecated",
    )
)
SHOWN_IN_DESIGNATION = frozenset(
    STRUCTURE_DEFINITION + name
    for name in ("coding-sctdescid", "structuredefinition-standards-status")
)
URIS = {"weight": CONCEPT_PROPERTIES + "itemWeight"}
HIDDEN = frozenset(
    {"compose", "text", "meta", "extension", "contained", "expansion", "description", "purpose"}
)


@dataclass(slots=True)
class _Writer:
    """What all codes of one expansion share."""

    expansion: Expansion
    wish: Wish
    languages: Languages | None
    properties: dict[str, str] = field(default_factory=dict)
    """Uris of the properties shown, by code."""


def write_expansion(
    value_set: ValueSet, expansion: Expansion, wish: Wish, echo: list[Json], now: datetime
) -> Json:
    """The ValueSet with its expansion; `echo` are the request's own parameters to repeat."""
    writer = _Writer(expansion, wish, expansion.scope.languages)
    contains = [_contains(writer, node) for node in expansion.nodes]
    body: Json = {
        "identifier": f"urn:uuid:{uuid4()}",
        "timestamp": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "total": expansion.total,
        **(
            {"offset": wish.offset}
            if wish.paged and any(e["name"] == "offset" for e in echo)
            else {}
        ),
        "parameter": [*echo, *_used(value_set, expansion)],
    }
    if contains:
        body["contains"] = contains
    extensions = [*_unclosed(expansion), *_declared(writer)]
    if extensions:
        body = {"extension": extensions, **body}
    hidden = {"text", "meta", "expansion"} if wish.definition else HIDDEN
    kept = {key: value for key, value in value_set.resource.items() if key not in hidden}
    return {"resourceType": "ValueSet", **kept, "expansion": body}


def _unclosed(expansion: Expansion) -> Iterator[Json]:
    if expansion.unclosed:
        yield {"url": UNCLOSED, "valueBoolean": True}
        yield {"url": UNCLOSED_REASON, "valueString": expansion.unclosed}


def _declared(writer: _Writer) -> Iterator[Json]:
    for code, uri in writer.properties.items():
        parts: list[Json] = [{"url": "code", "valueCode": code}]
        if uri:
            parts.append({"url": "uri", "valueUri": uri})
        yield {"url": EXPANSION_PROPERTY, "extension": parts}


def _used(value_set: ValueSet, expansion: Expansion) -> Iterator[Json]:
    used, scope = expansion.scope.used, expansion.scope
    for by, system in used.rules:
        rule = scope.rules.default if by == "default" else scope.rules.check
        name = "system-version" if by == "default" else "check-system-version"
        yield {"name": name, "valueUri": f"{system}|{rule[system]}"}
    if used.across and scope.versions_match is None:
        yield {"name": "versionsMatch", "valueBoolean": True}
    for canonical, code_system in used.systems.items():
        yield {"name": "used-codesystem", "valueUri": canonical}
        if code_system.head.content == "fragment":
            yield {"name": "used-fragment", "valueUri": canonical}
    for canonical in used.value_sets:
        yield {"name": "used-valueset", "valueUri": canonical}
    for canonical in used.supplements:
        yield {"name": "used-supplement", "valueUri": canonical}
    heads = [one.head for one in used.systems.values()]
    for notice in notices([*heads, *used.value_sets.values()], value_set):
        yield {"name": f"warning-{notice.state}", "valueUri": notice.item}


def _contains(writer: _Writer, node: Node) -> Json:
    entry, concept, reference = node.entry, node.entry.concept, node.entry.reference
    head = entry.system.head
    known = displays(concept, head.language, reference)
    shown = _shown(writer, known)
    extensions = [*_shown_extensions(concept, reference), *_properties(writer, node)]
    out: Json = {"extension": extensions} if extensions else {}
    out["system"] = head.url
    if concept.abstract:
        out["abstract"] = True
    if concept.inactive:
        out["inactive"] = True
    if head.url in writer.expansion.several_versions and head.version:
        out["version"] = head.version
    out["code"] = concept.code
    if shown:
        out["display"] = shown.text
    if writer.wish.designations:
        designations = list(_designations(writer, head.language, concept, reference, shown))
        if designations:
            out["designation"] = designations
    if node.children:
        out["contains"] = [_contains(writer, child) for child in node.children]
    return out


def _shown(writer: _Writer, known: list[Display]) -> Display | None:
    found = preferred(known, writer.languages)
    if found is None and (writer.languages is None or writer.languages.fallback):
        return known[0] if known and known[0].designation is None else None
    return found


def _shown_extensions(concept: Concept, reference: ConceptReference | None) -> list[Json]:
    own = reference.extensions if reference else ()
    found: dict[str, Json] = {}
    for one in (*own, *concept.extensions):
        if one.get("url") in SHOWN:
            found.setdefault(one["url"], one)
    return list(found.values())


def _designations(
    writer: _Writer,
    language: str | None,
    concept: Concept,
    reference: ConceptReference | None,
    shown: Display | None,
) -> Iterator[Json]:
    default = concept.display
    if (
        default
        and (shown is None or shown.text != default)
        and _wanted(writer, language, PREFERRED)
    ):
        tagged = {"language": language} if language else {}
        yield {**tagged, "use": PREFERRED, "value": default}
    extra = reference.designations if reference else ()
    for one in (*concept.designations, *extra):
        is_shown = shown is not None and shown.designation is one
        if is_shown or not _wanted(writer, one.language, one.use):
            continue
        kept = [each for each in one.extensions if each.get("url") in SHOWN_IN_DESIGNATION]
        out: Json = {"extension": kept} if kept else {}
        if one.language:
            out["language"] = one.language
        if one.use:
            out["use"] = one.use
        yield {**out, "value": one.value}


def _wanted(writer: _Writer, language: str | None, use: Json | None) -> bool:
    """True when no designation is named, or one of the languages or uses named fits."""
    named = writer.wish.designation_filter
    if not named:
        return True
    for token in named:
        system, _, code = token.rpartition("|")
        if system == LANGUAGE_SYSTEM and language and code.lower() == language.lower():
            return True
        if use and code == use.get("code") and system in {"", use.get("system")}:
            return True
    return False


def _properties(writer: _Writer, node: Node) -> Iterator[Json]:
    for code, kind, value in _values(writer, node):
        parts: list[Json] = [{"url": "code", "valueCode": code}, {"url": "value", kind: value}]
        yield {"url": CONTAINS_PROPERTY, "extension": parts}


def _values(writer: _Writer, node: Node) -> Iterator[tuple[str, str, Any]]:
    concept, head = node.entry.concept, node.entry.system.head
    wanted = writer.wish.properties
    if "definition" in wanted and concept.definition:
        writer.properties["definition"] = CONCEPT_PROPERTIES + "definition"
        yield "definition", "valueString", concept.definition
    for one in concept.properties:
        if one.code in wanted or "*" in wanted:
            defined = head.defined(one.code)
            writer.properties[one.code] = (defined.uri if defined else None) or ""
            yield one.code, one.kind, one.value
    for code, kind, value in _extension_values(node):
        writer.properties[code] = URIS.get(code, CONCEPT_PROPERTIES + code)
        yield code, kind, value
    if _has_telling_status(concept) and "status" not in wanted and "*" not in wanted:
        writer.properties["status"] = CONCEPT_PROPERTIES + "status"
        yield "status", "valueCode", concept.status


def _has_telling_status(concept: Concept) -> bool:
    return concept.status is not None and (concept.inactive or concept.status == "deprecated")


def _extension_values(node: Node) -> Iterator[tuple[str, str, Any]]:
    own = node.entry.reference.extensions if node.entry.reference else ()
    seen: set[str] = set()
    for one in (*own, *node.entry.concept.extensions):
        code = EXTENSION_PROPERTIES.get(one.get("url", ""))
        if code is None or code in seen:
            continue
        seen.add(code)
        kind, value = next((k, v) for k, v in one.items() if k.startswith("value"))
        if kind in {"valueInteger", "valueDecimal"}:
            yield code, "valueDecimal", Decimal(str(value))
        else:
            yield code, kind, value
