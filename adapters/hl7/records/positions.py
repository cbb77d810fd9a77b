"""Where what stands in records: as the standard says, or as a profile does.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 13: https://clsi.org/shop/standards/lis02/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.hl7.mapping.sender_rules import Place, QcRule
from adapters.hl7.profiles.model import Astm, AstmRole, place_of
from adapters.hl7.records.transmission import Leaf, Record

_STANDARD: Final[Mapping[AstmRole, str]] = {
    "name": "P-6",
    "birth_date": "P-8",
    "gender": "P-9",
    "address": "P-11",
    "phone": "P-13",
    "patient_physician": "P-14",
    "location": "P-26",
    "specimen": "O-3.1",
    "instrument_specimen": "O-4",
    "order_test": "O-5",
    "priority": "O-6",
    "ordered": "O-7",
    "collected": "O-8",
    "action": "O-12",
    "received": "O-15",
    "specimen_type": "O-16",
    "physician": "O-17",
    "reported": "O-23",
    "report_type": "O-26",
    "test": "R-3",
    "test_name": "R-3.5",
    "value": "R-4",
    "unit": "R-5",
    "range": "R-6",
    "flag": "R-7",
    "status": "R-9",
    "operator": "R-11",
    "started": "R-12",
    "completed": "R-13",
    "instrument": "R-14",
}
_DIGITS: Final = re.compile(r"\d{8,14}\Z")


@dataclass(frozen=True, slots=True)
class Positions:
    """The places of one sender; `astm` is what its profile says besides."""

    places: Mapping[AstmRole, Place]
    patient_ids: tuple[Place, ...]
    astm: Astm
    qc: tuple[QcRule, ...] = ()

    @classmethod
    def of(cls, astm: Astm, qc: tuple[QcRule, ...] = ()) -> "Positions":
        """Return the places; what a profile puts somewhere is not read from there as else."""
        said = {role: place_of(text) for role, text in astm.positions.items()}
        taken = {(place.segment, place.number) for place in said.values()}
        places = dict(said)
        for role, text in _STANDARD.items():
            place = place_of(text)
            if role not in said and (place.segment, place.number) not in taken:
                places[role] = place
        ids = tuple(
            place
            for place in map(place_of, astm.patient_ids)
            if (place.segment, place.number) not in taken
        )
        return cls(places, ids, astm, qc)

    def moment(self, text: str) -> str:
        """Return a time as YYYYMMDDHHMMSS where the profile's formats read it, else as it is."""
        if _DIGITS.match(text):
            return text
        for form in self.astm.date_formats:
            try:
                # The zone is the sender's, and is added where the time is mapped.
                found = datetime.strptime(text, form)  # noqa: DTZ007
            except ValueError:
                continue
            timed = any(mark in form for mark in ("%H", "%I", "%X", "%c", "%T"))
            return found.strftime("%Y%m%d%H%M%S" if timed else "%Y%m%d")
        return text


@dataclass(frozen=True, slots=True)
class Scope:
    """The records that speak of one thing, by their types, read at a sender's places."""

    records: Mapping[str, Record]
    positions: Positions

    def record(self, role: AstmRole) -> tuple[Record, Place] | None:
        """Return the record and place of a role, None where there is none or it is empty."""
        place = self.positions.places.get(role)
        record = self.records.get(place.segment) if place else None
        if place is None or record is None or not record.raw(place.number):
            return None
        return record, place

    def leaf(self, role: AstmRole) -> Leaf | None:
        """Return the leaf of a role, None where it is empty."""
        found = self.record(role)
        return found[0].leaf(found[1].number, found[1].component or 1) if found else None

    def parts(self, role: AstmRole) -> list[Leaf]:
        """Return the components of a role's field, or the one that the place names."""
        found = self.record(role)
        if found is None:
            return []
        record, place = found
        if place.component:
            leaf = record.leaf(place.number, place.component)
            return [leaf] if leaf else []
        return record.components(place.number)

    def every(self, role: AstmRole) -> list[Leaf]:
        """Return what is not empty in a role's field, of all repetitions."""
        found = self.record(role)
        return list(found[0].leaves(found[1].number)) if found else []

    def whole(self, role: AstmRole) -> tuple[str, tuple[str, ...]]:
        """Return a role's field as one text, with the addresses of its leaves."""
        found = self.record(role)
        if found is None:
            return "", ()
        record, place = found
        if place.component:
            leaf = record.leaf(place.number, place.component)
            return (leaf.text, (leaf.address,)) if leaf else ("", ())
        return record.whole(place.number)

    def at(self, place: Place) -> Leaf | None:
        """Return the leaf at a place of these records."""
        record = self.records.get(place.segment)
        return record.leaf(place.number, place.component or 1) if record else None

    def period(self) -> str:
        """Return the year, month or day in which the specimen has its number, "" for ever.

        It is that of the collection, else of the order, else of the message.
        """
        digits = {"year": 4, "month": 6, "day": 8}.get(self.positions.astm.numbers, 0)
        told = (self.leaf("collected"), self.leaf("ordered"), self.at(Place("H", 14)))
        texts = (self.positions.moment(leaf.text) for leaf in told if leaf)
        dated = next((text for text in texts if _DIGITS.match(text)), "")
        return dated[:digits]

    def is_qc(self) -> bool:
        """Whether this is quality control: O-12 Q, H-12 Q, or a sign of the profile (14)."""
        action = self.leaf("action")
        mode = self.at(Place("H", 12))
        if (action and action.text.upper() == "Q") or (mode and mode.text.upper() == "Q"):
            return True
        return any(
            (leaf := self.at(rule.place)) is not None and rule.pattern.search(leaf.text)
            for rule in self.positions.qc
        )

    def code(self, role: AstmRole) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        """Return code and name of a test, with the addresses of each (6.6.1).

        The code is the manufacturer's (component 4), or what the profile says; without it
        the universal one, else the first that there is.
        """
        parts = self.parts(role)
        if not parts:
            return "", "", (), ()
        wanted = self.positions.astm.test_parts
        chosen = [parts[n - 1] for n in wanted if n <= len(parts)]
        while chosen and not chosen[-1].text:
            chosen.pop()
        if not any(one.text for one in chosen):
            chosen = [one for one in parts if one.text][:1]
        code = "^".join(one.text for one in chosen)
        last = parts.index(chosen[-1]) + 1 if chosen else len(parts)
        name = self.leaf("test_name") if role == "test" and len(parts) > 1 else None
        if (name is None or name in chosen) and last < len(parts):
            name = parts[last]
        if name is None or name in chosen or not any(one.isalpha() for one in name.text):
            return code, "", tuple(o.address for o in chosen if o.text), ()
        return code, name.text, tuple(o.address for o in chosen if o.text), (name.address,)
