"""Instances brought into a server by STOW-RS."""

from io import BytesIO

import httpx
import pydicom

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.simulation.computed_tomography import Study, instances

_HEAD = b"\r\n--XX\r\nContent-Type: application/dicom\r\n\r\n"
_KIND = 'multipart/related; type="application/dicom"; boundary=XX'


def study(*, slices: int, size: int, seed: int = 1) -> list[bytes]:
    """Return the files of a synthetic CT study."""
    return [
        file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid, "CT1")
        + one.data_set
        for one in instances(Study(seed, slices, size))
    ]


async def stow(http: httpx.AsyncClient, *parts: bytes) -> str:
    """Store files of one study and return its UID."""
    body = b"".join(_HEAD + part for part in parts) + b"\r\n--XX--\r\n"
    answer = await http.post("/dicom-web/studies", content=body, headers={"Content-Type": _KIND})
    assert answer.status_code == 200, answer.text
    found = pydicom.dcmread(BytesIO(parts[0]), specific_tags=["StudyInstanceUID"], force=True)
    return str(found.StudyInstanceUID)
