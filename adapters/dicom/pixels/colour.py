"""Colour: palettes, sample depth, YBR.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.7.6.3.1.2
"""

from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from adapters.dicom.pixels.arrays import Pixels, Shown
from adapters.dicom.pixels.groups import OfFrame, number, numbers, value
from adapters.dicom.pixels.lut import Lut, table, words
from adapters.dicom.pixels.refusals import NotShown
from adapters.dicom.pixels.segmented import expanded

_COLOURS: Final = ("Red", "Green", "Blue")
_BYTE: Final = 8
# Inverse of the matrix of C.7.6.3.1.2, YBR_FULL.
_RGB_OF_YBR: Final = np.array([[1, 1, 1], [0, -0.344136286, 1.772], [1.402, -0.714136286, 0]])
_MIDDLE: Final = np.array([0.0, 128.0, 128.0])


def palette(frame: OfFrame, stored: Pixels) -> Shown:
    """Return the colours of indices; NotShown when the palette is absent or broken."""
    tables = [_table(frame.data_set, one) for one in _COLOURS]
    planes = [_bytes(one.apply(stored), _depth(one)) for one in tables]
    return np.stack(planes, axis=-1)


def has_palette(frame: OfFrame) -> bool:
    """Tell whether the instance brings a palette."""
    return value(frame.data_set, "RedPaletteColorLookupTableDescriptor") is not None


def samples(frame: OfFrame, stored: Pixels, photometric: str) -> Shown:
    """Return three samples of a pixel as RGB, 8 bits each."""
    bits = int(number(frame.data_set, "BitsStored") or _BYTE)
    shown = _bytes(stored, max(bits, 1))
    return rgb_of_ybr(shown) if photometric.startswith("YBR_FULL") else shown


def rgb_of_ybr(ybr: Shown) -> Shown:
    """Return RGB of YBR_FULL, rounded and held inside 0 to 255."""
    found = (ybr.astype(np.float32) - _MIDDLE) @ _RGB_OF_YBR
    rounded: Shown = np.clip(np.rint(found), 0, 255).astype(np.uint8)
    return rounded


def _table(data_set: Dataset, colour: str) -> Lut:
    name = f"{colour}PaletteColorLookupTable"
    descriptor = [int(one) for one in numbers(data_set, f"{name}Descriptor")]
    data = value(data_set, f"{name}Data")
    if data is None and len(descriptor) > 1:
        most = descriptor[0] or 1 << 16
        segments = value(data_set, f"Segmented{name}Data")
        made = expanded(_words(segments, descriptor), most) if segments is not None else None
        data = None if made is None else made.astype("<u2").tobytes()
    signed = number(data_set, "PixelRepresentation") == 1
    found = None if data is None else table(descriptor, data, signed=signed)
    if found is None:
        raise NotShown("The instance has no palette that can be read")
    return found


def _words(segments: object, descriptor: list[int]) -> list[int]:
    """Return a segmented table's numbers, which are bytes where its entries are."""
    if isinstance(segments, bytes | bytearray) and descriptor[2:] == [_BYTE]:
        return list(segments)
    return [int(one) for one in words(segments)]


def _depth(one: Lut) -> int:
    """Return the bits that a palette uses: some say 16 and hold 8."""
    return _BYTE if int(one.values.max(initial=0)) < 1 << _BYTE else max(one.bits, _BYTE)


def _bytes(values: Pixels, bits: int) -> Shown:
    if bits <= _BYTE:
        most = (1 << bits) - 1
        scaled = values if bits == _BYTE else values.astype(np.float64) * 255 / most
        return np.clip(scaled, 0, 255).astype(np.uint8)
    return (values.astype(np.int64) >> (bits - _BYTE)).clip(0, 255).astype(np.uint8)
