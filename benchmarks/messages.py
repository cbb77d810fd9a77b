"""ORU^R01 messages over MLLP, numbered so that no two are equal.

HL7 v2.5.1, chapter 7, ORU^R01; MLLP, release 1.
"""

from collections.abc import Iterator
from itertools import cycle

from adapters.hl7.simulate.chemistry import oru
from adapters.hl7.simulate.values import CRITICAL_SHARE

OBX = 25
MODELS = 4_000


def messages(first: int, critical_share: float = CRITICAL_SHARE) -> Iterator[bytes]:
    """Return ever more MLLP blocks, numbered from `first`.

    Some thousand messages are made beforehand by the analyzer's simulation and then
    only get new numbers (control id, order, specimen), which takes 4 µs. `critical_share` of
    them, as a rule 1.5 %, hold a critical result (simulate/values.py), the others none.
    """
    models = [
        (f"{seed:010d}".encode(), oru(seed, OBX, critical_share))
        for seed in range(first, first + MODELS)
    ]
    return (
        b"\x0b" + model.replace(digits, f"{number:010d}".encode()) + b"\x1c\r"
        for number, (digits, model) in enumerate(cycle(models), first)
    )
