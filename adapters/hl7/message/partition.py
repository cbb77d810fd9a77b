"""The partitions to which a message belongs: what shares one is applied in order.

They are the identifiers of its patients, with their assigning authorities, in PID and
MRG; a message without one belongs to its sender.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from adapters.hl7.message.tokenizer import Message, Repetition, Segment

PATH: Final = r"[A-Z][A-Z0-9]{2}-[1-9][0-9]?(\.[1-9][0-9]?){0,2}"
"""A field, component or subcomponent: `PID-3`, `PID-3.1`, `PID-3.4.2`."""

# The identifier list, else the older fields beside it (PID-2, PID-4; MRG-2, MRG-4).
_IDENTIFIERS: Final = {"PID": (3, 2, 4), "MRG": (1, 2, 4)}
# Begins the keys that the setting names, beside which the identities stay: barriers go by those.
_CHOSEN: Final = "by "


class Path(NamedTuple):
    """A place in a message; `component` 0 is the whole field, `sub` 0 the whole component."""

    segment: str
    field: int
    component: int
    sub: int


@lru_cache(64)
def paths(setting: str) -> tuple[Path, ...]:
    """Return the places that the setting names; ValueError for what is no list of them."""
    found = []
    for text in filter(None, (part.strip() for part in setting.split(","))):
        if not re.fullmatch(PATH, text):
            raise ValueError(f"{text} is no path such as PID-3.1")
        segment, _, numbers = text.partition("-")
        field, component, sub = (*map(int, numbers.split(".")), 0, 0)[:3]
        found.append(Path(segment, field, component, sub))
    return tuple(found)


def partition_keys(message: Message, sender: str, setting: str = "") -> tuple[str, ...]:
    """Return the names of the message's partitions, never none.

    With paths in `setting`, these are what lies there, each repetition for itself where
    all paths are of one field; the patients' identities stay beside them for barriers.
    """
    own = dict.fromkeys(key for segment in message.segments for key in identities(segment))
    chosen = dict.fromkeys(_chosen(message, paths(setting))) if setting else {}
    return (*chosen, *own) or (f"sender {sender}",)


def ordering(keys: Sequence[str]) -> list[str]:
    """Return those of a message's keys by which it is ordered among its like."""
    return [key for key in keys if key.startswith(_CHOSEN)] or list(keys)


def identifying(keys: Sequence[str]) -> list[str]:
    """Return those of a message's keys that name a patient, or its sender."""
    return [key for key in keys if not key.startswith(_CHOSEN)]


def identities(segment: Segment) -> list[str]:
    """Return the identifiers of a PID or MRG with their authorities; of others none."""
    for number in _IDENTIFIERS.get(segment.name, ()):
        found = [
            f"{value} {rep.raw(4)}" for rep in segment.repetitions(number) if (value := rep.peek(1))
        ]
        if found:
            return found
    return []


def _chosen(message: Message, wanted: Sequence[Path]) -> Iterator[str]:
    if len({(path.segment, path.field) for path in wanted}) > 1:
        values = [next(_values(message, path), "") for path in wanted]
        if any(values):
            yield _CHOSEN + " ".join(values)
        return
    for segment in message.named(wanted[0].segment):
        for rep in segment.repetitions(wanted[0].field):
            values = [_value(rep, path) for path in wanted]
            if any(values):
                yield _CHOSEN + " ".join(values)


def _values(message: Message, path: Path) -> Iterator[str]:
    for segment in message.named(path.segment):
        for rep in segment.repetitions(path.field):
            if value := _value(rep, path):
                yield value


def _value(rep: Repetition, path: Path) -> str:
    if not path.component:
        return rep.text
    return rep.peek(path.component, path.sub) if path.sub else rep.raw(path.component)
