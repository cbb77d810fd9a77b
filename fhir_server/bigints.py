"""Many numbers as PostgreSQL takes them without reading each.

https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES
"""

import struct
from collections.abc import Sequence
from typing import Final

_OID: Final = 20
_HEAD: Final = struct.Struct(">iiIii")
_ELEMENT: Final = struct.Struct(">iq")


class Bigints(bytes):
    """An array of `bigint` in PostgreSQL's binary format, to be sent as it is."""

    __slots__ = ()


def bigints(numbers: Sequence[int]) -> Bigints:
    """Return the array of signed 64-bit numbers, at least one."""
    # Dimensions, whether there are nulls, the type; length and first index; each behind its size.
    head = _HEAD.pack(1, 0, _OID, len(numbers), 1)
    return Bigints(head + b"".join(_ELEMENT.pack(8, one) for one in numbers))
