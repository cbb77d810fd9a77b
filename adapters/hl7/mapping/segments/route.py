"""RXR as the route, site and method of a dosage or of an immunization.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rxr-to-immunization.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-table-hl70162-to-route-of-administration.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, put
from adapters.hl7.mapping.datatypes import cwe
from adapters.hl7.message.tokenizer import Segment

_ROUTES: Final = {  # 0162
    code: (THO + "v3-RouteOfAdministration", mapped)
    for code, mapped in (
        ("ID", "IDINJ"),
        ("IM", "IM"),
        ("IV", "IVINJ"),
        ("PO", "PO"),
        ("SC", "SQ"),
        ("TD", "TRNSDERM"),
    )
}
_METHODS: Final = {  # 0165
    code: ("http://snomed.info/sct", mapped)
    for code, mapped in (
        ("CH", "419747000"),
        ("DI", "421682005"),
        ("IS", "421257003"),
        ("SH", "420606003"),
        ("WA", "422152000"),
    )
}


def put_route(ctx: Context, rxr: Segment, resource: Json, path: str) -> None:
    """Set route and site from RXR-1 and RXR-2."""
    route = cwe.first_concept(ctx, rxr, 1, f"{path}.route", table="0162", translate=_ROUTES)
    put(resource, "route", route)
    put(resource, "site", cwe.first_concept(ctx, rxr, 2, f"{path}.site", table="0163"))


def put_dosage(ctx: Context, rxr: Segment, dosage: Json, path: str) -> None:
    """Set route, site, method and instruction of a dosage from RXR."""
    put_route(ctx, rxr, dosage, path)
    method = cwe.first_concept(ctx, rxr, 4, f"{path}.method", table="0165", translate=_METHODS)
    put(dosage, "method", method)
    instruction = cwe.first_concept(ctx, rxr, 5, f"{path}.additionalInstruction", table="0166")
    if instruction:
        dosage.setdefault("additionalInstruction", []).append(instruction)
