"""XAD as Address.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-xad-to-address.html
"""

from adapters.hl7.mapping.code_tables import ADDRESS_TYPE, ADDRESS_USE, EXTENSION, THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes.dtm import date_range, date_time
from adapters.hl7.message.tokenizer import Repetition

_PARTS = ((3, "city"), (4, "state"), (5, "postalCode"), (6, "country"))


def xad(ctx: Context, rep: Repetition, path: str) -> Json | None:
    """Return the Address of a XAD, None where it names no place."""
    address: Json = {}
    for component, sub in ((1, 1), (1, 2), (1, 3), (2, 1), (19, 1)):
        add(address, "line", rep.take(component, f"{path}.line", sub))
    for component, member in _PARTS:
        put(address, member, rep.take(component, f"{path}.{member}"))
    put(address, "district", _district(rep, f"{path}.district"))
    if tract := rep.take(10, f"{path}.line.extension"):
        _put_tract(address, tract)
    if not address:
        return None
    _use(rep, address, path)
    period: Json = {}
    put(period, "start", date_time(ctx, rep, 13, f"{path}.period.start"))
    put(period, "end", date_time(ctx, rep, 14, f"{path}.period.end"))
    if not period:
        period = date_range(ctx, rep, 12, f"{path}.period")
    put(address, "period", period)
    return address


def _district(rep: Repetition, path: str) -> str:
    """Return the county: a bare code, or since v2.7 a CWE, of which the guide takes the text."""
    for sub in (9, 2, 1):
        if text := rep.take(9, path, sub):
            return text
    return ""


def _put_tract(address: Json, tract: str) -> None:
    """Set the census tract, which is an extension of a line of an address."""
    url = EXTENSION + "iso21090-ADXP-censusTract"
    others = [None] * (len(address.get("line", ())) - 1)
    address["_line"] = [{"extension": [{"url": url, "valueString": tract}]}, *others]


def _use(rep: Repetition, address: Json, path: str) -> None:
    code = rep.take(7, f"{path}.use")
    if not code:
        return
    put(address, "use", ADDRESS_USE.get(code))
    put(address, "type", ADDRESS_TYPE.get(code))
    if code == "HV":
        add(address, "extension", {"url": EXTENSION + "iso21090-AD-use", "valueCode": "HV"})
    original = {"coding": [coding(THO + "v2-0190", code)]}
    kept = {"url": EXTENSION + "alternate-codes", "valueCodeableConcept": original}
    add(address, "extension", kept)
