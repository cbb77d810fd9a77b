"""The grey display chain: modality, values of interest, presentation.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_N.2
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.dicom.pixels.arrays import Pixels, Shown
from adapters.dicom.pixels.groups import OfFrame
from adapters.dicom.pixels.lut import Lut
from adapters.dicom.pixels.modality import Rescale, modality
from adapters.dicom.pixels.voi import Window, padding, spread, voi

_WHITE: Final = 255
# Values are looked up rather than computed where the frame has more pixels than this.
_TABLE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Grey:
    """What a frame says of how it is to be shown."""

    modality: Lut | Rescale
    voi: Lut | Window | None
    padding: tuple[float, float] | None
    inverse: bool


def grey(frame: OfFrame, stored: Pixels) -> Grey:
    """Return the chain that a frame asks for; `stored` are its stored values."""
    found = modality(frame)
    signed = stored.dtype.kind != "u" or (isinstance(found, Rescale) and found.intercept < 0)
    return Grey(found, voi(frame, signed=signed), padding(frame), inverse(frame))


def inverse(frame: OfFrame) -> bool:
    """Tell whether the least value is white.

    MONOCHROME1 and the shape INVERSE say the same of one image (C.8.11.3.1), and not twice.
    """
    if frame.get("PhotometricInterpretation") == "MONOCHROME1":
        return True
    return bool(frame.get("PresentationLUTShape") == "INVERSE")


def shown(stored: Pixels, chain: Grey, window: Window | None = None) -> Shown:
    """Return what is to be seen of stored values; `window` is asked for instead of the chain's."""
    interest = window or chain.voi or _least_to_greatest(stored, chain)

    def steps(values: Pixels) -> Shown:
        unit = interest.unit(chain.modality.apply(values))
        return _levels(1 - unit if chain.inverse else unit)

    return _by_table(stored, steps)


def _levels(unit: Pixels) -> Shown:
    finite = np.nan_to_num(unit, nan=0.0, posinf=1.0, neginf=0.0)
    levels: Shown = np.rint(finite * _WHITE).astype(np.uint8)
    return levels


def _least_to_greatest(stored: Pixels, chain: Grey) -> Window:
    picture = stored
    if chain.padding is not None:
        low, high = chain.padding
        seen = stored[(stored < low) | (stored > high)]
        picture = seen if seen.size else stored
    if isinstance(chain.modality, Rescale) and picture.dtype.kind != "f":
        picture = np.asarray([picture.min(), picture.max()])
    return spread(chain.modality.apply(picture))


def _by_table(stored: Pixels, steps: Callable[[Pixels], Shown]) -> Shown:
    """Compute each value that occurs once, where values are fewer than pixels."""
    if stored.dtype.kind == "f":
        return steps(stored)
    low, high = int(stored.min()), int(stored.max())
    if high - low >= min(_TABLE, stored.size):
        return steps(stored)
    table = steps(np.arange(low, high + 1, dtype=np.int64))
    return table[np.subtract(stored, low, dtype=np.int64)]
