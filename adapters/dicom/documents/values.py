"""Values of content items as FHIR values: quantities, concepts, dates, texts.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.18
https://hl7.org/fhir/R4/observation.html
"""

import re
from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, items, text, texts
from adapters.dicom.dataset.codes import coding
from adapters.dicom.dataset.names import display
from adapters.dicom.documents.tree import Item, current, label, uids, written
from terminology.ucum.unit import unit as ucum_unit

Json = dict[str, Any]

UCUM = "http://unitsofmeasure.org"

_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_MAX_EXPONENT = 300
_DS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_URI = re.compile(r"\S+")

# CID 42 Numeric Value Qualifier: why there is no number.
_QUALIFIERS = {
    "114000": "not-a-number",
    "114001": "negative-infinity",
    "114002": "positive-infinity",
    "114003": "not-a-number",  # Divide by zero
    "114004": "error",  # Underflow
    "114005": "error",  # Overflow
    "114006": "error",  # Measurement failure
    "114007": "not-performed",  # Measurement not attempted
    "114008": "error",  # Calculation failure
    "114009": "error",  # Value out of range
    "114010": "unknown",
    "114011": "unknown",  # Value indeterminate
}


_AGREED = "_AgreedSystem"


def agreed(document: Attributes, schemes: Mapping[str, str]) -> Attributes:
    """Return a document whose coded entries of these local schemes carry the agreed system."""
    if not schemes:
        return document
    made = dict(document)
    ahead = [made]
    while ahead:
        one = ahead.pop()
        if system := schemes.get(text(one, "CodingSchemeDesignator")):
            one[_AGREED] = [system]
        for keyword, values in one.items():
            if values and isinstance(values[0], dict):
                one[keyword] = [dict(each) for each in values]
                ahead += one[keyword]
    return made


def code_of(code: Attributes) -> Json | None:
    """Return the Coding of a coded entry, None without a known scheme."""
    local = {text(code, "CodingSchemeDesignator"): text(code, _AGREED)}
    coded = coding(current(code), local)
    return coded if coded and _URI.fullmatch(coded["system"]) else None


def uid_value(uid: str) -> Json:
    """Return a UID as the value of an extension; a string where it is no OID as FHIR has them."""
    is_oid = _OID.fullmatch(uid) is not None
    return {"valueOid": f"urn:oid:{uid}"} if is_oid else {"valueString": uid}


def concept(code: Attributes) -> Json:
    """Return the CodeableConcept of a coded entry; without a known scheme only its text."""
    said: Json = {}
    if coded := code_of(code):
        said["coding"] = [coded]
    shown = text(code, "CodeMeaning") or text(code, "CodeValue") or text(code, "LongCodeValue")
    if shown:
        said["text"] = shown
    return said


def measured(item: Item) -> Json:
    """Return `valueQuantity` of a NUM, or `dataAbsentReason` where it has no number.

    A number with a qualifier besides keeps both: the qualifier is an `interpretation`.
    """
    values = items(item.attributes, "MeasuredValueSequence")
    qualifier = next(iter(items(item.attributes, "NumericValueQualifierCodeSequence")), None)
    sent = text(values[0], "NumericValue") if values else ""
    number = decimal(sent)
    if number is None:
        return {"dataAbsentReason": _absent(qualifier, sent)}
    units = next(iter(items(values[0], "MeasurementUnitsCodeSequence")), {})
    said: Json = {"valueQuantity": {"value": number, **unit(units)}}
    if qualifier is not None and (meant := concept(qualifier)):
        said["interpretation"] = [meant]
    return said


def decimal(sent: str) -> Decimal | None:
    """Return a decimal string with the digits as sent, None where it is no number.

    https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_6.2
    """
    match = _DS.fullmatch(sent)
    if match is None or len(sent) > 64:  # noqa: PLR2004  (what the resources may hold)
        return None
    number = Decimal(sent)
    return None if abs(number.adjusted()) > _MAX_EXPONENT else number


def unit(code: Attributes) -> Json:
    """Return unit, system and code of a Quantity; only text unless it is a unit of UCUM."""
    value = text(code, "CodeValue")
    shown = text(code, "CodeMeaning") or value
    said: Json = {"unit": shown} if shown else {}
    if text(code, "CodingSchemeDesignator") == "UCUM" and value and _is_unit(value):
        said |= {"system": UCUM, "code": value}
    return said


def _is_unit(value: str) -> bool:
    return ucum_unit(value) is not None


def _absent(qualifier: Attributes | None, sent: str) -> Json:
    if qualifier is None:
        code = "error" if sent else "unknown"
        return {"coding": [{"system": _ABSENT, "code": code}], **({"text": sent} if sent else {})}
    code = _QUALIFIERS.get(text(qualifier, "CodeValue"), "unknown")
    said: Json = {"coding": [{"system": _ABSENT, "code": code}]}
    if shown := text(qualifier, "CodeMeaning"):
        said["text"] = shown
    return said


def value(item: Item, zone: tzinfo) -> Json:
    """Return the `value[x]` (or `dataAbsentReason`) of an item, {} where its type has none."""
    match item.value_type:
        case "NUM":
            return measured(item)
        case "CODE":
            said = concept(item.code)
            return {"valueCodeableConcept": said} if said else {}
        case "DATE" | "DATETIME":
            return _date(item, zone)
        case "TIME":
            return _time(item)
        case "TEXT" | "UIDREF" | "PNAME":
            return _string(item)
    return {}


def _date(item: Item, zone: tzinfo) -> Json:
    if item.value_type == "DATE":
        day = datetimes.day(text(item.attributes, "Date"))
        at = day.isoformat() if day else None
    else:
        at = datetimes.moment(text(item.attributes, "DateTime"), zone)
    return {"valueDateTime": at} if at else _string(item)


def _string(item: Item) -> Json:
    said = shown(item)
    return {"valueString": said} if said else {}


def _time(item: Item) -> Json:
    at = datetimes.date_time("20000101", text(item.attributes, "Time"))
    if at is None or "T" not in at:
        return _string(item)
    return {"valueTime": re.split(r"[+-]", at.partition("T")[2])[0]}


_VALUES = {
    "TEXT": "TextValue",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "UIDREF": "UID",
}


def shown(item: Item) -> str:
    """Return the value as it is read; "" for a container."""
    if item.value_type in _VALUES:
        return text(item.attributes, _VALUES[item.value_type])
    match item.value_type:
        case "CODE":
            return text(item.code, "CodeMeaning") or text(item.code, "CodeValue")
        case "NUM":
            return _number(item.attributes)
        case "PNAME":
            return display(text(item.attributes, "PersonName"))
        case "CONTAINER":
            return ""
    return f"see {written(item.reference)}" if item.reference else _referred(item)


def _number(attributes: Attributes) -> str:
    values = items(attributes, "MeasuredValueSequence")
    parts = []
    if values:
        units = next(iter(items(values[0], "MeasurementUnitsCodeSequence")), {})
        unit_text = text(units, "CodeValue") or text(units, "CodeMeaning")
        parts = [text(values[0], "NumericValue"), "" if unit_text == "1" else unit_text]
    for one in items(attributes, "NumericValueQualifierCodeSequence"):
        parts.append(text(one, "CodeMeaning"))
    return " ".join(part for part in parts if part) or "no value"


def _referred(item: Item) -> str:
    """Return what an item refers to: instances, frames, coordinates."""
    attributes = item.attributes
    parts = []
    for one in items(attributes, "ReferencedSOPSequence"):
        numbers = texts(one, "ReferencedFrameNumber") + texts(one, "ReferencedSegmentNumber")
        frames = f" frame {', '.join(numbers)}" if numbers else ""
        parts.append(f"{text(one, 'ReferencedSOPInstanceUID')}{frames}")
    if graphic := text(attributes, "GraphicType"):
        points = " ".join(f"{number:g}" for number in attributes.get("GraphicData", ()))
        parts.append(f"{graphic} {points}".strip())
    if span := text(attributes, "TemporalRangeType"):
        keys = ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime")
        parts.append(" ".join([span, *(one for key in keys for one in texts(attributes, key))]))
    return "; ".join(parts) or text(attributes, "TextValue") or label(item) or ", ".join(uids(item))
