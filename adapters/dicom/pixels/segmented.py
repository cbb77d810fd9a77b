"""Segmented palette color lookup table data.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.7.9.2
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from adapters.dicom.pixels.arrays import Pixels
from adapters.dicom.pixels.refusals import NotShown

_DISCRETE: Final = 0
_LINEAR: Final = 1
_INDIRECT: Final = 2
_HEAD: Final = 2


def expanded(words: Sequence[int], most: int) -> Pixels:
    """Return the table that segments make; NotShown when they are broken or make more than `most`.

    A discrete segment lists values, a linear one goes from the last value to its own, and an
    indirect one repeats segments that lie further up, at an offset in bytes.
    """
    made: list[int] = []
    _segments(words, 0, None, made, most, inside=False)
    return np.asarray(made, np.uint16)


def _segments(
    words: Sequence[int], at: int, count: int | None, made: list[int], most: int, *, inside: bool
) -> None:
    done = 0
    while at + _HEAD <= len(words) and (count is None or done < count):
        kind, length = words[at], words[at + 1]
        at = _segment(words, at, made, inside=inside)
        if kind == _INDIRECT:
            offset = words[at - 2] | words[at - 1] << 16
            _segments(words, offset // 2, length, made, most, inside=True)
        if len(made) > most:
            raise NotShown("The segments of the palette make more colours than it says")
        done += 1


def _segment(words: Sequence[int], at: int, made: list[int], *, inside: bool) -> int:
    """Add a segment's values and return where the next segment begins."""
    kind, length = words[at], words[at + 1]
    at += _HEAD
    size = {_DISCRETE: length, _LINEAR: 1}.get(kind, 2)
    if at + size > len(words) or kind > _INDIRECT or (kind == _INDIRECT and inside):
        raise NotShown("The segments of the palette are broken")
    if kind == _DISCRETE:
        made += words[at : at + length]
    elif kind == _LINEAR:
        made += _line(made[-1] if made else words[at], words[at], length)
    return at + size


def _line(start: int, end: int, length: int) -> list[int]:
    steps = np.linspace(start, end, length + 1)[1:]
    return [int(one) for one in np.rint(steps)]
