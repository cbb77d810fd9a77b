"""ICC profiles of the colour spaces that a client may ask for.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.5.1.5
https://www.color.org/specification/ICC.1-2001-04.pdf
"""

import struct
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

from adapters.dicom.pixels.refusals import NotShown

SRGB: Final = "srgb"


@dataclass(frozen=True, slots=True)
class _Space:
    """A colour space: primaries adapted to D50 (XYZ of red, green, blue), and its gamma."""

    name: str
    primaries: tuple[tuple[float, float, float], ...]
    gamma: float


# Adobe RGB (1998), 4.3.5.3, and ROMM RGB (ISO 22028-2).
_SPACES: Final = {
    "adobergb": _Space(
        "Adobe RGB (1998)",
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        563 / 256,
    ),
    "rommrgb": _Space(
        "ROMM RGB",
        ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
        1.8,
    ),
}
_D50: Final = (0.9642, 1.0, 0.82491)

NAMES: Final = (SRGB, *_SPACES)


@cache
def profile(name: str) -> bytes:
    """Return a profile of `NAMES`."""
    if name == SRGB:
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _matrix_profile(_SPACES[name])


def converted(image: Image.Image, source: bytes | None, name: str) -> Image.Image:
    """Return an RGB image in another space; `source` is the profile that it is in, or sRGB."""
    own = BytesIO(source or profile(SRGB))
    try:
        found = ImageCms.profileToProfile(image, own, BytesIO(profile(name)))
    except (ImageCms.PyCMSError, OSError) as error:
        raise NotShown("The ICC profile of the instance cannot be used") from error
    return found if found is not None else image


def _matrix_profile(space: _Space) -> bytes:
    """Return a version 2 display profile of three primaries and one gamma."""
    curve = _padded(struct.pack(">4sLLH", b"curv", 0, 1, round(space.gamma * 256)))
    tags = [
        (b"desc", _description(space.name)),
        (b"cprt", _padded(b"text\0\0\0\0No copyright\0")),
        (b"wtpt", _xyz(_D50)),
        *((b"%cXYZ" % b"rgb"[i], _xyz(one)) for i, one in enumerate(space.primaries)),
        *((b"%cTRC" % b"rgb"[i], curve) for i in range(3)),
    ]
    at = 128 + 4 + 12 * len(tags)
    table = struct.pack(">L", len(tags))
    for sign, body in tags:
        table += struct.pack(">4sLL", sign, at, len(body))
        at += len(body)
    return _head(at) + table + b"".join(body for _, body in tags)


def _head(size: int) -> bytes:
    kinds = struct.pack(">L4sL4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    made = struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp")
    rest = kinds + made + bytes(28) + struct.pack(">3l", *map(_fixed, _D50))
    return rest.ljust(128, b"\0")


def _description(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    return _padded(b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + bytes(78))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return struct.pack(">4sL3l", b"XYZ ", 0, *map(_fixed, values))


def _fixed(value: float) -> int:
    return round(value * 65536)


def _padded(body: bytes) -> bytes:
    return body.ljust(-(-len(body) // 4) * 4, b"\0")
