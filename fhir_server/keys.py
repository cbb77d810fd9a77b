"""Surrogate keys and resource ids in order of time.

A key is 41 bits of milliseconds since 2020, 10 bits of process number and 12
bits of counter, so that keys need no round trip to the database, never collide
and sort by creation.
"""

import time
from collections.abc import Callable

import uuid_utils

EPOCH_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
NODES = 1 << 10
_COUNTER_BITS = 12
_NODE_BITS = 10


def new_id() -> str:
    """Return a time-ordered UUID (RFC 9562 version 7) as a FHIR id."""
    return str(uuid_utils.uuid7())


def key_source(node: int) -> Callable[[], int]:
    """Return a function that gives the next key of process `node` (0 to 1,023).

    More than 4,096 keys in one millisecond borrow from the next one.
    """
    if not 0 <= node < NODES:
        raise ValueError(f"node must be 0 to {NODES - 1}")
    last = 0

    def new_key() -> int:
        nonlocal last
        now = (time.time_ns() // 1_000_000 - EPOCH_MS) << _COUNTER_BITS
        last = max(last + 1, now)
        tick, counter = last >> _COUNTER_BITS, last & ((1 << _COUNTER_BITS) - 1)
        return (tick << (_NODE_BITS + _COUNTER_BITS)) | (node << _COUNTER_BITS) | counter

    return new_key
