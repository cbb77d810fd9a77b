"""Observation as OBX and NTE.

HL7 v2.9 chapter 7, section 7.4.2; table 0125.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, EXTENSION_R5, OBSERVATION_STATUS
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, extension

_UCUM: Final = "http://unitsofmeasure.org"
_STATUS: Final = {
    "registered": "O",
    "preliminary": "P",
    "final": "F",
    "amended": "A",
    "corrected": "C",
    "cancelled": "X",
    "entered-in-error": "W",
    "unknown": "U",
}
# Codes that came in after version 2.3 are told as the ones before them.
_SINCE: Final = {"A": (2, 6), "B": (2, 6)}
_SUBID: Final = EXTENSION + "observation-v2-subid"
_ATTACHMENT: Final = EXTENSION_R5 + "Observation.valueAttachment"
_FALLBACK: Final = {"A": "C", "B": "C"}
_NATURE: Final = EXTENSION + "observation-nature-of-abnormal-test"
_ANALYSED: Final = EXTENSION + "observation-analysis-date-time"
_DTM_SINCE: Final = (2, 6)
_CWE_SINCE: Final = (2, 5)
_RATIO_SIGNS: Final = re.compile(r"[:/]")

Value = tuple[str, list[Repetition], Field]
"""OBX-2, the repetitions of OBX-5, and OBX-6."""


def obxs(start: int, observation: Json, record: Record, peer: Peer) -> list[Segment]:
    """Return an Observation as OBX, and NTE, from this set id on.

    Components of its own code are repetitions of OBX-5 as they were sent; others have an
    OBX each, whose OBX-4 joins them.
    """
    own = [one for one in observation.get("component", ()) if _same_code(one, observation)]
    others = [one for one in observation.get("component", ()) if one not in own]
    whole = _with_bytes(observation, record)
    values = [_value(one, peer) for one in own] or [_value(whole, peer)]
    found: list[Segment] = []
    if not (others and values == [_NOTHING]):
        sub = _sub_id(observation)
        found.append(_obx(start, observation, observation, _joined(values), sub, record, peer))
    for at, one in enumerate(others):
        made = (str(start), "", "", "") if not _sub_id(observation) else _sub_id(observation)
        sub = _with_sequence(made, at + 1)
        found.append(_obx(start + at, observation, one, _value(one, peer), sub, record, peer))
    for number, note in enumerate(observation.get("note", ()), 1):
        found.append(nte(number, note, peer))
    return found


def kind_of(observation: Json, peer: Peer) -> str:
    """Return the code of table 0936: a question of the order (QST) and its like."""
    kinds = [as_.coded(peer, one, "0936") for one in observation.get("category", ())]
    return next(filter(None, kinds), "")


def _with_sequence(sub: Field, at: int) -> Field:
    return f"{sub[0]}.{at}" if isinstance(sub, tuple) else f"{sub}.{at}"


def _same_code(component: Json, observation: Json) -> bool:
    return bool(component.get("code") == observation.get("code"))


def _obx(
    number: int,
    observation: Json,
    measured: Json,
    value: Value,
    sub: Field,
    record: Record,
    peer: Peer,
) -> Segment:
    kind, content, unit = value
    fields: dict[int, Field] = {
        1: str(number),
        2: kind,
        3: as_.cwe(peer, measured.get("code")),
        4: sub,
        5: content,
        6: unit,
        7: _range(measured, observation),
        8: _flags(measured, observation, peer),
        11: _status(observation, peer),
        # A period is that of OBR-7 and 8, or OBX-14 would make it a moment.
        14: as_.dated(observation, "effectiveDateTime", peer),
    }
    fields |= _rare(observation, record, peer)
    return Segment("OBX", fields)


def _rare(observation: Json, record: Record, peer: Peer) -> dict[int, Field]:
    fields: dict[int, Field] = {17: as_.cwe(peer, observation.get("method"))}
    if nature := extension(observation, _NATURE):
        fields[10] = as_.coded(peer, nature.get("valueCodeableConcept"), "0080")
    fields |= _performers(observation, record, peer)
    device = record.get(observation.get("device"))
    fields[18] = [as_.ei(peer, one) for one in as_.shown(peer, device)]
    if when := extension(observation, _ANALYSED):
        fields[19] = as_.moment(when.get("valueDateTime"), peer.zone)
    fields[20] = as_.cwe(peer, observation.get("bodySite"), "0163")
    filler = as_.numbered(peer, observation, "FILL")
    fields[21] = as_.ei(peer, filler[0]) if filler else ""
    fields[29] = kind_of(observation, peer)
    return fields


def _performers(observation: Json, record: Record, peer: Peer) -> dict[int, Field]:
    """Return observers, and the laboratory with its director; the producer is before it."""
    told = observation.get("performer", ())
    observers = [
        as_.person(record, peer, one, observation)
        for one in told
        if _is_observer(record, one, observation)
    ]
    fields: dict[int, Field] = {16: [one for one in observers if one]}
    directors = [one for one in told if not _is_observer(record, one, observation)]
    places = [one for one in record.all(told) if one["resourceType"] == "Organization"]
    for one in directors:
        role = record.get(one, observation) or {}
        fields[25] = as_.person(record, peer, one, observation)
        if (place := record.get(role.get("organization"), role)) is not None:
            places.append(place)
    if places:
        fields[23] = as_.xon(peer, places[-1])
        fields[24] = [as_.xad(one, peer) for one in places[-1].get("address", ())][:1]
    if len(places) > 1:
        number = next(iter(as_.shown(peer, places[0])), {})
        fields[15] = (str(number.get("value", "")), str(places[0].get("name", "")))
    return fields


def _is_observer(record: Record, reference: Json, observation: Json) -> bool:
    """Whether a performer is no director, who has a field of his own."""
    found = record.get(reference, observation) or {}
    codes = [c.get("code") for one in found.get("code", ()) for c in one.get("coding", ())]
    return "MDIR" not in codes


def _status(observation: Json, peer: Peer) -> str:
    status = str(observation.get("status", ""))
    sent = as_.original(observation, "status", "0085", OBSERVATION_STATUS)
    code = sent or _STATUS.get(status, "U")
    if not sent and peer.version < _SINCE.get(code, (0,)):
        code = _FALLBACK[code]
    return as_.table_code(peer, "0085", code)


def _sub_id(observation: Json) -> Field:
    told = extension(observation, _SUBID)
    if told is None:
        return ""
    parts = {one["url"]: one for one in told.get("extension", ())}
    first = str(parts.get("original-sub-identifier", {}).get("valueString", ""))
    group, sequence = (
        str(parts.get(name, {}).get("valueDecimal", "")) for name in ("group", "sequence")
    )
    return (first, group, sequence, str(parts.get("identifier", {}).get("valueString", "")))


def _flags(measured: Json, observation: Json, peer: Peer) -> list[Repetition]:
    told = measured.get("interpretation") or observation.get("interpretation", ())
    found: list[Repetition] = []
    for one in told:
        codings = one.get("coding", ())
        known = [c for c in codings if "ObservationInterpretation" in c.get("system", "")]
        table = as_.coded(peer, one, "0078")
        if (table or known) and not any("display" in c for c in codings):
            found.append(table or as_.table_code(peer, "0078", str(known[0].get("code", ""))))
        else:
            found.append(as_.cwe(peer, one, "0078"))
    return found


def _range(measured: Json, observation: Json) -> str:
    told = measured.get("referenceRange") or observation.get("referenceRange", ())
    return next(filter(None, (_range_text(one) for one in told)), "")


def _range_text(one: Json) -> str:
    if one.get("text"):
        return str(one["text"])
    low, high = (str(one.get(name, {}).get("value", "")) for name in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    return f">={low}" if low else f"<={high}" if high else ""


_NOTHING: Final[Value] = ("", [], "")


def _joined(values: list[Value]) -> Value:
    """Return values of one type as repetitions."""
    first = values[0]
    return (first[0], [one for value in values for one in value[1]], first[2])


def _value(holder: Json, peer: Peer) -> Value:
    name = next((one for one in holder if re.match(r"value[A-Z]", one)), "")
    made = _VALUES.get(name)
    return made(holder, name, peer) if made else _document(holder)


def _boolean(holder: Json, name: str, peer: Peer) -> Value:
    code = ("Y", "Yes") if holder[name] else ("N", "No")
    kind = "CWE" if peer.version >= _CWE_SINCE else "CE"
    return (kind, [(*code, "HL70136")], "")


def _concept(holder: Json, name: str, peer: Peer) -> Value:
    kind = "CWE" if peer.version >= _CWE_SINCE else "CE"
    return (kind, [as_.cwe(peer, holder[name])], "")


def _text(holder: Json, name: str, peer: Peer) -> Value:  # noqa: ARG001  (the form of all)
    text = str(holder[name])
    return ("FT" if "\n" in text else "ST", [text], "")


def _time(holder: Json, name: str, peer: Peer) -> Value:  # noqa: ARG001  (the form of all)
    sent = extension(holder.get(f"_{name}"), EXTENSION + "originalText") or {}
    text = str(sent.get("valueString", "")) or str(holder[name]).replace(":", "")
    return ("TM", [text], "")


def _integer(holder: Json, name: str, peer: Peer) -> Value:  # noqa: ARG001  (the form of all)
    return ("NM", [str(holder[name])], "")


def _period(holder: Json, name: str, peer: Peer) -> Value:
    told = holder[name]
    return ("DR", [(as_.dated(told, "start", peer), as_.dated(told, "end", peer))], "")


def _moment(holder: Json, name: str, peer: Peer) -> Value:
    text = as_.dated(holder, name, peer)
    if len(text) <= 8:  # noqa: PLR2004  (YYYYMMDD)
        return ("DT", [text], "")
    return ("DTM" if peer.version >= _DTM_SINCE else "TS", [text], "")


def _quantity(holder: Json, name: str, peer: Peer) -> Value:
    told: Json = holder[name]
    unit = unit_of(told, peer)
    number, comparator = str(told.get("value", "")), str(told.get("comparator", ""))
    if comparator:
        return ("SN", [(comparator, number)], unit)
    return ("NM", [number], unit)


def unit_of(quantity: Json, peer: Peer) -> Field:
    """Return OBX-6: the unit as it was sent, and the UCUM code that it means."""
    unit, code = str(quantity.get("unit", "")), str(quantity.get("code", ""))
    if quantity.get("system") != _UCUM or not code:
        return unit
    spelt = peer.units.get(code, unit or code)
    if spelt == code:
        return (code, "", "UCUM")
    return (spelt, "", "L", code, "", "UCUM")


def _structured(holder: Json, name: str, peer: Peer) -> Value:
    told: Json = holder[name]
    if name == "valueRange":
        low, high = told.get("low", {}), told.get("high", {})
        pair = ("", str(low.get("value", "")), "-", str(high.get("value", "")))
        return ("SN", [pair], unit_of(low or high, peer))
    upper, lower = told.get("numerator", {}), told.get("denominator", {})
    sent = extension(holder.get(f"_{name}"), EXTENSION + "originalText") or {}
    sign = _RATIO_SIGNS.search(str(sent.get("valueString", "")))
    comparator = str(upper.get("comparator", ""))
    parts = (
        comparator,
        str(upper.get("value", "")),
        sign[0] if sign else ":",
        str(lower.get("value", "")),
    )
    return ("SN", [parts], unit_of(upper, peer))


def _sampled(holder: Json, name: str, peer: Peer) -> Value:  # noqa: ARG001  (the form of all)
    told: Json = holder[name]
    values = str(told.get("data", "")).split()
    width = max(1, int(told.get("dimensions", 1)))
    # Several dimensions were repetitions, each with a value of every one.
    count = len(values) // width if width > 1 else 1
    size = len(values) // count if count else 0
    rows = [values[at : at + size] for at in range(0, len(values), size or 1)] if values else []
    told_rows: list[Repetition] = [tuple("" if one == "E" else one for one in row) for row in rows]
    return ("NA", told_rows, "")


_VALUES: Final[Mapping[str, Callable[[Json, str, Peer], Value]]] = {
    "valueQuantity": _quantity,
    "valueCodeableConcept": _concept,
    "valueString": _text,
    "valueDateTime": _moment,
    "valueTime": _time,
    "valueInteger": _integer,
    "valueBoolean": _boolean,
    "valuePeriod": _period,
    "valueRange": _structured,
    "valueRatio": _structured,
    "valueSampledData": _sampled,
}


def _document(holder: Json) -> Value:
    attached = extension(holder, _ATTACHMENT)
    return document(attached.get("valueAttachment", {})) if attached else _NOTHING


def document(attachment: Json) -> Value:
    """Return an Attachment as ED with its bytes, or as RP where it is elsewhere."""
    major, _, minor = str(attachment.get("contentType", "application/octet-stream")).partition("/")
    kind, sub = _MEDIA.get(f"{major}/{minor}", (major, minor))
    if data := attachment.get("data"):
        return ("ED", [("", kind, sub, "Base64", str(data))], "")
    if url := attachment.get("url"):
        return ("RP", [(str(url), "", kind, sub)], "")
    return _NOTHING


_MEDIA: Final = {
    "application/pdf": ("AP", "PDF"),
    "text/plain": ("TEXT", "TEXT"),
    "text/html": ("TEXT", "HTML"),
    "application/rtf": ("AP", "RTF"),
    "text/rtf": ("AP", "RTF"),
    "application/xml": ("TEXT", "XML"),
    "application/dicom": ("Image", "DICOM"),
    "image/jpeg": ("Image", "JPEG"),
    "image/png": ("Image", "PNG"),
    "image/gif": ("Image", "GIF"),
    "image/tiff": ("Image", "TIFF"),
}


def nte(number: int, note: Json, peer: Peer) -> Segment:
    """Return an Annotation as NTE."""
    when = as_.moment(note.get("time"), peer.zone)
    return Segment("NTE", {1: str(number), 3: str(note.get("text", "")), 6: when})


def _with_bytes(observation: Json, record: Record) -> Json:
    """Return an Observation whose document has the bytes that lie apart."""
    attached = extension(observation, _ATTACHMENT)
    if attached is None:
        return observation
    whole = {**attached, "valueAttachment": with_bytes(attached["valueAttachment"], record)}
    return {**observation, "extension": [whole]}


def with_bytes(attachment: Json, record: Record) -> Json:
    """Return an Attachment with the data of the Binary that it speaks of."""
    binary = record.get({"reference": attachment.get("url", "")})
    data = (binary or {}).get("data")
    return {**attachment, "data": data} if data else attachment


def documents(
    start: int, report: Json, results: Sequence[Json], status: str, record: Record
) -> Iterator[Segment]:
    """Yield the presented forms of a report that no result has, as OBX from this set id on."""
    attached = [extension(one, _ATTACHMENT) or {} for one in results]
    known = {one.get("valueAttachment", {}).get("url") for one in attached} - {None}
    forms = [one for one in report.get("presentedForm", ()) if one.get("url") not in known]
    for at, one in enumerate(forms):
        kind, content, _ = document(with_bytes(one, record))
        if kind:
            title = str(one.get("title", "")) or "Report"
            code = ("11502-2", title, "LN")
            fields: dict[int, Field] = {1: str(start + at), 2: kind, 3: code, 5: content}
            yield Segment("OBX", {**fields, 11: status})


def is_note(observation: Json) -> bool:
    """Whether an Observation is the NTE of a report (docs/hl7-mapping.md, D3)."""
    codes = [one.get("code") for one in observation.get("code", {}).get("coding", ())]
    return codes == ["48767-8"] and "valueString" in observation
