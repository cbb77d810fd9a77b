"""Which of the messages that wait may start, while others are being written.

A message starts when no earlier unfinished one holds what it waits for. What is
unfinished is in the database, so this holds for any number of processes: one that sees
an old line finds more unfinished than there is, and takes less.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.hl7.inbox.barriers import Claims


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an unfinished message in the line, which is in the order of receipt.

    `due` is False while it waits for another try; `size` are its bytes.
    """

    id: int
    claims: Claims
    due: bool
    size: int


@dataclass(slots=True)
class Choice:
    """What of a line may start now as one group.

    `busy`: something that is being written stands in the line. `blocked` are the claims of
    messages that wait for a time or for an operator, `left` those that wait behind such
    claims; `passed` is the last message before which all of the line only waits like this.
    """

    group: list[Place] = field(default_factory=list)
    busy: bool = False
    blocked: set[str] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    passed: int = 0

    @property
    def leads(self) -> bool:
        """Whether nothing before this place starts or is being written."""
        return not self.group and not self.busy

    def wait(self, place: Place) -> None:
        """Leave a message to its time, or to those that it waits for."""
        self.blocked |= place.claims.holds
        if place.due:
            self.left.add(place.id)
        if self.leads:
            self.passed = place.id


@dataclass(frozen=True, slots=True)
class Line:
    """Unfinished messages, and what is known of those before them.

    `holding` are the claims of dead letters behind which all wait, with their ids.
    """

    places: Sequence[Place]
    blocked: Collection[str] = ()
    holding: Mapping[str, int] = field(default_factory=dict)

    def waits(self, place: Place, blocked: set[str]) -> bool:
        """Whether a message is not to be tried now, and those behind it neither."""
        if not place.due or place.claims.waits & blocked:
            return True
        return any(self.holding.get(one, place.id) < place.id for one in place.claims.waits)


def choose(line: Line, flying: Collection[int], *, most: int, most_bytes: int) -> Choice:
    """Return the next group of at most so many messages that share nothing.

    `flying` are those that are being written, here or elsewhere. Nothing passes a barrier:
    its patients may have other names afterwards. One message may have more bytes.
    """
    choice = Choice(blocked=set(line.blocked))
    # Also of one that came later: the message before it was replayed, or is seen only now.
    taken = {one for place in line.places if place.id in flying for one in place.claims.holds}
    room = most_bytes
    for place in line.places:
        busy = place.id in flying
        if not busy and line.waits(place, choice.blocked):
            choice.wait(place)
            continue
        if busy or place.claims.waits & taken:
            choice.busy = True
        elif choice.group and (place.claims.alone or place.size > room):
            break
        else:
            choice.group.append(place)
            room -= place.size
        taken |= place.claims.holds
        if place.claims.alone or len(choice.group) == most:
            break
    return choice
