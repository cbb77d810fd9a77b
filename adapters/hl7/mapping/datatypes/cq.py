"""CQ, and a number with its unit in two fields, as Quantity.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-cq-to-quantity.html
"""

from adapters.hl7.mapping import units
from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.datatypes import nm
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition, Segment


def cq(rep: Repetition | None, path: str) -> Json | None:
    """Return the Quantity of a CQ, None without a number."""
    if rep is None:
        return None
    number = nm.number(rep.peek(1))
    if number is None or number.comparator:
        rep.refuse(1, INVALID_VALUE)
        return None
    rep.mark(1, f"{path}.value")
    return nm.quantity(number, _members(rep, 2, path))


def of_fields(segment: Segment, number: int, unit: int, path: str) -> Json | None:
    """Return the Quantity of a NM and the CWE of its unit, None without a number."""
    rep = segment.first(number)
    found = nm.number(rep.peek(1)) if rep is not None else None
    if rep is None or found is None or found.comparator:
        segment.refuse(number, INVALID_VALUE)
        return None
    rep.mark(1, f"{path}.value")
    said = segment.first(unit)
    if said is None:
        return nm.quantity(found, {})
    code, text = said.peek(1), said.peek(2)
    for component in (1, 2, 3):
        said.mark(component, f"{path}.unit")
    system = said.peek(3)
    return nm.quantity(
        found, units.members(text or code, code if system == "UCUM" or not text else "")
    )


def amount(quantity: Json) -> Json:
    """Return a Quantity without what a SimpleQuantity does not have."""
    return {name: value for name, value in quantity.items() if name != "comparator"}


def _members(rep: Repetition, component: int, path: str) -> Json:
    code, text = rep.peek(component), rep.peek(component, 2)
    rep.mark(component, f"{path}.unit")
    if text:
        rep.mark(component, f"{path}.unit", 2)
    return units.members(text or code, code)
