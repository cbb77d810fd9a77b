"""Orders as records: the answer to a query, and what is sent without one.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 8 and 12: https://clsi.org/shop/standards/lis02/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from adapters.hl7.records.transmission import Delimiters, escaped

_MARKS: Final = Delimiters()
Action = Literal["N", "C"]
"""O-12: a new order, or one that is cancelled."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Tests of one specimen of one patient; texts are "" where nothing is known.

    `name` and `physician` are components: family, given, middle; and identifier, family,
    given. Times are YYYYMMDDHHMMSS in the analyzer's zone, or less of it. `requests` are
    the ids of the ServiceRequests.
    """

    specimen: str
    tests: tuple[str, ...]
    patient: str = ""
    name: tuple[str, ...] = ()
    birth_date: str = ""
    gender: str = ""
    priority: str = ""
    ordered: str = ""
    collected: str = ""
    specimen_type: str = ""
    physician: tuple[str, ...] = ()
    requests: tuple[str, ...] = field(default=(), compare=False)


def orders(
    found: Sequence[Ordered], now: datetime, number: str, *, action: Action, queried: bool
) -> list[str]:
    """Return the records of a message, without their ends.

    `number` is the message's control id, `queried` tells that it answers a query: then a
    message without orders ends with I (section 12.1.3).
    """
    records = [_header(now, number)]
    patients = list(dict.fromkeys((one.patient, one.name) for one in found))
    for place, patient in enumerate(patients, 1):
        own = [one for one in found if (one.patient, one.name) == patient]
        records.append(_patient(place, own[0]))
        records += [_order(n, one, action, queried=queried) for n, one in enumerate(own, 1)]
    code = "N" if found or not queried else "I"
    records.append(f"L|1|{code}")
    return records


def failed(now: datetime, number: str) -> list[str]:
    """Return the answer to a query that could not be carried out: L-3 is Q."""
    return [_header(now, number), "L|1|Q"]


def _header(now: datetime, number: str) -> str:
    fields = ["H", "\\^&", number, "", "Sangam", *([""] * 6), "P", "LIS2-A2"]
    return _record([*fields, now.strftime("%Y%m%d%H%M%S")])


def _patient(place: int, one: Ordered) -> str:
    said = {
        3: _text(one.patient),
        6: _parts(one.name),
        8: _text(one.birth_date),
        9: _text(one.gender),
    }
    return _numbered("P", place, said)


def _order(place: int, one: Ordered, action: Action, *, queried: bool) -> str:
    said = {
        3: _text(one.specimen),
        5: _MARKS.repetition.join(f"^^^{_text(test)}" for test in one.tests),
        6: _text(one.priority),
        7: _text(one.ordered),
        8: _text(one.collected),
        12: action,
        16: _text(one.specimen_type),
        17: _parts(one.physician),
        26: "Q" if queried else "O",
    }
    return _numbered("O", place, said)


def _numbered(kind: str, place: int, said: dict[int, str]) -> str:
    last = max((number for number, text in said.items() if text), default=2)
    return _record([kind, str(place), *(said.get(number, "") for number in range(3, last + 1))])


def _text(text: str) -> str:
    return escaped(text, _MARKS)


def _parts(texts: Sequence[str]) -> str:
    return _MARKS.component.join(_text(text) for text in texts).rstrip(_MARKS.component)


def _record(fields: Sequence[str]) -> str:
    return _MARKS.field.join(fields)


def encoded(records: Sequence[str], codec: str) -> list[bytes]:
    """Return records as bytes, each with its CR.

    A character that the analyzer's character set does not have is written as its UTF-8
    bytes in hexadecimal escapes, so that nothing is turned into a question mark.
    """
    return [b"".join(_bytes(record, codec)) + b"\r" for record in records]


def _bytes(record: str, codec: str) -> Iterator[bytes]:
    for one in record:
        try:
            yield one.encode(codec)
        except UnicodeEncodeError:
            mark = _MARKS.escape
            yield f"{mark}X{one.encode().hex().upper()}{mark}".encode("ascii")
