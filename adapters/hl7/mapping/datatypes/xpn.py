"""XPN as HumanName.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-xpn-to-humanname.html
"""

from adapters.hl7.mapping.code_tables import EXTENSION, NAME_USE
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes.cwe import alternate
from adapters.hl7.mapping.datatypes.dtm import date_range, date_time
from adapters.hl7.message.tokenizer import Repetition

_FAMILY_PARTS = (
    (2, "humanname-own-prefix"),
    (3, "humanname-own-name"),
    (4, "humanname-partner-prefix"),
    (5, "humanname-partner-name"),
)
_ASSEMBLY = {"F": "F", "G": "G"}  # table 0444


def xpn(ctx: Context, rep: Repetition, path: str) -> list[Json]:
    """Return the HumanName of a XPN, then a nickname for its call-me name; [] without a name."""
    name: Json = {}
    family(rep, 1, name, path)
    for component, member in ((2, "given"), (3, "given"), (5, "prefix")):
        add(name, member, rep.take(component, f"{path}.{member}"))
    for component in (4, 6, 14):
        add(name, "suffix", rep.take(component, f"{path}.suffix"))
    if name:
        _qualify(ctx, rep, name, path)
    called = rep.take(15, f"{path}.given")
    names = [name] if name else []
    return [*names, {"use": "nickname", "given": [called]}] if called else names


def _qualify(ctx: Context, rep: Repetition, name: Json, path: str) -> None:
    use = rep.take(7, f"{path}.use")
    if use in NAME_USE:
        name["use"] = NAME_USE[use]
    elif use:
        name["_use"] = alternate("0200", use)
    put(name, "period", _period(ctx, rep, path))
    assembly(rep, 11, name, path)


def family(rep: Repetition, component: int, name: Json, path: str) -> None:
    """Set the family name of a FN, with its own and its partner's parts as extensions."""
    put(name, "family", rep.take(component, f"{path}.family"))
    parts = [
        {"url": EXTENSION + url, "valueString": value}
        for sub, url in _FAMILY_PARTS
        if (value := rep.take(component, f"{path}.family.extension", sub))
    ]
    if parts:
        name["_family"] = {"extension": parts}


def assembly(rep: Repetition, component: int, name: Json, path: str) -> None:
    """Set the order in which the parts of a name are written (table 0444)."""
    if rep.peek(component) in _ASSEMBLY:
        url = EXTENSION + "humanname-assembly-order"
        order = {"url": url, "valueCode": _ASSEMBLY[rep.take(component, f"{path}.extension")]}
        add(name, "extension", order)


def _period(ctx: Context, rep: Repetition, path: str) -> Json:
    period: Json = {}
    start = date_time(ctx, rep, 12, f"{path}.period.start")
    end = date_time(ctx, rep, 13, f"{path}.period.end")
    put(period, "start", start)
    put(period, "end", end)
    return period or date_range(ctx, rep, 10, f"{path}.period")
