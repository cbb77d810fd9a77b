"""What a client asks for when it asks for a picture."""

from typing import Any, Final, Literal

import msgspec

from adapters.dicom.pixels.geometry import Viewport
from adapters.dicom.pixels.voi import Window

Format = Literal["jpeg", "png", "gif", "pdf", "html"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
}
Space = Literal["no", "yes", "srgb", "adobergb", "rommrgb"]
Annotation = Literal["patient", "technique"]
DEFAULT_QUALITY: Final = 90
MOVED: Final = "Moved"
"""The refusal of a file that was sealed anew since its key was handed over."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """How to show a frame: the format and what PS3.18, 8.3.5 lets a client say."""

    format: Format = "jpeg"
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY
    annotation: tuple[Annotation, ...] = ()
    icc: Space = "no"
    overlays: bool = False
    most_pixels: int = 4096 * 4096
    font: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: a file, where its data set begins, and what to make of it.

    `path` and the `key` of that file, b"" where it is not sealed, are set as it is handed over.
    `frame` counts from 0; None: the representative frame, or all of them in a GIF.
    `raw`: not a picture, but the frame's values as they are stored, in little endian.
    `whole`: the data set in this transfer syntax, Explicit or Implicit VR Little Endian.
    `overlay`: what was corrected of the study, as its row has it (studies/overlay.py); texts in
    pictures and reports say that.
    """

    path: str = ""
    key: bytes = b""
    offset: int
    syntax: str
    frame: int | None
    picture: Picture
    raw: bool = False
    whole: str = ""
    overlay: dict[str, Any] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says: the picture's bytes, or the refusal and its text.

    `burned_in` tells whether the instance says that its pixels show who the patient is.
    """

    content: bytes = b""
    burned_in: bool = False
    refusal: str = ""
    text: str = ""
