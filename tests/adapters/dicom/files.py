"""The test files that pydicom brings, split into file meta and data set."""

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
from pydicom.data import get_charset_files, get_testdata_file, get_testdata_files
from pydicom.filereader import read_file_meta_info

PREFIX = slice(128, 132)


@dataclass(frozen=True)
class DicomFile:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes

    @property
    def name(self) -> str:
        return self.path.name


def read(path: Path) -> DicomFile | None:
    """Return the file, None when it has no DICOM prefix.

    Its identity is that of the data set, as a sender states it, else of the file meta.
    """
    raw = path.read_bytes()
    if raw[PREFIX] != b"DICM":
        return None
    meta = read_file_meta_info(path)
    start = 132
    while raw[start : start + 2] == b"\2\0":
        long = raw[start + 4 : start + 6] in {b"OB", b"UN"}
        size = int.from_bytes(
            raw[start + 8 : start + 12] if long else raw[start + 6 : start + 8], "little"
        )
        start += (12 if long else 8) + size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = pydicom.dcmread(path, force=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    syntax = meta.get("TransferSyntaxUID")
    return DicomFile(
        path,
        str(known.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID", "")),
        str(known.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID", "")),
        str(syntax) if syntax else "",
        raw[start:],
    )


@cache
def all_files() -> tuple[DicomFile, ...]:
    """Return every file of pydicom that can be sent: it has a class, instance and syntax."""
    paths = sorted({Path(p) for p in (*get_testdata_files(), *get_charset_files())})
    found = (read(path) for path in paths if path.is_file())
    return tuple(
        one
        for one in found
        if one and one.sop_class_uid and one.sop_instance_uid and one.transfer_syntax_uid
    )


def one(name: str) -> DicomFile:
    """Return the file of this name."""
    path = get_testdata_file(name) or next(p for p in get_charset_files() if p.endswith(name))
    found = read(Path(str(path)))
    assert found is not None
    return found
