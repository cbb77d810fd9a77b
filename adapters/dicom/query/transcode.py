"""Stored data sets in another transfer syntax, uncompressed and never with a loss.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_10
"""

import array
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG, IMPLICIT_LITTLE

MOST_BYTES = 512 << 20
_WORD_BITS = 16


class Undecodable(Exception):
    """The data set cannot be had in that transfer syntax."""


def transcoded(path: Path, size: int, target: str) -> bytes:
    """Return the data set of a stored file in `target`, Explicit or Implicit VR Little Endian.

    Raises Undecodable when no decoder knows its pixels, or it is too large for memory.
    """
    if size > MOST_BYTES:
        raise Undecodable("The data set is too large to be decoded")
    try:
        found = pydicom.dcmread(path)
        syntax = found.file_meta.TransferSyntaxUID
        if syntax.is_compressed and "PixelData" in found:
            found.decompress(generate_instance_uid=False)
        elif syntax == EXPLICIT_BIG:
            _swap(found)
        return _written(found, implicit=target == IMPLICIT_LITTLE)
    except Exception as error:
        raise Undecodable(type(error).__name__) from error


def _swap(found: Dataset) -> None:
    """Bring the words of native pixels into little endian; pydicom leaves them as they are."""
    if "PixelData" in found and found.get("BitsAllocated") == _WORD_BITS:
        words = array.array("H", found.PixelData)
        words.byteswap()
        found.PixelData = words.tobytes()


def _written(found: Dataset, *, implicit: bool) -> bytes:
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian = True
    stream.is_implicit_VR = implicit
    write_dataset(stream, found)
    return buffer.getvalue()
