"""Shapes: pixels that are not square, and viewports.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.5.1.3
"""

from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.Image import Resampling, Transpose

from adapters.dicom.pixels.groups import OfFrame, numbers
from fhir_server.errors import BadRequest

# A pixel that is said to be longer than this is an error of who said it.
_LONGEST: Final = 16.0
# Differences below this are rounding.
_SAME: Final = 0.001


@dataclass(frozen=True, slots=True)
class Viewport:
    """A size in pixels, and the part of the image to show in it: x, y, width, height.

    Without a part, all of it. A negative width or height mirrors.
    """

    width: int
    height: int
    x: float = 0.0
    y: float = 0.0
    source_width: float | None = None
    source_height: float | None = None


def tallness(frame: OfFrame) -> float:
    """Return how much taller than wide a pixel is: 1 when square or not known."""
    measures = frame.group("PixelMeasuresSequence")
    for source, keyword in (
        (frame.data_set, "PixelAspectRatio"),
        (measures, "PixelSpacing"),
        (frame.data_set, "ImagerPixelSpacing"),
        (frame.data_set, "NominalScannedPixelSpacing"),
    ):
        found = numbers(source, keyword)
        if len(found) == 2 and min(found) > 0:  # noqa: PLR2004  (vertical, horizontal)
            return found[0] / found[1]
    return 1.0


def square(image: Image.Image, tall: float, most: int) -> Image.Image:
    """Return the image with pixels that are square.

    Its shorter measure grows, or the longer one shrinks if it would have more than `most` pixels.
    """
    if abs(tall - 1) < _SAME or not 1 / _LONGEST <= tall <= _LONGEST:
        return image
    width, height = image.size
    grows = width * height * max(tall, 1 / tall) <= most
    if (tall > 1) == grows:
        size = (width, max(1, round(height * tall)))
    else:
        size = (max(1, round(width / tall)), height)
    return image.resize(size, Resampling.BILINEAR)


def fitted(image: Image.Image, viewport: Viewport) -> Image.Image:
    """Return the part that a viewport asks for, scaled into it, its shape kept.

    Raises BadRequest when the part is not inside the image.
    """
    box, mirrored = _part(image, viewport)
    scale = min(viewport.width / (box[2] - box[0]), viewport.height / (box[3] - box[1]))
    size = (
        max(1, round((box[2] - box[0]) * scale)),
        max(1, round((box[3] - box[1]) * scale)),
    )
    found = image.resize(size, Resampling.BILINEAR, box=box, reducing_gap=2.0)
    for turn in mirrored:
        found = found.transpose(turn)
    return found


def _part(
    image: Image.Image, viewport: Viewport
) -> tuple[tuple[float, float, float, float], list[Transpose]]:
    across = viewport.source_width if viewport.source_width is not None else image.width
    down = viewport.source_height if viewport.source_height is not None else image.height
    right, bottom = viewport.x + abs(across), viewport.y + abs(down)
    if viewport.source_width is None:
        right = image.width
    if viewport.source_height is None:
        bottom = image.height
    inside = right <= image.width and bottom <= image.height
    if not inside or right - viewport.x <= 0 or bottom - viewport.y <= 0:
        raise BadRequest("The viewport's source is not inside of the image")
    mirrored = [Transpose.FLIP_LEFT_RIGHT] if across < 0 else []
    mirrored += [Transpose.FLIP_TOP_BOTTOM] if down < 0 else []
    return (viewport.x, viewport.y, right, bottom), mirrored
