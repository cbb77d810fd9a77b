"""Pixels that may show who the patient is.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_E.3.1
https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_E.3.2
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ENCAPSULATED = f"{_STORAGE}104."
# Ultrasound, secondary capture, endoscopy and photography: what is shown is often a screen.
_SCREENS = tuple(
    _STORAGE + number
    for number in (
        *("3", "3.1", "6", "6.1", "6.2", "6.3", "7", "7.1", "7.2", "7.3", "7.4"),
        *("77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.4", "77.1.4.1"),
    )
)
_SCREEN_MODALITIES = frozenset(("US", "IVUS", "ES", "XC", "OT", "GM", "SM", "DG"))
_FACES = frozenset(("HEAD", "SKULL", "BRAIN", "FACE", "HEADNECK", "ORBIT", "SINUS", "JAW"))
_FACE_MODALITIES = frozenset(("CT", "MR", "PT"))
_WORD_BITS = 16


class Blocked(Exception):
    """The instance may not leave; the text says why."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of each frame, in pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def check(found: Dataset, *, reviewed: bool) -> None:
    """Raise Blocked unless the pixels are `reviewed` or give no reason for that.

    A document or model inside of an instance is never let out.
    """
    if str(found.get("SOPClassUID", "")).startswith(_ENCAPSULATED) or "EncapsulatedDocument" in (
        found
    ):
        raise Blocked("it encapsulates a document")
    reason = suspicion(found)
    if reason and not reviewed:
        raise Blocked(reason)


def suspicion(found: Dataset) -> str:
    """Return why pixels may show text, "" where nothing says so."""
    burned_in = str(found.get("BurnedInAnnotation") or "").strip().upper()
    if burned_in and burned_in != "NO":
        return "it says that text is burned in"
    if str(found.get("SOPClassUID", "")) in _SCREENS:
        return "its class often has text burned in"
    if str(found.get("Modality") or "").strip().upper() in _SCREEN_MODALITIES:
        return "its modality often has text burned in"
    kinds = found.get("ImageType") or ()
    if any(str(kind).upper().startswith("SCREEN") for kind in kinds):
        return "it is the copy of a screen"
    return ""


def shows_face(found: Dataset) -> bool:
    """Return whether a face may be reconstructed from the slices."""
    part = str(found.get("BodyPartExamined") or "").upper()
    plain = "".join(letter for letter in part if letter.isalpha())
    return str(found.get("Modality") or "").strip().upper() in _FACE_MODALITIES and plain in _FACES


def blacked_out(found: Dataset, pixels: bytearray, rectangles: Iterable[Rectangle]) -> None:
    """Write zeros over rectangles of each frame of native pixel data.

    Raises Blocked for pixels whose place in the data is not plain: of other than whole bytes,
    or subsampled.
    """
    bits = int(found.get("BitsAllocated") or 0)
    samples = int(found.get("SamplesPerPixel") or 1)
    subsampled = str(found.get("PhotometricInterpretation") or "").startswith("YBR_FULL_4")
    if bits % 8 or not bits or subsampled:
        raise Blocked("its pixels cannot be cleaned")
    planes = samples if int(found.get("PlanarConfiguration") or 0) else 1
    pixel = bits // 8 * (samples // planes)
    rows, columns = int(found.Rows), int(found.Columns)
    step = rows * columns * pixel
    for plane in range(int(found.get("NumberOfFrames") or 1) * planes):
        for one in rectangles:
            left, right = min(one.x, columns), min(one.x + one.width, columns)
            for row in range(one.y, min(one.y + one.height, rows)):
                start = plane * step + (row * columns + left) * pixel
                size = max(0, min((right - left) * pixel, len(pixels) - start))
                pixels[start : start + size] = bytes(size)
