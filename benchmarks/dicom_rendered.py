"""Pictures of a CT series, as a scenario of `python -m benchmarks.dicomweb`.

A different slice each time, of 512 x 512 pixels of 16 bits.
DICOM PS3.18, 8.3.5.
"""

import random
from collections.abc import Callable, Mapping, Sequence

Get = Callable[[str, str], int]
"""Reads a path below the service with an Accept header, and returns how many bytes came."""

_PICTURES = {
    "rendered CT frame, JPEG": ("/frames/1/rendered", "image/jpeg"),
    "rendered CT frame, PNG": ("/frames/1/rendered", "image/png"),
    "rendered, windowed to 256": (
        "/rendered?window=40,400,linear&viewport=256,256",
        "image/jpeg",
    ),
    "thumbnail": ("/thumbnail", "image/jpeg"),
}


def scenarios(get: Get, series: str, instances: Sequence[str]) -> Mapping[str, Callable[[], int]]:
    """Return what is to be timed of a series at this path with these instances, by its name."""
    source = random.Random(3)

    def asking(below: str, accept: str) -> Callable[[], int]:
        return lambda: get(f"{series}/instances/{source.choice(instances)}{below}", accept)

    return {name: asking(*picture) for name, picture in _PICTURES.items()}
