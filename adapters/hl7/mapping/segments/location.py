"""PL and DLD as Location, each part of the one around it.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-pl-to-location.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, hd
from adapters.hl7.message.tokenizer import Repetition, Segment

# From the outermost to the innermost: component, physical type, and name of its identifiers.
# PL.1 has no type in the guide; a point of care is taken as a ward.
_LEVELS: Final = (
    (4, "si", "facility"),
    (7, "bu", "building"),
    (1, "wa", "point-of-care"),
    (8, "lvl", "floor"),
    (2, "ro", "room"),
    (3, "bd", "bed"),
)
_DESCRIPTION, _COMPREHENSIVE, _AUTHORITY = 9, 10, 11
_DISPOSITION_TABLE: Final = "0113"
_Place = tuple[int, int]


def location(
    ctx: Context, rep: Repetition, state: tuple[Segment, int] | None = None
) -> Json | None:
    """Return a reference to the innermost Location of a PL, None where it names none.

    `state` is the field that tells its operational status, which is then updated.
    """
    told = state is not None and state[0].valued(state[1])
    known, reference = ctx.remembered(rep, "Location")
    if known and not told:
        return dict(reference)
    chain = _chain(ctx, rep)
    if not chain:
        return None
    innermost = chain[-1]
    _describe(ctx, rep, innermost)
    if told and state and (bed := state[0].take(state[1], "Location.operationalStatus")):
        system = cwe.system_of(ctx, "", bed, "0116", f"{state[0].name}-{state[1]}")
        innermost["operationalStatus"] = coding(system, bed)
    outer = ""
    for resource in chain:
        if outer:
            resource["partOf"] = {"reference": outer}
        key = resource["identifier"][-1]
        token = f"{key['system']}|{key['value']}"
        updates = told and resource is innermost
        outer = ctx.write("PUT" if updates else "POST", (token,), resource)
    display = ", ".join(one["name"] for one in chain if "name" in one)
    found = {"reference": outer, **({"display": display} if display else {})}
    ctx.remember(rep, "Location", found)
    return dict(found)


def _chain(ctx: Context, rep: Repetition) -> list[Json]:
    """Return the Locations from the outermost to the innermost, each with its key.

    A bed is named within its room: the key is made of all that is around it.
    """
    chain: list[Json] = []
    around: list[str] = []
    for component, kind, name in _LEVELS:
        path = "Location.identifier.value"
        value = rep.take(component, path) or rep.take(component, path, 2)
        if not value:
            continue
        around += (kind, value)
        resource = _named(ctx, kind, name, value)
        _universal(rep, ((component, 2), (component, 3)), resource)
        resource["identifier"].append(ctx.key_identifier(ctx.key("Location", *around)))
        chain.append(resource)
    described = rep.peek(_DESCRIPTION) or rep.peek(_COMPREHENSIVE)
    if not chain and described:
        key = ctx.key("Location", "PL", described, rep.peek(_COMPREHENSIVE))
        identifier = [ctx.key_identifier(key)]
        chain.append({"resourceType": "Location", "mode": "instance", "identifier": identifier})
    return chain


def _named(ctx: Context, kind: str, name: str, value: str) -> Json:
    return {
        "resourceType": "Location",
        "identifier": [{"system": ctx.profile.ids(name), "value": value}],
        "name": value,
        "mode": "instance",
        "physicalType": {"coding": [{"system": THO + "location-physical-type", "code": kind}]},
    }


def _universal(rep: Repetition, places: tuple[_Place, _Place], resource: Json) -> None:
    """Add the universal id of a HD, beside the name that only its sender knows."""
    uri = hd.universal_uri(rep.peek(*places[0]), rep.peek(*places[1]))
    if uri and uri != resource["identifier"][0]["value"]:
        resource["identifier"].insert(0, {"system": "urn:ietf:rfc:3986", "value": uri})
        for component, sub in places:
            rep.mark(component, "Location.identifier", sub)


def _describe(ctx: Context, rep: Repetition, resource: Json) -> None:
    put(resource, "description", rep.take(_DESCRIPTION, "Location.description"))
    path = "Location.identifier"
    number = hd.ei_part(ctx, rep, _COMPREHENSIVE, path, "location")
    named = [number, *resource["identifier"][:-1]] if number else resource["identifier"][:-1]
    if named and (authority := rep.take(_AUTHORITY, f"{path}.assigner")):
        for identifier in named:
            identifier["assigner"] = {"display": authority}
    if number:
        resource["identifier"].insert(0, number)


def discharged_to(ctx: Context, rep: Repetition) -> Json | None:
    """Return a reference to the Location of a DLD, which is known by its type alone."""
    concept = cwe.component(ctx, rep, 1, "Location.type", table=_DISPOSITION_TABLE)
    if concept is None:
        return None
    key = ctx.key("Location", "DLD", rep.leaf(1), rep.leaf(1, 3))
    resource: Json = {"resourceType": "Location", "identifier": [ctx.key_identifier(key)]}
    told = concept.get("text") or next(
        (one.get("display") or one["code"] for one in concept["coding"]), ""
    )
    put(resource, "name", told)
    resource["mode"] = "kind"
    add(resource, "type", concept)
    reference = ctx.write("POST", (ctx.key_token(key),), resource)
    return {"reference": reference, "display": told}


def facility(ctx: Context, rep: Repetition) -> Json | None:
    """Return a reference to the Location of a HD, the same that PL.4 names."""
    path = "Location.identifier.value"
    value = rep.take(1, path) or rep.take(2, path)
    if not value:
        return None
    resource = _named(ctx, "si", "facility", value)
    _universal(rep, ((2, 1), (3, 1)), resource)
    key = ctx.key("Location", "si", value)
    resource["identifier"].append(ctx.key_identifier(key))
    return {"reference": ctx.write("POST", (ctx.key_token(key),), resource), "display": value}
