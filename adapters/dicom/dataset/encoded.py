"""The bytes of a data set of pydicom, without a file around them.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_7.1
"""

from io import BytesIO

from pydicom.charset import default_encoding
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG, IMPLICIT_LITTLE


def encoded(found: Dataset, transfer_syntax: str, *, text: str = default_encoding) -> bytes:
    """Return a data set as its elements are in this transfer syntax; nothing is compressed.

    Text is in its own character set, or in the encoding `text` of Python where it names none.
    """
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian = transfer_syntax != EXPLICIT_BIG
    stream.is_implicit_VR = transfer_syntax == IMPLICIT_LITTLE
    write_dataset(stream, found, parent_encoding=text)
    return buffer.getvalue()
