"""The segments that records become, and the reason of each leaf that is in none of them.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 10: https://clsi.org/shop/standards/lis02/
"""

from dataclasses import dataclass, field

from adapters.hl7.records.answered import Known
from adapters.hl7.records.draft import Draft
from adapters.hl7.records.positions import Positions, Scope
from adapters.hl7.records.transmission import Leaf, Record, Transmission


@dataclass(slots=True)
class Translation:
    """The segments so far, and the reason of each leaf that is in none of them.

    `known` are stored orders that the results may answer.
    """

    transmission: Transmission
    positions: Positions
    segments: list[Draft] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    known: Known = field(default_factory=dict)

    def add(self, name: str) -> Draft:
        """Begin a segment."""
        self.segments.append(Draft(name))
        return self.segments[-1]

    def scope(self, *records: Record | None) -> Scope:
        """Return H and these records, read at the sender's places."""
        own = {record.type: record for record in records if record is not None}
        return Scope({"H": self.transmission.header, **own}, self.positions)

    def time(self, segment: Draft, number: int, leaf: Leaf | None) -> None:
        """Set a field to a time of a record."""
        if leaf is not None:
            segment.put(number, self.positions.moment(leaf.text), (leaf.address,))
