"""Pictures of frames: read, shown, shaped, annotated and encoded.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.5
"""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from adapters.dicom.pixels import colour, grey, papers, profiles
from adapters.dicom.pixels.annotate import annotated
from adapters.dicom.pixels.arrays import Shown
from adapters.dicom.pixels.frame import Frame, attributes, decoded, frame_count
from adapters.dicom.pixels.geometry import fitted, square, tallness
from adapters.dicom.pixels.groups import OfFrame, number, value
from adapters.dicom.pixels.overlays import drawn
from adapters.dicom.pixels.refusals import BY_NAME
from adapters.dicom.pixels.request import MOVED, Answer, Order, Picture
from adapters.dicom.pixels.voi import Window
from adapters.dicom.query.transcode import transcoded
from adapters.dicom.studies import output, overlay
from fhir_server.at_rest.files import Handed, Moved, size

MOST_FRAMES: Final = 256
"""Frames of a moving picture; of more, every second, third... is taken."""

_FRAME_MILLISECONDS: Final = 100.0
_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
_LABEL_MAP: Final = "1.2.840.10008.5.1.4.1.1.66.7"
_COLOUR_SAMPLES: Final = 3


def answer(order: Order) -> Answer:
    """Carry out an order; what cannot be shown is refused, and nothing is raised."""
    try:
        with warnings.catch_warnings():
            # Irregular files are the rule here, and there is nobody to warn.
            warnings.simplefilter("ignore")
            return _made(order)
    except tuple(BY_NAME.values()) as error:
        return Answer(refusal=type(error).__name__, text=str(error))
    except Moved:
        return Answer(refusal=MOVED)
    except FileNotFoundError:
        return Answer(refusal="Unavailable", text="The archive does not have the file")
    except MemoryError:
        return Answer(refusal="NotShown", text="The frame needs more memory than is allowed")
    except Exception as error:  # noqa: BLE001  (hostile files make libraries raise anything)
        text = f"The frame cannot be shown ({type(error).__name__})"
        return Answer(refusal="NotShown", text=text)


def shown(frame: Frame, window: Window | None, *, overlays: bool) -> Shown:
    """Return what is to be seen of a frame, before its shape is changed."""
    found = _seen(frame, window)
    if frame.present < frame.stored.size:
        # What the pixel data does not have is black, whatever 0 would look like.
        found = found.copy()
        found.reshape(-1)[frame.present :] = 0
    return drawn(found, frame.of.data_set, frame.of.index) if overlays else found


def image(frame: Frame, picture: Picture) -> Image.Image:
    """Return the picture of a frame in sRGB, in another space, or in its own if it has one."""
    found = Image.fromarray(shown(frame, picture.window, overlays=picture.overlays))
    found = square(found, tallness(frame.of), picture.most_pixels)
    if picture.viewport is not None:
        found = fitted(found, picture.viewport)
    if found.mode == "RGB" and picture.icc in profiles.NAMES:
        found = profiles.converted(found, _profile(frame.of.data_set), picture.icc)
    if picture.annotation:
        found = annotated(found, frame.of.data_set, picture.annotation, picture.font)
    return found


def _made(order: Order) -> Answer:
    picture, place = order.picture, Handed(Path(order.path), order.key)
    corrected = overlay.parsed(order.overlay)
    if order.whole:
        with place.open() as file:
            length = size(file)
        return Answer(content=transcoded(place, length, order.whole))
    with place.open() as file:
        kind = picture.format
        if kind == "pdf" or kind == "html":  # noqa: PLR1714  (a type checker reads this form)
            found = papers.printed(file, order.offset, order.syntax, kind, corrected)
            return Answer(content=found)
        data_set, stream = attributes(file, order.offset, order.syntax)
        start = stream.tell()
        if order.raw:
            return Answer(content=_raw(decoded(data_set, stream, order.syntax, order.frame or 0)))
        if corrected and picture.annotation:
            output.apply(data_set, corrected)
        images = []
        for index in _indices(order, data_set):
            stream.seek(start)
            images.append(image(decoded(data_set, stream, order.syntax, index), picture))
    burned_in = value(data_set, "BurnedInAnnotation") == "YES"
    return Answer(content=_encoded(images, data_set, picture), burned_in=burned_in)


def _raw(frame: Frame) -> bytes:
    """Return the values of a frame in the byte order of everything that leaves."""
    stored = frame.stored
    return stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes()


def _indices(order: Order, data_set: Dataset) -> list[int]:
    count = frame_count(data_set)
    if order.frame is not None:
        return [order.frame]
    if order.picture.format == "gif":
        return list(range(0, count, -(-count // MOST_FRAMES)))
    representative = int(number(data_set, "RepresentativeFrameNumber") or 1)
    return [min(max(representative, 1), count) - 1]


def _seen(frame: Frame, window: Window | None) -> Shown:
    of, stored = frame.of, frame.stored
    if stored.ndim == _COLOUR_SAMPLES:
        return colour.samples(of, stored, frame.photometric)
    if frame.photometric == "PALETTE COLOR" or _is_labelled(of):
        return colour.palette(of, stored)
    if of.get("BitsAllocated") == 1 or of.get("SOPClassUID") == _SEGMENTATION:
        return _mask(of, stored)
    return grey.shown(stored, grey.grey(of, stored), window)


def _is_labelled(of: OfFrame) -> bool:
    return bool(of.get("SOPClassUID") == _LABEL_MAP) and colour.has_palette(of)


def _mask(of: OfFrame, stored: np.ndarray[Any, Any]) -> Shown:
    """Return a segment: what is inside is white (PS3.3, C.8.20.2)."""
    most = number(of.data_set, "MaximumFractionalValue") or 1
    unit = np.clip(stored / (1 if of.get("BitsAllocated") == 1 else most), 0, 1)
    found: Shown = np.rint((1 - unit if grey.inverse(of) else unit) * 255).astype(np.uint8)
    return found


def _encoded(images: list[Image.Image], data_set: Dataset, picture: Picture) -> bytes:
    found = BytesIO()
    first, *rest = images
    options: dict[str, Any] = {}
    if picture.icc != "no" and first.mode == "RGB" and picture.format != "gif":
        named = profiles.profile(picture.icc) if picture.icc in profiles.NAMES else None
        options["icc_profile"] = named or _profile(data_set) or profiles.profile(profiles.SRGB)
    if picture.format == "jpeg":
        first.save(found, "JPEG", quality=picture.quality, **options)
    elif picture.format == "png":
        first.save(found, "PNG", compress_level=1, **options)
    else:
        pace = {"duration": _milliseconds(data_set, len(rest) + 1), "loop": 0} if rest else {}
        first.save(found, "GIF", save_all=bool(rest), append_images=rest, **pace)
    return found.getvalue()


def _milliseconds(data_set: Dataset, taken: int) -> int:
    """Return how long each of the taken frames stays, so that the whole lasts as it should."""
    rate = number(data_set, "RecommendedDisplayFrameRate") or number(data_set, "CineRate")
    each = number(data_set, "FrameTime") or (1000 / rate if rate else _FRAME_MILLISECONDS)
    return max(20, round(each * frame_count(data_set) / taken))


def _profile(data_set: Dataset) -> bytes | None:
    """Return the profile that the instance says its colours are in."""
    found = value(data_set, "ICCProfile")
    return bytes(found) if isinstance(found, bytes | bytearray) else None
