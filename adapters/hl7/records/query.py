"""Q records: what an analyzer asks for.

CLSI LIS02-A2 (ASTM E1394), section 11: https://clsi.org/shop/standards/lis02/
"""

from dataclasses import dataclass
from typing import Final

from adapters.hl7.records.results import requests
from adapters.hl7.records.transmission import Record, Transmission

_ALL: Final = "ALL"
_PATIENT, _SPECIMEN = 1, 2


@dataclass(frozen=True, slots=True)
class Request:
    """What one Q record asks for, or takes back.

    `named` are (patient, specimen) of Q-3, either may be ""; none at all asks for
    everything. `tests` are the analyzer's codes, none for all. `cancels` takes the last
    request back (Q-13 A).
    """

    named: tuple[tuple[str, str], ...]
    tests: frozenset[str]
    cancels: bool


def asked(transmission: Transmission) -> list[Request]:
    """Return the requests of a message."""
    return [_request(record) for record in requests(transmission)]


def _request(record: Record) -> Request:
    named = []
    for repetition in record.repetitions(3):
        texts = [leaf.text for leaf in record.components(3, repetition)]
        texts += [""] * (_SPECIMEN - len(texts))
        # Some makers put rack and position before the specimen's number.
        specimen = texts[1] or next((text for text in texts[2:] if text), "")
        if (texts[0] or specimen) and _ALL not in {texts[0].upper(), specimen.upper()}:
            named.append((texts[0], specimen))
    tests = set()
    for repetition in record.repetitions(5):
        said = [leaf.text for leaf in record.components(5, repetition) if leaf.text]
        tests.update(said[:1])
    if any(text.upper() == _ALL for text in tests):
        tests = set()
    status = record.leaf(13)
    return Request(tuple(named), frozenset(tests), bool(status and status.text.upper() == "A"))
