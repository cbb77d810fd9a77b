"""Lookup tables.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.11.1.1.1
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from adapters.dicom.pixels.arrays import Pixels

_MOST: Final = 65_536
_BYTE_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Lut:
    """A table of values up to `2 ** bits - 1`; `first` is the input that has its first one."""

    values: Pixels
    first: int
    bits: int

    def apply(self, pixels: Pixels) -> Pixels:
        """Return the table's values; inputs before or after it have its first or last one."""
        last = len(self.values) - 1
        return self.values[np.clip(np.asarray(pixels, np.int64) - self.first, 0, last)]

    def unit(self, pixels: Pixels) -> Pixels:
        """Return the table's values as fractions of its greatest possible value."""
        return self.apply(pixels).astype(np.float64) / ((1 << self.bits) - 1)


def lut(item: Dataset, *, signed: bool = False) -> Lut | None:
    """Return the table of an item of a LUT sequence; None where it has none that can be used.

    `signed` tells whether the table's inputs are, which decides how the second number of the
    descriptor is read.
    """
    descriptor = item.get("LUTDescriptor")
    data = item.get("LUTData")
    if descriptor is None or data is None:
        return None
    return table([int(one) for one in descriptor], data, signed=signed)


def table(descriptor: list[int], data: object, *, signed: bool = False) -> Lut | None:
    """Return the table that a descriptor and its data make; None when they do not.

    Entries are 16 bits wide, or 8 bits packed two to a word.
    """
    if len(descriptor) < 3:  # noqa: PLR2004  (entries, first input, bits)
        return None
    count, first, bits = descriptor[0] or _MOST, descriptor[1], descriptor[2]
    if signed and first >= _MOST // 2:
        first -= _MOST
    if not signed and first < 0:
        first += _MOST
    values = _entries(data, count)
    if values is None or not 1 <= bits <= 16:  # noqa: PLR2004  (an entry is a word)
        return None
    return Lut(_whole(values, count), first, bits)


def words(data: object) -> Pixels:
    """Return the 16-bit words of LUT Data, which pydicom gives as bytes or as numbers."""
    if isinstance(data, bytes | bytearray):
        return np.frombuffer(bytes(data[: len(data) // 2 * 2]), "<u2")
    numbers = [data] if isinstance(data, int) else list(data)  # type: ignore[call-overload]
    return (np.asarray(numbers, np.int64) & (_MOST - 1)).astype(np.uint16)


def _entries(data: object, count: int) -> Pixels | None:
    if isinstance(data, bytes | bytearray) and len(data) < 2 * count:
        return np.frombuffer(bytes(data), np.uint8) if data else None
    found = words(data)
    if len(found) >= count:
        return found
    packed = np.frombuffer(found.astype("<u2").tobytes(), np.uint8)
    return packed if len(packed) else None


def _whole(values: Pixels, count: int) -> Pixels:
    """Repeat the last value where a table is shorter than it says."""
    if len(values) >= count:
        return values[:count]
    return np.concatenate([values, np.full(count - len(values), values[-1], values.dtype)])
