"""Stored data sets in another transfer syntax, uncompressed and never with a loss.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_10
"""

import array
from collections.abc import Callable
from typing import TypeAlias

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from adapters.dicom.dataset.encoded import encoded
from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG
from fhir_server.at_rest.files import Openable

Transcode: TypeAlias = Callable[[Openable, int, str], bytes]
"""As `transcoded`, here or in another process."""

MOST_BYTES = 512 << 20
# Bytes of a word by VR, and the array code of words of so many bytes (PS3.5, 7.3).
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_CODES = {2: "H", 4: "I", 8: "Q"}
_PIXEL_DATA = 0x7FE00010
_BYTE_BITS = 8


class Undecodable(Exception):
    """The data set cannot be had in that transfer syntax."""


def transcoded(path: Openable, size: int, target: str) -> bytes:
    """Return the data set of a stored file in `target`, Explicit or Implicit VR Little Endian.

    Raises Undecodable when no decoder knows its pixels, or it is too large for memory.
    """
    if size > MOST_BYTES:
        raise Undecodable("The data set is too large to be decoded")
    try:
        with path.open("rb") as file:
            found = pydicom.dcmread(file)
        syntax = found.file_meta.TransferSyntaxUID
        if syntax.is_compressed and "PixelData" in found:
            found.decompress(generate_instance_uid=False)
        elif syntax == EXPLICIT_BIG:
            _swap(found)
        return encoded(found, target)
    except Exception as error:
        raise Undecodable(type(error).__name__) from error


def _swap(found: Dataset) -> None:
    """Bring words into little endian; pydicom leaves the bytes of binary values as they are."""
    for tag in list(found.keys()):
        # As it was read: what cannot be converted is no reason to refuse it.
        one = found.get_item(tag)
        if one.VR == "SQ":
            for item in found[tag].value:
                _swap(item)
        elif one.VR in _WORDS and one.value:
            allocated = int(found.get("BitsAllocated") or 0) if tag == _PIXEL_DATA else 0
            size = max(_WORDS[one.VR], allocated // _BYTE_BITS)
            found[tag] = DataElement(tag, one.VR, _swapped(one.value, size))


def _swapped(raw: bytes, size: int) -> bytes:
    whole = len(raw) // size * size
    words = array.array(_CODES[size], raw[:whole])
    words.byteswap()
    return words.tobytes() + raw[whole:]
