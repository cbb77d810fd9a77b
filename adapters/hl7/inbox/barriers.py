"""What a message waits for: others of its partitions, and the events that join patients.

HL7 v2.9 chapter 3, sections 3.3.40 and 3.6.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.message.partition import identifying, ordering

_EVENTS: Final = "A17 A18 A24 A30 A34 A35 A36 A37 A39 A40 A41 A42 A43 A44 A45 A46 A47 A49 A50 A51"
BARRIERS: Final = frozenset(_EVENTS.split())
"""Events about two patients, or two numbers of one: nothing of either passes them."""

# Of a channel, of any channel, and of a barrier.
_OWN, _ANY, _BARRIER = "own", "any", "barrier"


@dataclass(frozen=True, slots=True)
class Claims:
    """Why one message waits for an earlier one: something of its `waits` is in the other's `holds`.

    `alone` is a barrier, which shares no transaction with others.
    """

    holds: frozenset[str]
    waits: frozenset[str]
    alone: bool


def claims(
    keys: Sequence[str], channel: str, event: str, same: Mapping[str, str], *, scope: str
) -> Claims:
    """Return the claims of a message with these partition keys.

    `same` gives the name under which a key goes since its patient was merged. Under the
    `scope` "channel" only messages of one channel wait for one another, but all wait for
    barriers, which wait for all.
    """
    lane = channel if scope == "channel" else ""
    names = {same.get(key, key) for key in identifying(keys)}
    own = {f"{_OWN} {lane} {same.get(key, key)}" for key in ordering(keys)}
    crossing = {f"{_ANY} {name}" for name in names}
    passing = {f"{_BARRIER} {name}" for name in names}
    if event in BARRIERS:
        return Claims(frozenset(own | crossing | passing), frozenset(own | crossing), alone=True)
    return Claims(frozenset(own | crossing), frozenset(own | passing), alone=False)
