"""What a trigger event of ADT does to the Encounter that is stored.

HL7 v2.9 chapter 3, section 3.3; docs/hl7-mapping.md has the table of events.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from adapters.hl7.mapping.context import Json

# Events that do not say what the visit is now: it stays what it was.
_STATUS_KEPT: Final = frozenset(
    "A08 A09 A12 A15 A16 A17 A25 A26 A32 A33 A54 A55 A60 A61 A62".split()  # noqa: SIM905
)
_CLASS_CHANGES: Final = frozenset(("A06", "A07"))
_TRANSFER_UNDONE: Final = "A12"
_DISCHARGE_UNDONE: Final = "A13"
_DISCHARGE: Final = ("dischargeDisposition", "destination")
_OPEN: Final = frozenset(("planned", "arrived", "in-progress", "onleave"))


def effect(event: str, when: str, *, ends: bool) -> Callable[[Json, Json], Json]:
    """Return what the event does to a stored Encounter (Write.effect); `when` is its time.

    `ends`: the message tells when the visit ended.
    """
    return partial(happened, event, when, ends=ends)


def happened(event: str, when: str, stored: Json, merged: Json, *, ends: bool = False) -> Json:
    """Return the Encounter after the event: of `stored`, and of the update that it brings."""
    found = dict(merged)
    # A result that came first knew no status (decision D13: an update never says unknown).
    if event in _STATUS_KEPT and stored.get("status") != "unknown":
        found["status"] = stored["status"]
    # PV1-2 is empty: no statement.
    if found.get("class", {}).get("code") == "UNK" and "class" in stored:
        found["class"] = stored["class"]
    if found.get("status") == "unknown" and "status" in stored:
        found["status"] = stored["status"]
    if event in _CLASS_CHANGES and _is_other_class(stored, found):
        period = {"end": when} if when else {"start": stored.get("period", {}).get("start")}
        past = {"class": stored["class"], "period": {k: v for k, v in period.items() if v}}
        if past["period"]:
            found["classHistory"] = [*stored.get("classHistory", ()), past]
    # Who comes again under the number of a visit that was over has not left.
    again = stored.get("status") == "finished" and found["status"] in _OPEN and not ends
    if event == _DISCHARGE_UNDONE or again:
        _reopen(found)
    locations = _locations(event, when, stored, merged)
    found.pop("location", None)
    if locations:
        found["location"] = locations
    return found


def unfinished(stored: Json, given: Json) -> Json:
    """Return what a late message gives a visit: to one that goes on, no end that was before."""
    if given["resourceType"] != "Encounter" or stored.get("status") not in _OPEN:
        return given
    found = dict(given)
    _reopen(found)
    return found


def _is_other_class(stored: Json, merged: Json) -> bool:
    before, now = (one.get("class", {}) for one in (stored, merged))
    return bool(before) and (before.get("system"), before.get("code")) != (
        now.get("system"),
        now.get("code"),
    )


def _reopen(encounter: Json) -> None:
    """Take back the discharge: neither its end nor where the patient went is true."""
    for name, members in (("period", ("end", "_end")), ("hospitalization", _DISCHARGE)):
        if name in encounter:
            left = {k: v for k, v in encounter[name].items() if k not in members}
            encounter[name] = left
            if not left:
                del encounter[name]


def _locations(event: str, when: str, stored: Json, merged: Json) -> list[Json]:
    # What the message deletes (`""`) is in the update no more.
    left = {_target(one) for one in merged.get("location", ())}
    before = [dict(one) for one in stored.get("location", ()) if _target(one) in left]
    said = [one for one in merged.get("location", ()) if one not in stored.get("location", ())]
    if event == _TRANSFER_UNDONE:
        return _returned(before, said)
    for one in said:
        _placed(before, one, when)
    return before


def _placed(places: list[Json], said: Json, when: str) -> None:
    """Enter a location into the history of the visit."""
    target, status = _target(said), said["status"]
    same = [one for one in places if _target(one) == target and _kind(one) == _kind(said)]
    if any(one["status"] == status for one in same):
        return
    if status == "completed":
        _left([one for one in same if one["status"] == "active"], when)
        if not any(one["status"] == "completed" for one in same):
            places.insert(0, said)
        return
    if status == "active":
        _left([p for p in places if p["status"] == "active" and _kind(p) == _kind(said)], when)
        expected = [p for p in same if p["status"] in {"planned", "reserved"}]
        places[:] = [one for one in places if one not in expected]
        places.append({**said, "period": {"start": when}} if when else said)
        return
    # A bed is planned or reserved in place of the one that was.
    places[:] = [one for one in places if one["status"] != status]
    places.append(said)


def _left(places: list[Json], when: str) -> None:
    for place in places:
        place["status"] = "completed"
        if when:
            place["period"] = {**place.get("period", {}), "end": when}


def _returned(before: list[Json], said: list[Json]) -> list[Json]:
    """The patient is back at what the message names, else where the transfer began."""
    active = [one for one in said if one["status"] == "active" and not _kind(one)]
    past = [one for one in before if one["status"] == "completed"]
    if not active and not past:
        return before
    target = _target(active[0]) if active else _target(past[-1])
    kept = [one for one in before if one["status"] != "active" or _target(one) == target]
    places = [one for one in kept if _target(one) == target and not _kind(one)]
    if not places:
        return [*kept, active[0]]
    back = places[-1]
    back["status"] = "active"
    if "period" in back:
        left = {k: v for k, v in back["period"].items() if k != "end"}
        back["period"] = left
        if not left:
            del back["period"]
    return kept


def _target(place: Json) -> str:
    where = place["location"]
    return str(where.get("reference") or where.get("display") or "")


def _kind(place: Json) -> bool:
    """Whether the location is a temporary one (PV1-11)."""
    return bool(place.get("extension"))
