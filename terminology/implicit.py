"""Value sets that need no resource: their url says which codes they have.

https://hl7.org/fhir/R4/snomedct.html#implicit
https://hl7.org/fhir/R4/loinc.html#implicit
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from terminology.code_system import CodeSystem, Query
from terminology.concepts import Json
from terminology.filters import Filter, UnsupportedFilter
from terminology.value_set import ValueSet, read_value_set
from terminology.versions import matches

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
LANGUAGES = "urn:ietf:bcp:47"
MIME_TYPES = "urn:ietf:bcp:13"

# Every code of the system.
WHOLE = {
    f"{LOINC}/vs": LOINC,
    f"{UCUM}/vs": UCUM,
    "http://hl7.org/fhir/ValueSet/ucum-units": UCUM,
    "http://hl7.org/fhir/ValueSet/all-languages": LANGUAGES,
    "http://hl7.org/fhir/ValueSet/mimetypes": MIME_TYPES,
}

_SNOMED = re.compile(
    r"(?P<edition>http://snomed\.info/x?sct(?:/\d+(?:/version/\d{8})?)?)"
    r"\?fhir_vs(?:=(?P<kind>isa|refset|ecl)(?:/(?P<value>.+))?)?"
)
_LOINC = re.compile(r"http://loinc\.org/vs/(?P<code>(?P<kind>LL|LG|LP)[0-9\-]+)")

# Answer lists hold answers, groups and parts have codes below them.
LOINC_FILTERS = {"LL": "LIST", "LG": "parent", "LP": "ancestor"}


def implicit_value_set(url: str) -> ValueSet | None:
    """The value set that the url implies, whether its system is known or not; else None."""
    include = _include(url)
    if include is None:
        return None
    resource: Json = {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": {"include": [include]},
    }
    return read_value_set(resource)


def _include(url: str) -> Json | None:
    if url in WHOLE:
        return {"system": WHOLE[url]}
    loinc = _LOINC.fullmatch(url)
    if loinc:
        return _filtered({"system": LOINC}, LOINC_FILTERS[loinc["kind"]], "=", loinc["code"])
    snomed = _SNOMED.fullmatch(url)
    return _snomed(snomed["edition"], snomed["kind"], snomed["value"]) if snomed else None


def _snomed(edition: str, kind: str | None, value: str | None) -> Json | None:
    pinned = {} if edition == SNOMED else {"version": edition}
    system: Json = {"system": SNOMED, **pinned}
    match kind, value:
        case None, None:
            return system
        case "isa", str(code):
            return _filtered(system, "concept", "is-a", code)
        case "refset", str(code):
            return _filtered(system, "concept", "in", code)
        case "refset", None:
            return _filtered(system, "constraint", "=", "^ [refsetId] *")
        case "ecl", str(expression):
            return _filtered(system, "constraint", "=", unquote(expression))
    return None


def _filtered(system: Json, name: str, op: str, value: str) -> Json:
    return {**system, "filter": [{"property": name, "op": op, "value": value}]}


async def is_known(value_set: ValueSet, systems: Sequence[CodeSystem]) -> bool:
    """False where the url names a concept, list or reference set that no version meant has.

    True where there is no such version: that is to be told of the system.
    """
    (include,) = value_set.includes
    meant = [
        one
        for one in systems
        if include.version is None or matches(include.version, one.head.version)
    ]
    if not (meant and include.filters):
        return True
    return any([await _names(one, include.filters[0]) for one in meant])


async def _names(system: CodeSystem, asked: Filter) -> bool:
    code = asked.value or ""
    if asked.property == "constraint":
        return True
    if not await system.find([code]):
        return False
    return asked.op != "in" or await _is_refset(system, code)


async def _is_refset(system: CodeSystem, code: str) -> bool:
    members = Filter("constraint", "=", f"^ {code} {{{{ M active = * }}}} {{{{ C active = * }}}}")
    try:
        return (await system.select(Query((members,), limit=0))).total > 0
    except UnsupportedFilter:
        # Nothing is known of reference sets.
        return True
