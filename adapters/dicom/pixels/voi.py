"""The values of interest: which values are black, which white, and what is between.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.11.2
"""

from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np

from adapters.dicom.pixels.arrays import Pixels
from adapters.dicom.pixels.groups import OfFrame, items, number, numbers, value
from adapters.dicom.pixels.lut import Lut, lut

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
FUNCTIONS: Final[tuple[Function, ...]] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """A center and a width in the units of the modality transformation, and a function."""

    center: float
    width: float
    function: Function = "LINEAR"

    def unit(self, pixels: Pixels) -> Pixels:
        """Return fractions: 0 is black before any inversion, 1 is white."""
        x = np.asarray(pixels, np.float64)
        if self.function == "SIGMOID":
            # Past this the exponential leaves the range of a float, and the result is 0 or 1.
            power = np.clip(-4 * (x - self.center) / self.width, -700, 700)
            return cast("Pixels", 1 / (1 + np.exp(power)))
        if self.function == "LINEAR_EXACT":
            return np.clip((x - self.center) / self.width + 0.5, 0, 1)
        if self.width <= 1:
            return np.where(x <= self.center - 0.5, 0.0, 1.0)
        return np.clip((x - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


def usable(window: Window) -> bool:
    """Tell whether a width means something: at least 1 for LINEAR, above 0 for the others."""
    return window.width >= 1 if window.function == "LINEAR" else window.width > 0


def voi(frame: OfFrame, *, signed: bool) -> Lut | Window | None:
    """Return what the instance asks for: its table, else its first window, else None.

    `signed` tells whether values after the modality transformation may be negative.
    """
    group = frame.group("FrameVOILUTSequence")
    for item in items(group, "VOILUTSequence"):
        found = lut(item, signed=signed)
        if found is not None:
            return found
    return next((one for one in windows(frame) if usable(one)), None)


def windows(frame: OfFrame) -> list[Window]:
    """Return the windows that the instance offers, in its order."""
    group = frame.group("FrameVOILUTSequence")
    said = value(group, "VOILUTFunction")
    function = cast("Function", said) if said in FUNCTIONS else "LINEAR"
    pairs = zip(numbers(group, "WindowCenter"), numbers(group, "WindowWidth"), strict=False)
    return [Window(center, width, function) for center, width in pairs]


def spread(values: Pixels) -> Window:
    """Return the window from the least to the greatest of these values."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return Window(0.5, 1, "LINEAR_EXACT")
    low, high = float(finite.min()), float(finite.max())
    return Window((low + high) / 2, max(high - low, 1e-12), "LINEAR_EXACT")


def padding(frame: OfFrame) -> tuple[float, float] | None:
    """Return the least and the greatest stored value that is no picture; None: all is picture."""
    first = number(frame.data_set, "PixelPaddingValue")
    if first is None:
        return None
    last = number(frame.data_set, "PixelPaddingRangeLimit")
    last = first if last is None else last
    return min(first, last), max(first, last)
