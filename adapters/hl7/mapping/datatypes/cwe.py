"""CWE, CE, CNE, CF, IS and ID as CodeableConcept.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-cwe-to-codeableconcept.html
"""

import re
from collections.abc import Mapping

from adapters.hl7.mapping.code_tables import EXTENSION, KNOWN, OIDS, SYSTEMS, THO
from adapters.hl7.mapping.context import Context, Json, coding
from adapters.hl7.mapping.translation import translated
from adapters.hl7.message.tokenizer import Delimiters, Repetition, Segment

_TRIPLETS = ((1, 2, 3, 7), (4, 5, 6, 8), (10, 11, 12, 13))
_ORIGINAL_TEXT = 9
_VALUE = 5  # OBX-5 speaks of a person and is not kept
_KEPT = 8_192
_TRANSLATED = frozenset(("OBX", "OBR", "SPM"))
_KNOWN: dict[tuple[str, ...], tuple[Delimiters, Json | None, list[tuple[int, int, str]]]] = {}
_TABLE = re.compile(r"HL7(\d{4})\Z")
_URI = re.compile(r"(?:https?://|urn:)\S+\Z")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){3,}\Z")


def system_of(ctx: Context, name: str, code: str, table: str, place: str) -> str:
    """Return the code system that table 0396 names.

    Without a name it is the field's own `table` where that knows the code. What no
    table knows belongs to the sender, named by `place` or by the name it gave.
    """
    if not name:
        known = table and code in KNOWN.get(table, ())
        return THO + f"v2-{table}" if known else ctx.profile.codes(table or place)
    if name in SYSTEMS:
        return SYSTEMS[name]
    if match := _TABLE.match(name):
        return THO + f"v2-{match[1]}"
    if _URI.match(name):
        return name
    if _OID.match(name):
        return OIDS.get(name, f"urn:oid:{name}")
    return ctx.profile.codes(place if name == "L" else name)


def concept(
    ctx: Context,
    rep: Repetition,
    path: str,
    *,
    table: str = "",
    translate: Mapping[str, tuple[str, str]] | None = None,
) -> Json | None:
    """Return the CodeableConcept of a repetition, None where it says nothing.

    `translate` adds the coding that a map gives for a code, before the original; what the
    sender's own codes mean is added in the same way.
    """
    found = _untranslated(ctx, rep, path, table, translate)
    if rep.segment.name in _TRANSLATED:
        return translated(ctx, rep.segment, rep.number, found)
    return found


def _untranslated(
    ctx: Context,
    rep: Repetition,
    path: str,
    table: str,
    translate: Mapping[str, tuple[str, str]] | None,
) -> Json | None:
    if rep.segment.name == "OBX" and rep.number == _VALUE:
        return _concept(ctx, rep, path, table, translate or {})
    # Laboratories send few codes often; what a code becomes depends on nothing else.
    key = (ctx.profile.base, ctx.profile.sender, rep.segment.name, path, table, rep.text)
    known = _KNOWN.get(key)
    if known is not None and known[0] == ctx.message.delimiters:
        rep.mark_all(known[2])
        return known[1]
    value, marks = _noted(ctx, rep, path, table, translate or {})
    if len(_KNOWN) >= _KEPT:
        _KNOWN.clear()
    _KNOWN[key] = (ctx.message.delimiters, value, marks)
    return value


def _noted(
    ctx: Context,
    rep: Repetition,
    path: str,
    table: str,
    translate: Mapping[str, tuple[str, str]],
) -> tuple[Json | None, list[tuple[int, int, str]]]:
    """Return the concept with the leaves that it used, also those that went elsewhere before."""
    mapped, ctx.message.mapped = ctx.message.mapped, {}
    try:
        value = _concept(ctx, rep, path, table, translate)
        marks = rep.marks()
    finally:
        ctx.message.mapped = mapped
    rep.mark_all(marks)
    return value, marks


def _concept(
    ctx: Context,
    rep: Repetition,
    path: str,
    table: str,
    translate: Mapping[str, tuple[str, str]],
) -> Json | None:
    place = f"{rep.segment.name}-{rep.number}"
    codings: list[Json] = []
    text = ""
    for code_at, text_at, system_at, version_at in _TRIPLETS:
        code = " ".join(rep.peek(code_at).split())
        if not code:
            text = text or rep.take(text_at, f"{path}.text")
            continue
        name = rep.take(system_at, f"{path}.coding.system")
        if not codings and code in translate:
            system, mapped = translate[code]
            codings.append({"system": system, "code": mapped})
        found: Json = {"system": system_of(ctx, name, code, table, place)}
        if version := rep.take(version_at, f"{path}.coding.version"):
            found["version"] = version
        found["code"] = code
        if display := rep.take(text_at, f"{path}.coding.display"):
            found["display"] = display
        rep.mark(code_at, f"{path}.coding.code")
        codings.append(found)
    text = rep.take(_ORIGINAL_TEXT, f"{path}.text") or text
    if not codings:
        return {"text": text} if text else None
    return {"coding": codings, "text": text} if text else {"coding": codings}


def component(
    ctx: Context, rep: Repetition, number: int, path: str, *, table: str = ""
) -> Json | None:
    """Return the CodeableConcept of a CWE that is one component: its parts are subcomponents."""
    code, text, name = (rep.peek(number, sub) for sub in (1, 2, 3))
    if not code:
        told = rep.take(number, f"{path}.text", 2)
        return {"text": told} if told else None
    place = f"{rep.segment.name}-{rep.number}"
    found = coding(system_of(ctx, name, code, table, place), code)
    for sub, value in ((1, code), (2, text), (3, name)):
        if value:
            rep.mark(number, f"{path}.coding", sub)
    return {"coding": [{**found, "display": text} if text else found]}


def concepts(
    ctx: Context,
    segment: Segment,
    number: int,
    path: str,
    *,
    table: str = "",
    translate: Mapping[str, tuple[str, str]] | None = None,
) -> list[Json]:
    """Return the CodeableConcepts of all repetitions of a field."""
    if not segment.raw(number):
        return []
    return [
        value
        for rep in segment.repetitions(number)
        if (value := concept(ctx, rep, path, table=table, translate=translate))
    ]


def first_concept(
    ctx: Context,
    segment: Segment,
    number: int,
    path: str,
    *,
    table: str = "",
    translate: Mapping[str, tuple[str, str]] | None = None,
) -> Json | None:
    """Return the CodeableConcept of the first repetition that says something."""
    rep = segment.first(number)
    if rep is None:
        return None
    return concept(ctx, rep, path, table=table, translate=translate)


def coded(ctx: Context, code: str, table: str) -> Json:
    """Return the coding of a bare code of a table."""
    return coding(system_of(ctx, "", code, table, table), code)


def alternate(table: str, code: str) -> Json:
    """Return the extension that keeps the v2 code beside a mapped one."""
    original = {"coding": [coding(f"{THO}v2-{table}", code)]}
    return {"extension": [{"url": EXTENSION + "alternate-codes", "valueCodeableConcept": original}]}
