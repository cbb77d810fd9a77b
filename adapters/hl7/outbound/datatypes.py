"""FHIR data types as HL7 v2 data types.

HL7 v2.9 chapter 2A; the maps of https://hl7.org/fhir/uv/v2mappings/STU1/datatype_maps.html
read backwards.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from adapters.hl7.mapping.code_tables import (
    ADDRESS_USE,
    EXTENSION,
    NAME_USE,
    TELECOM_SYSTEM,
    TELECOM_USE,
    THO,
)
from adapters.hl7.outbound.er7 import Component, Repetition
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, extension

_ALTERNATE: Final = EXTENSION + "alternate-codes"
_ORIGINAL: Final = EXTENSION + "originalText"
_DIGITS: Final = re.compile(r"[^0-9.]")
_SINCE_CWE: Final = (2, 5)
_THIRD_TRIPLET: Final = (2, 7)
_TYPES_NOT_TOLD: Final = frozenset(("PLAC", "FILL", "PGN", "FGN"))


def reverse(forward: Mapping[str, str]) -> dict[str, str]:
    """Return a map read backwards; of several codes with one meaning the first is it."""
    return {meaning: code for code, meaning in reversed(list(forward.items()))}


_NAME_USES: Final = reverse(NAME_USE)
_ADDRESS_USES: Final = {**reverse(ADDRESS_USE), "home": "H", "temp": "C", "work": "B"}
_TELECOM_USES: Final = reverse(TELECOM_USE)
_TELECOM_SYSTEMS: Final = {**reverse(TELECOM_SYSTEM), "email": "Internet", "sms": "CP"}


def moment(text: Any, zone: tzinfo | None = None) -> str:  # noqa: ANN401  (JSON)
    """Return a date, dateTime or instant as DTM, in the precision that it has.

    A time is told in `zone`, where there is one, with its offset.
    """
    told = str(text or "")
    day, t, clock = told.partition("T")
    if not t:
        return day.replace("-", "")
    if zone is not None:
        told = _in_zone(told, zone)
        day, _, clock = told.partition("T")
    at = max(clock.rfind("+"), clock.rfind("-"))
    if clock.endswith("Z"):
        clock, offset = clock[:-1], "+0000"
    elif at > 0:
        clock, offset = clock[:at], clock[at:].replace(":", "")
    else:
        offset = ""
    return f"{day.replace('-', '')}{_DIGITS.sub('', clock)}{offset}"


def _in_zone(text: str, zone: tzinfo) -> str:
    """Return a dateTime in another zone, with the digits of its fraction."""
    fraction = re.search(r"\.\d+", text)
    try:
        found = datetime.fromisoformat(re.sub(r"\.\d+", "", text)).astimezone(zone)
    except ValueError:  # a leap second
        return text
    local = found.isoformat()
    return f"{local[:19]}{fraction[0] if fraction else ''}{local[19:]}"


def dated(holder: Json | None, name: str, peer: Peer) -> str:
    """Return a member of a resource as DTM; what was sent wins where it was completed."""
    value = (holder or {}).get(name)
    sent = extension((holder or {}).get(f"_{name}"), _ORIGINAL)
    return str(sent.get("valueString", "")) if sent and value else moment(value, peer.zone)


def original(holder: Json | None, name: str, table: str, now: Mapping[str, str]) -> str:
    """Return the code of a v2 table from which a member came, "" where it says another now.

    `now` is the map of that table: a resource that was changed since keeps its extension.
    """
    for coding in alternates((holder or {}).get(f"_{name}")):
        code = str(coding.get("code", ""))
        if coding.get("system") == f"{THO}v2-{table}" and now.get(code) == (holder or {})[name]:
            return code
    return ""


def alternates(element: Json | None) -> list[Json]:
    """Return the codings of the alternate-codes extension."""
    found = extension(element, _ALTERNATE)
    return list(found.get("valueCodeableConcept", {}).get("coding", ())) if found else []


def table_code(peer: Peer, table: str, code: str) -> str:
    """Return what the destination calls a code of a table."""
    return peer.tables.get(table, {}).get(code, code)


def ei(peer: Peer, identifier: Json | None) -> tuple[str, ...]:
    """Return an Identifier as EI."""
    value = str((identifier or {}).get("value", ""))
    return (value, *peer.authority(str((identifier or {}).get("system", "")))) if value else ()


def cx(peer: Peer, identifier: Json) -> Repetition:
    """Return an Identifier as CX."""
    kind = type_of(identifier)
    if kind == "NNxxx":
        kind = str(identifier["type"].get("text", kind))
    period = identifier.get("period", {})
    digit = extension(identifier, EXTENSION + "identifier-checkDigit") or {}
    scheme = extension(identifier, EXTENSION + "namingsystem-checkDigit") or {}
    return (
        str(identifier.get("value", "")),
        str(digit.get("valueString", "")),
        str(scheme.get("valueString", "")),
        peer.authority(str(identifier.get("system", ""))),
        "" if kind in _TYPES_NOT_TOLD else kind,
        "",
        moment(period.get("start"), peer.zone),
        moment(period.get("end"), peer.zone),
    )


def type_of(identifier: Json) -> str:
    """Return the type of an Identifier, "" without one."""
    codings = identifier.get("type", {}).get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""


def shown(peer: Peer, resource: Json | None) -> list[Json]:
    """Return the identifiers of a resource that mean something elsewhere."""
    return [
        one
        for one in (resource or {}).get("identifier", ())
        if one.get("value")
        and not peer.is_ours(str(one.get("system", "")))
        and one.get("type", {}).get("text") != "AWOS"
    ]


def numbered(peer: Peer, resource: Json | None, kind: str) -> list[Json]:
    """Return the identifiers of a type."""
    return [one for one in shown(peer, resource) if type_of(one) == kind]


def xpn(name: Json, peer: Peer) -> tuple[Component, ...]:
    """Return a HumanName as XPN."""
    given = [str(one) for one in name.get("given", ())]
    suffix = [str(one) for one in name.get("suffix", ())]
    use = next((one["code"] for one in alternates(name.get("_use"))), "")
    period = name.get("period", {})
    family = str(name.get("family", ""))
    if not family and not given and name.get("text"):
        family = str(name["text"])
    return (
        _family(name, family),
        given[0] if given else "",
        " ".join(given[1:]),
        suffix[0] if suffix else "",
        " ".join(str(one) for one in name.get("prefix", ())),
        suffix[1] if len(suffix) > 1 else "",
        use or _NAME_USES.get(str(name.get("use", "")), ""),
        *("", "", "", ""),
        moment(period.get("start"), peer.zone),
        moment(period.get("end"), peer.zone),
    )


def _family(name: Json, family: str) -> tuple[str, ...]:
    kept = name.get("_family")
    names = ("own-prefix", "own-name", "partner-prefix", "partner-name")
    parts = [extension(kept, f"{EXTENSION}humanname-{one}") or {} for one in names]
    return (family, *(str(one.get("valueString", "")) for one in parts))


def xad(address: Json, peer: Peer) -> Repetition:
    """Return an Address as XAD."""
    lines = [str(one) for one in address.get("line", ())]
    codes = [one["code"] for one in alternates(address)]
    use = codes[0] if codes else _ADDRESS_USES.get(str(address.get("use", "")), "")
    if not use and address.get("type") == "postal":
        use = "M"
    tract = extension(address, EXTENSION + "iso21090-ADXP-censusTract") or {}
    period = address.get("period", {})
    first = lines[0] if lines else str(address.get("text", "")) if not address.get("city") else ""
    return (
        first,
        " ".join(lines[1:]),
        *(str(address.get(name, "")) for name in ("city", "state", "postalCode", "country")),
        use,
        "",
        str(address.get("district", "")),
        str(tract.get("valueString", "")),
        *("", ""),
        moment(period.get("start"), peer.zone),
        moment(period.get("end"), peer.zone),
    )


def xtn(point: Json, peer: Peer, usual: str = "") -> Repetition:
    """Return a ContactPoint as XTN; `usual` is its use where it names none."""
    system, value = str(point.get("system", "phone")), str(point.get("value", ""))
    use = str(point.get("use", "")) or usual
    is_mail = system in {"email", "url"}
    code = "NET" if is_mail else _TELECOM_USES.get(use, "")
    kind = "CP" if use == "mobile" else _TELECOM_SYSTEMS.get(system, "")
    names = ("country", "area", "local", "extension")
    told = [extension(point, f"{EXTENSION}contactpoint-{one}") or {} for one in names]
    parts = [str(one.get("valueString", "")) for one in told]
    whole = "" if is_mail or parts[2] or peer.version >= _THIRD_TRIPLET else value
    free = "" if is_mail or whole or (parts[2] and value == _formatted(parts)) else value
    mail = value if is_mail else ""
    return (whole, code, kind, mail, *parts, "", "", "", free)


def _formatted(parts: Sequence[str]) -> str:
    """Return the number that its parts make, as the mapping writes it."""
    country, area, local, extra = parts
    lead = f"+{country.lstrip('+')}" if country else ""
    return " ".join(filter(None, (lead, area, local, f"X{extra}" if extra else "")))


def cwe(peer: Peer, concept: Json | None, table: str = "") -> Repetition:
    """Return a CodeableConcept as CWE, or as CE before version 2.5.

    What the destination calls it comes first, if its codes are known; else the codings in
    their order, at most three from version 2.7 on, two before.
    """
    if not concept:
        return ""
    codings = [one for one in concept.get("coding", ()) if one.get("code")]
    triplets = _triplets(peer, codings, table)
    text = str(concept.get("text", ""))
    if not triplets:
        return ("", text)
    most = 3 if peer.version >= _THIRD_TRIPLET else 2
    first, second, third = (*triplets[:most], *(_NONE,) * 3)[:3]
    if peer.version < _SINCE_CWE:
        return (*first[:3], *second[:3])
    return (*first[:3], *second[:3], first[3], second[3], text, *third)


_NONE: Final = ("", "", "", "")


def _triplets(peer: Peer, codings: Iterable[Json], table: str) -> list[tuple[str, str, str, str]]:
    own: list[tuple[str, str, str, str]] = []
    sent: list[tuple[str, str, str, str]] = []
    for one in codings:
        system, code = str(one.get("system", "")), str(one["code"])
        if said := peer.codes.get((system, code)):
            own.append((said[0], said[1] or str(one.get("display", "")), said[2], ""))
        kind = peer.coding_system(system) if system else ""
        known = table_code(peer, table, code) if table and kind == f"HL7{table}" else code
        sent.append((known, str(one.get("display", "")), kind, str(one.get("version", ""))))
    found = [*own, *sent]
    return [one for at, one in enumerate(found) if one[::2] not in [f[::2] for f in found[:at]]]


def coded(peer: Peer, concept: Json | None, table: str) -> str:
    """Return the code of a table from a concept's codings, "" where none is of it."""
    for one in (concept or {}).get("coding", ()):
        if one.get("system") == f"{THO}v2-{table}":
            return table_code(peer, table, str(one.get("code", "")))
    return ""


def xcn(peer: Peer, resource: Json | None, display: str = "") -> Repetition:
    """Return a Practitioner as XCN; without one, what a reference displays."""
    if resource is None:
        return ("", (display,)) if display else ""
    numbers = shown(peer, resource)
    names = resource.get("name", ())
    told = xpn(names[0], peer) if names else ()
    family, given, second, suffix, prefix = (*told[:5], *("",) * 5)[:5]
    number = numbers[0] if numbers else {}
    return (
        str(number.get("value", "")),
        *(family, given, second, suffix, prefix, "", ""),
        peer.authority(str(number.get("system", ""))),
        str(told[6]) if told else "",
        *("", ""),
        type_of(number),
    )


def xon(peer: Peer, organization: Json) -> Repetition:
    """Return an Organization as XON."""
    numbers = shown(peer, organization)
    number = numbers[0] if numbers else {}
    return (
        str(organization.get("name", "")),
        *("", "", "", ""),
        peer.authority(str(number.get("system", ""))),
        type_of(number),
        *("", ""),
        str(number.get("value", "")),
    )


def person(record: Record, peer: Peer, reference: Json | None, within: Json | None) -> Repetition:
    """Return whom a reference leads to as XCN: a Practitioner, or the one of a role."""
    found = record.get(reference, within)
    if found is not None and found["resourceType"] == "PractitionerRole":
        reference = found.get("practitioner")
        found = record.get(reference, found)
    if found is not None and found["resourceType"] != "Practitioner":
        return ""
    return xcn(peer, found, str((reference or {}).get("display", "")))


_LEVELS: Final = {"bd": 3, "ro": 2, "lvl": 8, "wa": 1, "bu": 7, "si": 4}


def pl(record: Record, peer: Peer, reference: Json | None) -> Repetition:
    """Return a Location with those that it is part of as PL."""
    parts: dict[int, str] = {}
    description = ""
    place = record.get(reference)
    for _ in range(8):  # a chain of more would be a circle
        if place is None:
            break
        codings = place.get("physicalType", {}).get("coding", ())
        level = _LEVELS.get(codings[0].get("code", "") if codings else "", 0)
        name = next((str(one["value"]) for one in shown(peer, place)), str(place.get("name", "")))
        if level:
            parts.setdefault(level, name)
        else:
            description = description or str(place.get("description", name))
        place = record.get(place.get("partOf"))
    if not parts and not description:
        description = str((reference or {}).get("display", ""))
    if not parts and not description:
        return ""
    return (*(parts.get(level, "") for level in range(1, 9)), description)
