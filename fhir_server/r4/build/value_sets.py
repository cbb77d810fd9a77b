"""Codes of the value sets that elements are bound to.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from collections.abc import Iterable, Iterator

from fhir_server.r4.build.elements import Table
from fhir_server.r4.build.package import Json

Codes = dict[str, dict[str, list[str]]]

MAX_CODES = 3000
# Its expansion lists examples only; a MIME type is checked by grammar.
MIME_TYPES = "http://hl7.org/fhir/ValueSet/mimetypes"
# As MIME types: UCUM units are a grammar of which the expansion lists the common ones.
_GRAMMARS = frozenset((MIME_TYPES, "http://hl7.org/fhir/ValueSet/ucum-units"))


def required(table: Table, expansions: Iterable[Json]) -> Codes:
    """Return system to codes of each value set with a required binding.

    Left out: abstract codes, and value sets that are too large or a grammar.
    """
    bound = {
        row[6][1]
        for rows in table.values()
        for row in rows.values()
        if row[6] and row[6][0] == "required"
    }
    found: Codes = {}
    for value_set in expansions:
        if value_set["url"] not in bound - _GRAMMARS:
            continue
        codes: dict[str, list[str]] = {}
        for system, code in _concrete(value_set.get("expansion", {}).get("contains", ())):
            codes.setdefault(system, []).append(code)
        if codes and sum(map(len, codes.values())) < MAX_CODES:
            found[value_set["url"]] = {system: sorted(codes[system]) for system in sorted(codes)}
    return dict(sorted(found.items()))


def _concrete(contains: Iterable[Json]) -> Iterator[tuple[str, str]]:
    for concept in contains:
        if not concept.get("abstract") and "code" in concept:
            yield concept["system"], concept["code"]
        yield from _concrete(concept.get("contains", ()))


def case_sensitive(code_systems: Iterable[Json]) -> list[str]:
    """Return the URLs of the code systems whose codes differ by case."""
    return sorted(system["url"] for system in code_systems if system.get("caseSensitive"))
