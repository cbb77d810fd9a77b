"""pydicom's own test files, with where their data sets begin."""

from dataclasses import dataclass
from pathlib import Path

from tests.adapters.dicom import files


@dataclass(frozen=True)
class Named:
    path: Path
    offset: int
    transfer_syntax_uid: str


def _named(one: files.DicomFile) -> Named:
    offset = one.path.stat().st_size - len(one.data_set)
    return Named(one.path, offset, one.transfer_syntax_uid)


BY_NAME = {one.name: _named(one) for one in files.all_files()}
