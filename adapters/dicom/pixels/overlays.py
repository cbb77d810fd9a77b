"""Overlay planes (60xx).

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.9.2
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from adapters.dicom.pixels.arrays import Shown

_GROUPS: Final = range(0x6000, 0x6020, 2)
_WHITE: Final = 255


def drawn(shown: Shown, data_set: Dataset, frame: int) -> Shown:
    """Return the image with the overlays of a frame (the first is 0) in white."""
    found = shown.copy()
    for group in _GROUPS:
        plane = _plane(data_set, group, frame)
        if plane is not None:
            _draw(found, *plane)
    return found


def _draw(found: Shown, plane: NDArray[np.bool_], top: int, left: int) -> None:
    """Draw a plane whose first point lies at a row and column, which may lie outside."""
    rows, columns = found.shape[:2]
    first_row, first_column = max(0, top), max(0, left)
    part = plane[first_row - top : rows - top, first_column - left : columns - left]
    height, width = part.shape
    if not height or not width:
        return
    found[first_row : first_row + height, first_column : first_column + width][part] = _WHITE


def _plane(data_set: Dataset, group: int, frame: int) -> tuple[NDArray[np.bool_], int, int] | None:
    """Return a plane and where it lies; None where the group has none for this frame."""
    rows, columns = _number(data_set, group, 0x0010), _number(data_set, group, 0x0011)
    data = data_set.get((group, 0x3000))
    index = frame - (_number(data_set, group, 0x0051) or 1) + 1
    count = _number(data_set, group, 0x0015) or 1
    if data is None or not data.value or not rows or not columns:
        return None
    if count == 1 and not _number(data_set, group, 0x0051):
        index = 0
    bits = np.unpackbits(np.frombuffer(bytes(data.value), np.uint8), bitorder="little")
    part = bits[index * rows * columns : (index + 1) * rows * columns]
    if not 0 <= index < count or part.size < rows * columns:
        return None
    origin = data_set.get((group, 0x0050))
    top, left = (int(one) for one in origin.value) if origin and origin.value else (1, 1)
    return part.reshape(rows, columns).astype(bool), top - 1, left - 1


def _number(data_set: Dataset, group: int, element: int) -> int:
    found = data_set.get((group, element))
    try:
        return int(found.value) if found is not None else 0
    except (TypeError, ValueError):
        return 0
