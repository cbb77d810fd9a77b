"""Small images as files, and what is made of them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from adapters.dicom.pixels.arrays import Pixels
from adapters.dicom.pixels.frame import Frame
from adapters.dicom.pixels.groups import OfFrame

EXPLICIT = "1.2.840.10008.1.2.1"


def attributes(stored: Pixels, **more: Any) -> Dataset:
    """Return the attributes of a grey image with these stored values."""
    found = Dataset()
    found.Rows, found.Columns = stored.shape[:2]
    found.SamplesPerPixel = 1 if stored.ndim == 2 else stored.shape[2]
    found.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    found.BitsAllocated = found.BitsStored = stored.dtype.itemsize * 8
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in more.items():
        setattr(found, keyword, value)
    return found


def item(**values: Any) -> Dataset:
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def frame(stored: Pixels, index: int = 0, **more: Any) -> Frame:
    """Return a frame as it is after it was read."""
    data_set = attributes(stored, **more)
    photometric = str(data_set.PhotometricInterpretation)
    return Frame(OfFrame(data_set, index), stored, photometric, stored.size)


def row(*values: int, dtype: str = "uint16") -> Pixels:
    """Return an image of one row."""
    return np.array([values], dtype)


def written(path: Path, data_set: Dataset, pixels: bytes, vr: str = "OW") -> Path:
    """Write a data set in Explicit VR Little Endian with these bytes as its pixel data."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, vr.encode(), 0, len(pixels))
    path.write_bytes(buffer.getvalue() + head + pixels)
    return path
