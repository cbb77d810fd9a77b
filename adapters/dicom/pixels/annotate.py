"""Who and how, written into the picture.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.5.1.1
"""

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from adapters.dicom.pixels.groups import value
from adapters.dicom.pixels.request import Annotation

_PATIENT: Final = (
    ("", "PatientName"),
    ("ID ", "PatientID"),
    ("Born ", "PatientBirthDate"),
    ("Sex ", "PatientSex"),
    ("Study ", "StudyDate"),
)
_TECHNIQUE: Final = (
    ("", "Modality"),
    ("", "SeriesDescription"),
    ("kVp ", "KVP"),
    ("mA ", "XRayTubeCurrent"),
    ("Slice mm ", "SliceThickness"),
    ("Image ", "InstanceNumber"),
)
_LEAST_SIZE: Final = 11
_LINES_OF_HEIGHT: Final = 36


def annotated(
    image: Image.Image, data_set: Dataset, wanted: Sequence[Annotation], font: str
) -> Image.Image:
    """Return the picture with the patient at its top and the technique at its bottom.

    `font` is a TrueType file, for scripts that the built-in one lacks.
    """
    size = max(_LEAST_SIZE, image.height // _LINES_OF_HEIGHT)
    face = ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
    found = image.copy()
    draw = ImageDraw.Draw(found)
    white = 255 if image.mode == "L" else (255, 255, 255)
    black = 0 if image.mode == "L" else (0, 0, 0)
    for kind in wanted:
        text = "\n".join(_lines(data_set, _PATIENT if kind == "patient" else _TECHNIQUE))
        box = draw.multiline_textbbox((0, 0), text, font=face, stroke_width=1)
        top = size // 2 if kind == "patient" else max(0, image.height - box[3] - size // 2)
        draw.multiline_text(
            (size // 2, top), text, fill=white, font=face, stroke_width=1, stroke_fill=black
        )
    return found


def _lines(data_set: Dataset, rows: Sequence[tuple[str, str]]) -> list[str]:
    return [
        label + str(found).replace("^", " ").strip()
        for label, keyword in rows
        if (found := value(data_set, keyword)) is not None
    ]
