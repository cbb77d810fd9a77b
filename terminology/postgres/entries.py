"""Concepts with their place in the hierarchy, one statement for any number of them.

https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.concept
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from terminology.concepts import Concept, Designation, Json, Property
from terminology.dialects import dialects
from terminology.displays import FULL_NAME
from terminology.postgres.releases import Release
from terminology.postgres.rows import Row

_BODY = """
SELECT c.cid, c.code, c.display, c.definition, c.active, c.abstract, c.status,
  (SELECT json_agg(json_build_array(d.term, d.language, d.use_id, d.active,
                                    d.fields -> 'dialects')
                   ORDER BY NOT d.preferred, d.ctid)::text
   FROM tx.designation_{id} d WHERE d.cid = c.cid),
  (SELECT json_agg(json_build_array(p.prop_id, coalesce(v.code, p.value_code), v.display,
                                    p.value_text, p.value_num, p.value_bool, p.value_date,
                                    p.value_system)
                   ORDER BY p.prop_id, p.group_no, p.ctid)::text
   FROM tx.property_{id} p LEFT JOIN tx.concept_{id} v ON v.cid = p.value_cid
   WHERE p.cid = c.cid)"""
_PLACE = """,
  ARRAY(SELECT p.code FROM tx.edge_{id} e JOIN tx.concept_{id} p ON p.cid = e.parent
        WHERE e.child = c.cid ORDER BY p.seq),
  ARRAY(SELECT ancestor FROM tx.closure_{id} WHERE descendant = c.cid),
  NOT EXISTS (SELECT FROM tx.edge_{id} WHERE parent = c.cid)"""
_FROM = "\nFROM tx.concept_{id} c WHERE "

BODIES = f"{_BODY}{_FROM}c.cid = ANY(%s::int[])"
BY_CODE = f"{_BODY}{_PLACE}{_FROM}c.code {{match}}"
BY_LOWER = f"{_BODY}{_PLACE}{_FROM}lower(c.code) {{match}}"

# Properties that are columns or edges.
COLUMNS = frozenset({"status", "inactive", "notSelectable", "parent", "child"})

KINDS = {
    "code": "valueCode",
    "Coding": "valueCoding",
    "integer": "valueInteger",
    "boolean": "valueBoolean",
    "dateTime": "valueDateTime",
    "decimal": "valueDecimal",
}
_arrays = msgspec.json.Decoder(list[list[Any]])


@dataclass(frozen=True, slots=True)
class Entry:
    """A concept with its number, its parents' codes and the numbers of all its ancestors."""

    number: int
    concept: Concept
    parents: tuple[str, ...]
    ancestors: "array[int]"
    leaf: bool


def read_entry(release: Release, row: Row) -> Entry:
    """The entry of a row of BY_CODE or BY_LOWER."""
    *body, parents, ancestors, leaf = row
    concept = read_concept(release, body)
    return Entry(row[0], concept, tuple(parents), array("i", ancestors), leaf)


def read_concept(release: Release, row: Row | list[Any]) -> Concept:
    """The concept of a row of BODIES."""
    _, code, display, definition, active, abstract, status, designations, values = row
    own = _arrays.decode(values) if values else []
    return Concept(
        code=code,
        display=display,
        definition=definition,
        designations=tuple(_designations(release, designations)) if designations else (),
        properties=(
            *_columns(release, status, abstract=abstract),
            *(_property(release, one) for one in own),
        ),
        status=status,
        inactive=not active,
        abstract=abstract,
    )


def _designations(release: Release, text: str) -> Iterator[Designation]:
    for term, language, use, active, said in _arrays.decode(text):
        chosen = None if use is None else release.uses[use]
        status = None if active else "withdrawn"
        yield Designation(
            term, language, chosen, status, dialects=_dialects(chosen, language, said)
        )


def _dialects(
    use: Json | None, language: str | None, said: dict[str, str] | None
) -> tuple[tuple[str, bool], ...]:
    """A dialect prefers a synonym, and a fully specified name beside it: that is no display."""
    if not said or (use and use.get("code") == FULL_NAME):
        return ()
    return dialects(language, said)


def _columns(release: Release, status: str | None, *, abstract: bool) -> Iterator[Property]:
    """The declared properties that a concept has by its columns."""
    if not status and not abstract:
        return
    for one in release.head.properties:
        if status and one.role == "status":
            yield Property(one.code, "valueCode", status)
        if abstract and one.role == "notSelectable":
            yield Property(one.code, "valueBoolean", value=True)


def _property(release: Release, values: list[Any]) -> Property:
    prop, code, display, text, number, flag, date, system = values
    defined = release.head.properties[prop]
    kind = KINDS.get(defined.kind, "valueString")
    if kind == "valueCoding":
        return Property(
            defined.code, kind, _coding(system or release.head.url, code, display, text)
        )
    plain = next((one for one in (code, text, flag, date) if one is not None), None)
    if number is not None:
        plain = int(number) if kind == "valueInteger" else number
    return Property(defined.code, kind, plain, display)


def _coding(system: str, code: str | None, display: str | None, text: str | None) -> Json:
    shown = display or text
    return {"system": system, "code": code, **({"display": shown} if shown else {})}
