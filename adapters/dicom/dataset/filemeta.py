"""File meta information, which precedes a data set in a DICOM file.

https://dicom.nema.org/medical/dicom/current/output/html/part10.html#sect_7.1
"""

import struct

from adapters.dicom.dataset.implementation import CLASS_UID, VERSION_NAME

_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<HH2sHI")
_PREAMBLE = bytes(128) + b"DICM"


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae: str = ""
) -> bytes:
    """Return preamble, prefix and group 0002 of a file, in Explicit VR Little Endian."""
    elements = (
        _LONG.pack(2, 0x0001, b"OB", 0, 2)
        + b"\0\1"
        + _short(0x0002, b"UI", sop_class_uid)
        + _short(0x0003, b"UI", sop_instance_uid)
        + _short(0x0010, b"UI", transfer_syntax_uid)
        + _short(0x0012, b"UI", CLASS_UID)
        + _short(0x0013, b"SH", VERSION_NAME)
        + (_short(0x0016, b"AE", source_ae) if source_ae else b"")
    )
    return _PREAMBLE + _SHORT.pack(2, 0, b"UL", 4) + struct.pack("<I", len(elements)) + elements


def _short(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return _SHORT.pack(2, element, vr, len(value)) + value
