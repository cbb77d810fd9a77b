"""Attributes of one frame, from its functional groups or the data set.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.7.6.16
"""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


class OfFrame:
    """The attributes that hold for a frame; the first frame is 0."""

    def __init__(self, data_set: Dataset, frame: int) -> None:
        self.data_set = data_set
        self.index = frame
        own = _item(data_set, "PerFrameFunctionalGroupsSequence", frame)
        shared = _item(data_set, "SharedFunctionalGroupsSequence", 0)
        self._groups = [one for one in (own, shared) if one is not None]

    def group(self, name: str) -> Dataset:
        """Return what says it for this frame: its own group, the shared one, or the data set."""
        for one in self._groups:
            found = _item(one, name, 0)
            if found is not None:
                return found
        return self.data_set

    def get(self, keyword: str, default: Any = None) -> Any:  # noqa: ANN401  (an attribute's)
        """Return an attribute of the whole instance; `default` when it is absent or empty."""
        found = value(self.data_set, keyword)
        return default if found is None else found


def value(data_set: Dataset, keyword: str) -> Any:  # noqa: ANN401  (an attribute's)
    """Return an attribute's value; None when it is absent, empty or cannot be read."""
    try:
        found = data_set.get(keyword)
    except Exception:  # noqa: BLE001  (pydicom converts when asked, and raises what it likes)
        return None
    return None if found is None or found == "" else found


def number(data_set: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric attribute; None when there is none that is finite."""
    found = numbers(data_set, keyword)
    return found[0] if found else None


def numbers(data_set: Dataset, keyword: str) -> list[float]:
    """Return the values of a numeric attribute; empty when one of them is no finite number."""
    found = value(data_set, keyword)
    listed = [] if found is None else found if _several(found) else [found]
    try:
        read = [float(one) for one in listed]
    except (TypeError, ValueError, OverflowError):
        return []
    return read if all(abs(one) < float("inf") for one in read) else []


def items(data_set: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; empty when it is absent or none."""
    found = value(data_set, keyword)
    return list(found) if isinstance(found, Sequence) else []


def _item(data_set: Dataset, keyword: str, index: int) -> Dataset | None:
    found = value(data_set, keyword)
    if not isinstance(found, Sequence) or index >= len(found):
        return None
    return found[index]


def _several(found: object) -> bool:
    return not isinstance(found, str | bytes) and hasattr(found, "__iter__")
