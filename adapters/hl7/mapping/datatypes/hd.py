"""HD as the system of identifiers, CX and EI as Identifier.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-cx-to-identifier.html
"""

import re
from collections.abc import Mapping

from adapters.hl7.mapping.code_tables import EXTENSION, KNOWN, OIDS, THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes.dtm import date_time
from adapters.hl7.message.tokenizer import Repetition

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+\Z")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+\Z")
_NATIONAL_TYPE = re.compile(r"NN[A-Z]{3}\Z")


def system_of(ctx: Context, namespace: str, universal: str, kind: str, default: str) -> str:
    """Return the identifier system of an assigning authority.

    The settings come first, then the universal id by its type, then a system that
    belongs to the sender and is named by the namespace, else by `default`.
    """
    known = known_system(ctx.profile.authorities, namespace, universal, kind)
    return known or ctx.profile.ids(namespace or universal or default)


def known_system(agreed: Mapping[str, str], namespace: str, universal: str, kind: str) -> str:
    """Return the system of an HD by what is agreed, else its universal id, "" where neither is."""
    found = agreed.get(universal) or agreed.get(namespace)
    return found or universal_uri(universal, kind)


def universal_uri(universal: str, kind: str) -> str:
    """Return a universal id as a URI by its type, "" where it is none."""
    kind = kind.upper()
    if kind in {"ISO", ""} and _OID.match(universal):
        return OIDS.get(universal, f"urn:oid:{universal}")
    if kind in {"UUID", "GUID"} and _UUID.match(universal.lower()):
        return f"urn:uuid:{universal.lower()}"
    if kind in {"URI", "URL"} and _URI.match(universal):
        return universal
    if kind == "DNS" and universal and not re.search(r"\s", universal):
        return f"urn:dns:{universal}"
    return ""


def authority(ctx: Context, rep: Repetition, component: int, default: str, path: str) -> str:
    """Return the system of the HD in a component, and note its leaves."""
    namespace, universal, kind = (rep.peek(component, sub) for sub in (1, 2, 3))
    system = system_of(ctx, namespace, universal, kind, default)
    for sub in (1, 2, 3):
        rep.mark(component, f"{path}.system", sub)
    return system


def type_concept(ctx: Context, code: str) -> Json:
    """Return an identifier type: the code of table 0203, else local with its text."""
    if code in KNOWN["0203"]:
        return {"coding": [{"system": THO + "v2-0203", "code": code}]}
    if _NATIONAL_TYPE.match(code):
        return {"coding": [{"system": THO + "v2-0203", "code": "NNxxx"}], "text": code}
    return {"coding": [coding(ctx.profile.codes("0203"), code)], "text": code}


def fixed_type(code: str) -> Json:
    """Return the identifier type of a code of table 0203 that the maps prescribe."""
    return {"coding": [{"system": THO + "v2-0203", "code": code}]}


def cx(ctx: Context, rep: Repetition, path: str, default: str) -> Json | None:
    """Return the Identifier of a CX; None without a value."""
    value = rep.take(1, f"{path}.value")
    if not value:
        return None
    identifier: Json = {}
    if code := rep.take(5, f"{path}.type"):
        identifier["type"] = type_concept(ctx, code)
    identifier["system"] = authority(ctx, rep, 4, default, path)
    identifier["value"] = value
    add(identifier, "extension", check_digit(rep, 2, "identifier-checkDigit", path))
    add(identifier, "extension", check_digit(rep, 3, "namingsystem-checkDigit", path))
    if not rep.raw(4) and (assigner := rep.take(6, f"{path}.assigner")):
        identifier["assigner"] = {"display": assigner}
    elif agreed := ctx.profile.assigners.get(identifier["system"]):
        identifier["assigner"] = {"display": agreed}
    period: Json = {}
    put(period, "start", date_time(ctx, rep, 7, f"{path}.period.start"))
    put(period, "end", date_time(ctx, rep, 8, f"{path}.period.end"))
    put(identifier, "period", period)
    return identifier


def check_digit(rep: Repetition, component: int, name: str, path: str) -> Json | None:
    """Return a check digit, or the scheme of one, as the extension of this name."""
    value = rep.take(component, f"{path}.extension")
    return {"url": EXTENSION + name, "valueString": value} if value else None


def ei(ctx: Context, rep: Repetition, path: str, default: str) -> Json | None:
    """Return the Identifier of an EI, always with a system; None without a value."""
    value = rep.take(1, f"{path}.value")
    if not value:
        return None
    system = system_of(ctx, rep.peek(2), rep.peek(3), rep.peek(4), default)
    for component in (2, 3, 4):
        rep.mark(component, f"{path}.system")
    return {"system": system, "value": value}


def ei_part(ctx: Context, rep: Repetition, component: int, path: str, default: str) -> Json | None:
    """Return the Identifier of an EI that is one component of an EIP."""
    value = rep.take(component, f"{path}.value")
    if not value:
        return None
    namespace, universal, kind = (rep.peek(component, sub) for sub in (2, 3, 4))
    system = system_of(ctx, namespace, universal, kind, default)
    for sub in (2, 3, 4):
        rep.mark(component, f"{path}.system", sub)
    return {"system": system, "value": value}


def token(identifier: Json) -> str:
    """Return an Identifier as the value of a token search."""
    system, value = (escaped(identifier[name]) for name in ("system", "value"))
    return f"{system}|{value}"


def escaped(text: str) -> str:
    r"""Return a text as the value of a search, its marks escaped (`\,`)."""
    return re.sub(r"([\\,|$])", r"\\\1", text)
