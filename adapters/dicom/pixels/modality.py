"""The modality transformation: stored values to values with a meaning.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.11.1
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.dicom.pixels.arrays import Pixels
from adapters.dicom.pixels.groups import OfFrame, items, number
from adapters.dicom.pixels.lut import Lut, lut

RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"


@dataclass(frozen=True, slots=True)
class Rescale:
    """Output = slope x stored value + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, pixels: Pixels) -> Pixels:
        """Return the values in the units of the rescale type, as float."""
        return pixels.astype(np.float64) * self.slope + self.intercept


def modality(frame: OfFrame) -> Lut | Rescale:
    """Return the transformation of a frame: its table, else its rescaling, else none.

    An RT Dose has a factor of its own (3004,000E).
    """
    signed = number(frame.data_set, "PixelRepresentation") == 1
    for item in items(frame.data_set, "ModalityLUTSequence"):
        found = lut(item, signed=signed)
        if found is not None:
            return found
    if frame.get("SOPClassUID") == RT_DOSE:
        return Rescale(number(frame.data_set, "DoseGridScaling") or 1.0)
    group = frame.group("PixelValueTransformationSequence")
    # A slope of 0 would make everything equal; it means that nobody set it.
    slope = number(group, "RescaleSlope") or 1.0
    return Rescale(slope, number(group, "RescaleIntercept") or 0.0)
