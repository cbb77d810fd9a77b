"""What a client would write to find an element as it stands in a resource."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from . import reference, token
from .definitions import Package
from .escaping import escape
from .fhirpath import Node
from .string import normalise
from .string import values as strings

TEXTS = {"string", "markdown", "id", "code"}
WITHOUT_SYSTEM = {"ContactPoint", "boolean", "uri", "url", "canonical", "oid", "uuid"}
Asked = tuple[str, str]
"""A modifier and a value."""


def finding(package: Package, kind: str, node: Node, *, alone: bool = True) -> Iterator[Asked]:
    """Yield what is written for an element and must find it; `alone`: not in a composite."""
    match kind:
        case "string":
            yield from _strings(node)
        case "token":
            yield from _tokens(node, alone=alone)
            if node.type == "code":
                for system in sorted(token.systems(package, node)):
                    yield "", f"{escape(system)}|{escape(node.value)}"
        case "reference":
            yield from _references(node)
        case "date":
            yield from _dates(node)
        case "number":
            yield from _numbers(node.value) if node.type != "Range" else _sides(node.value, "")
        case "quantity":
            yield from _quantities(node)
        case "uri" if node.type in ("uri", "url", "canonical", "oid", "uuid"):
            yield from _uris(node)


def _strings(node: Node) -> Iterator[Asked]:
    for text, whole in strings(node):
        if not normalise(text):
            continue
        yield "", escape(text)
        yield "", escape(normalise(text)[:7].strip())
        yield "contains", escape(normalise(text)[len(normalise(text)) // 2 :])
        if whole:
            yield "exact", escape(text)


def _tokens(node: Node, *, alone: bool) -> Iterator[Asked]:
    value = node.value
    match node.type:
        case "CodeableConcept":
            for coding in value.get("coding", ()):
                yield from _tokens(Node("Coding", coding, node.resource), alone=alone)
            if alone and normalise(value.get("text", "")):
                yield "text", escape(normalise(value["text"]))
                yield "text", escape(normalise(value["text"]).split()[-1])
        case "Coding" | "Identifier":
            code = value.get("code" if node.type == "Coding" else "value")
            yield from _coded(value.get("system"), code, alone=alone)
            yield from _typed(value) if node.type == "Identifier" and alone else ()
        case "boolean":
            yield "", "true" if value else "false"
        case "ContactPoint":
            if "value" in value:
                yield "", escape(value["value"])
        case kind if kind in WITHOUT_SYSTEM | TEXTS:
            yield "", escape(value)


def _coded(system: str | None, code: str | None, *, alone: bool) -> Iterator[Asked]:
    if code is not None:
        yield "", escape(code)
        yield "", f"{escape(system or '')}|{escape(code)}"
    if system and alone:
        yield "", f"{escape(system)}|"


def _typed(value: dict[str, Any]) -> Iterator[Asked]:
    for one in value.get("type", {}).get("coding", ()):
        if "system" in one and "code" in one and "value" in value:
            parts = one["system"], one["code"], value["value"]
            yield "of-type", "|".join(escape(part) for part in parts)


def _references(node: Node) -> Iterator[Asked]:
    if node.type in ("canonical", "uri", "url"):
        if not node.value.startswith("#"):
            url, _, version = node.value.partition("|")
            yield "", escape(node.value)
            yield "", escape(url)
            if node.type == "canonical":
                yield "below", escape(url)
                if version:
                    yield "below", f"{escape(url)}|{escape(version.split('.')[0])}"
        return
    text = node.value.get("reference") if node.type == "Reference" else None
    if text and not text.startswith("#"):
        yield "", escape(text)
        found = reference.LITERAL.fullmatch(text)
        if found and not found[1]:
            yield "", f"{found[2]}/{found[3]}"
            yield "", found[3]
            yield found[2], found[3]
    identifier = node.value.get("identifier") if node.type == "Reference" else None
    if identifier:
        for _, value in _coded(identifier.get("system"), identifier.get("value"), alone=True):
            yield "identifier", value


def _dates(node: Node) -> Iterator[Asked]:
    if node.type in ("date", "dateTime", "instant"):
        written = [node.value, node.value[:10], node.value[:7], node.value[:4]]
        yield "", f"ap{node.value}"
        if "T" not in node.value or "Z" in node.value:
            yield from (("", text) for text in written)
        yield "", f"le{node.value}"
        yield "", f"ge{node.value}"
    elif node.type == "Period":
        if "start" in node.value and "end" in node.value:
            yield "", f"le{node.value['end']}"
        yield from (("", f"lt{day}") for day in _beside(node.value.get("start", ""), 2))
        yield from (("", f"gt{day}") for day in _beside(node.value.get("end", ""), -2))


def _beside(text: str, days: int) -> list[str]:
    """Return the day so many days from a date; none where it has no day or is at an edge."""
    if len(text) < 10 or text[:4] in ("0001", "9999"):
        return []
    return [str(date.fromisoformat(text[:10]) + timedelta(days=days))]


def _numbers(number: Any) -> Iterator[Asked]:
    yield "", f"{number}"
    scientific = f"{Decimal(number):E}"
    yield "", scientific if "." in scientific else f"{number}"
    yield "", f"ge{number}"
    yield "", f"le{number}"
    yield "", f"ap{number}"


def _sides(value: dict[str, Any], unit: str) -> Iterator[Asked]:
    for side, prefix in (("low", "ge"), ("high", "le")):
        if "value" in value.get(side, {}):
            yield "", f"{prefix}{value[side]['value']}{unit}"


def _quantities(node: Node) -> Iterator[Asked]:
    value = node.value
    match node.type:
        case "Money":
            if "value" in value and "currency" in value:
                yield "", f"{value['value']}|urn:iso:std:iso:4217|{value['currency']}"
        case "Range":
            yield from _sides(value, "")
        case "SampledData":
            return
        case _ if "value" in value and "comparator" not in value:
            yield from _numbers(value["value"])
            if "code" in value:
                yield (
                    "",
                    f"{value['value']}|{escape(value.get('system', ''))}|{escape(value['code'])}",
                )
                yield "", f"{value['value']}||{escape(value['code'])}"
            if "unit" in value:
                yield "", f"{value['value']}||{escape(value['unit'])}"


def _uris(node: Node) -> Iterator[Asked]:
    yield "", escape(node.value)
    url, bar, version = node.value.partition("|")
    if not url.startswith("urn:"):
        yield "below", escape(url)
        yield "above", escape(f"{url.rstrip('/')}/x")
        if "/" in url.partition("://")[2]:
            yield "below", escape(url.rpartition("/")[0])
    if node.path.endswith(".url") and node.path.count(".") == 1 and "version" in node.resource:
        yield "", f"{escape(node.value)}|{escape(str(node.resource['version']))}"
    if bar and node.type == "canonical":
        yield "", escape(url)
        yield "below", f"{escape(url)}|{escape(version.split('.')[0])}"
