"""The parameters of a rendered resource.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.5
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args

from adapters.dicom.pixels.geometry import Viewport
from adapters.dicom.pixels.request import DEFAULT_QUALITY, Annotation, Format, Picture, Space
from adapters.dicom.pixels.voi import Function, Window, usable
from fhir_server.errors import BadRequest

_FUNCTIONS: Final[dict[str, Function]] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}
_QUALITY: Final = re.compile(r"\d{1,3}", re.ASCII)
_SIZE: Final = 2
_WHOLE: Final = 6
THUMBNAIL: Final = Viewport(200, 200)


def picture(
    query: Mapping[str, str],
    format_: Format,
    *,
    most_pixels: int,
    overlays: bool = False,
    font: str = "",
) -> Picture:
    """Return what a query asks for; BadRequest where a value means nothing."""
    return Picture(
        format=format_,
        window=window(query["window"]) if "window" in query else None,
        viewport=viewport(query["viewport"], most_pixels) if "viewport" in query else None,
        quality=quality(query.get("quality")),
        annotation=annotation(query.get("annotation", "")),
        icc=space(query.get("iccprofile", "no")),
        overlays=overlays,
        most_pixels=most_pixels,
        font=font,
    )


def window(text: str) -> Window:
    """Return a window: center, width and function."""
    parts = text.split(",")
    if len(parts) != 3 or parts[2] not in _FUNCTIONS:  # noqa: PLR2004  (see above)
        raise BadRequest(
            "window is center,width,function; functions are linear, linear-exact and sigmoid"
        )
    center, width = _numbers(parts[:2], "window")
    found = Window(center, width, _FUNCTIONS[parts[2]])
    if not usable(found):
        raise BadRequest("The width of a window is at least 1 for linear, more than 0 for others")
    return found


def viewport(text: str, most_pixels: int) -> Viewport:
    """Return a viewport: width, height and perhaps x, y, width, height of what to show in it."""
    parts = text.split(",")
    if not _SIZE <= len(parts) <= _WHOLE or not (parts[0] and parts[1]):
        raise BadRequest("viewport is width,height or width,height,x,y,width,height")
    width, height = _numbers(parts[:2], "viewport")
    if min(width, height) < 1 or width != int(width) or height != int(height):
        raise BadRequest("A viewport's width and height are whole numbers of 1 or more")
    if width * height > most_pixels:
        raise BadRequest("The viewport is larger than this server renders")
    # Each of these may be left out or empty (PS3.18, 8.3.5.1.3).
    rest = [_number(one, "viewport") if one else None for one in parts[2:]]
    x, y, across, down = [*rest, None, None, None, None][:4]
    if (x or 0) < 0 or (y or 0) < 0 or across == 0 or down == 0:
        raise BadRequest("The viewport's source is not inside of the image")
    return Viewport(int(width), int(height), x or 0, y or 0, across, down)


def quality(text: str | None) -> int:
    """Return the quality of lossy compression, 1 to 100."""
    if text is None:
        return DEFAULT_QUALITY
    if not _QUALITY.fullmatch(text) or not 1 <= int(text) <= 100:  # noqa: PLR2004  (see below)
        raise BadRequest("quality is a whole number from 1 to 100")
    return int(text)


def annotation(text: str) -> tuple[Annotation, ...]:
    """Return what is written into the picture."""
    known = get_args(Annotation)
    found = [one for one in text.split(",") if one]
    if not set(found) <= set(known):
        raise BadRequest("annotation is patient, technique or both")
    return tuple(cast("Annotation", one) for one in known if one in found)


def space(text: str) -> Space:
    """Return the colour space, or whether an ICC profile goes out with the picture."""
    if text not in get_args(Space):
        raise BadRequest("iccprofile is no, yes, srgb, adobergb or rommrgb")
    return cast("Space", text)


def _numbers(parts: Sequence[str], name: str) -> list[float]:
    return [_number(one, name) for one in parts]


def _number(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadRequest(f"{name} has something that is no number")
    return found
