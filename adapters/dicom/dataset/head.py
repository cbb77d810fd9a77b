"""What the index keeps of an instance, read from the head of its data set.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#chapter_C
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR

from adapters.dicom.dataset.charset import CharacterSet, character_set, decode
from adapters.dicom.dataset.elements import (
    Broken,
    Encoding,
    Found,
    MoreNeeded,
    Scan,
    scan,
)
from adapters.dicom.dataset.identifier import encoding_of, tag_of
from adapters.dicom.dataset.syntaxes import DEFLATED

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

# fmt: off
_KEYWORDS = (
    "SpecificCharacterSet", "ImageType", "StudyDate", "SeriesDate", "AcquisitionDate",
    "ContentDate", "AcquisitionDateTime", "StudyTime", "SeriesTime", "AcquisitionTime",
    "ContentTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "Modality",
    "Manufacturer", "InstitutionName", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "TimezoneOffsetFromUTC", "StationName",
    "StudyDescription", "ProcedureCodeSequence", "SeriesDescription",
    "InstitutionalDepartmentName", "PerformingPhysicianName",
    "PerformingPhysicianIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "OperatorsName",
    "OperatorIdentificationSequence", "ManufacturerModelName", "AnatomicRegionSequence",
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate", "PatientSex", "QualityControlSubject", "OtherPatientIDsSequence",
    "PatientSpeciesDescription", "BodyPartExamined", "DeviceSerialNumber", "ProtocolName",
    "StudyID", "SeriesNumber", "InstanceNumber", "Laterality", "ImageLaterality", "StudyComments",
    "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "PhotometricInterpretation",
    "AdmissionID", "PerformedLocation", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "RequestAttributesSequence",
    "ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence",
    "RequestedProcedureComments", "ContainerIdentifier", "SpecimenDescriptionSequence",
    "ConceptNameCodeSequence", "CompletionFlag", "VerificationFlag", "DocumentTitle",
    "ContentLabel", "CodeValue", "CodingSchemeDesignator", "CodeMeaning", "LongCodeValue",
    "URNCodeValue", "CodingSchemeUID", "LocalNamespaceEntityID", "UniversalEntityID",
    "UniversalEntityIDType", "PersonIdentificationCodeSequence", "RequestedProcedureID",
    "ScheduledProcedureStepID", "RequestedProcedureCodeSequence", "SpecimenIdentifier",
    "SpecimenUID", "PatientAge", "PatientSize", "PatientWeight", "PatientBirthTime",
    "OtherPatientNames", "PatientComments", "PerformedProcedureStepID",
    "PerformedProcedureStepDescription", "IssuerOfAdmissionIDSequence", "OtherPatientIDs",
    "SoftwareVersions", "DeviceUID", "UDISequence", "UniqueDeviceIdentifier",
)
# fmt: on


_TAGS = {tag_of(keyword): keyword for keyword in (*UIDS, *_KEYWORDS)}
_WANTED = frozenset(_TAGS)
_VRS = {tag: dictionary_VR(tag) for tag in _TAGS}
_CHARACTER_SET = tag_of("SpecificCharacterSet")

_TEXT = frozenset(("SH", "LO", "ST", "LT", "PN", "UC", "UT"))
_SINGLE = frozenset(("ST", "LT", "UT"))
_UID = re.compile(r"[0-9.]{1,64}")

MOST = 64 << 20
"""Bytes of a data set that are brought into memory for its head: instances may have gigabytes."""

_STEP = 1 << 20
_FACTOR = 4
_INFLATE_STEP = 64 << 10
_INFLATED_HEAD = 16 << 20
_MAX_RATIO = 200


class BadUid(Exception):
    """A UID is not 1 to 64 digits and dots."""


class MissingUid(Exception):
    """A UID that every instance has is absent."""


@dataclass(frozen=True, slots=True)
class Head:
    """The UIDs of an instance, its other indexed attributes by keyword, and irregularities.

    An attribute is a list of strings or numbers, or of such mappings for the items
    of a sequence; empty attributes are left out. `pixel_offset` counts from the
    start of the data set, which is inflated if it was deflated.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    attributes: Mapping[str, Any]
    pixel_offset: int | None
    flags: frozenset[str]


def head(
    data: bytes | bytearray | memoryview,
    total: int,
    transfer_syntax: str,
    *,
    enough: bool = False,
) -> Head:
    """Return the head of a data set of `total` bytes that begins with `data`.

    Raises MoreNeeded when `data` is too short, unless that is `enough`, Broken when it cannot
    be parsed, MissingUid and BadUid when the instance cannot be identified.
    """
    scanned = scan(data, total, _WANTED, encoding_of(transfer_syntax), enough=enough)
    sop_class, sop_instance, study, series = (_uid(scanned.found, keyword) for keyword in UIDS)
    flags = set(scanned.flags)
    attributes = _attributes(scanned, flags)
    return Head(
        sop_class, sop_instance, study, series, attributes, scanned.pixel_offset, frozenset(flags)
    )


def stepped_head(read: Callable[[int], bytes], total: int, transfer_syntax: str) -> Head:
    """Return the head of a data set of which `read` gives the first bytes, so many as are asked.

    No more is read than it takes, and `MOST` bytes: what lies behind them, as behind a document
    that is longer, is not indexed. Raises as `head` does, but for MoreNeeded.
    """
    length, most = _STEP, min(total, MOST)
    while length < most:
        try:
            return head(read(length), total, transfer_syntax)
        except MoreNeeded:
            length *= _FACTOR
    return head(read(most), total, transfer_syntax, enough=most < total)


def inflated(read: Callable[[int], bytes], size: int, max_bytes: int) -> bytes:
    """Return the beginning of a deflated data set of `size` bytes, inflated, at most 16 MiB.

    All of it is inflated, so that Broken tells of a stream that is damaged, is over
    `max_bytes`, or grows more than 200 times beyond its first 16 MiB.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    kept: list[bytes] = []
    done = 0
    pending = read(_INFLATE_STEP)
    try:
        while pending and not inflater.eof:
            piece = inflater.decompress(pending, _INFLATE_STEP)
            if done < _INFLATED_HEAD:
                kept.append(piece)
            done += len(piece)
            if done > max_bytes or (done > _INFLATED_HEAD and done > size * _MAX_RATIO):
                raise Broken("The deflated data set inflates beyond the limit")
            pending = inflater.unconsumed_tail or read(_INFLATE_STEP)
    except zlib.error:
        raise Broken("The deflated data set is damaged") from None
    return b"".join(kept)


def is_deflated(transfer_syntax: str) -> bool:
    """Return whether data sets in this transfer syntax are deflated."""
    return transfer_syntax == DEFLATED


def valid_uid(uid: str) -> bool:
    """Return whether this is 1 to 64 digits and dots; zeros in front are let pass."""
    return _UID.fullmatch(uid) is not None


def _uid(found: Found, keyword: str) -> str:
    value = found.values.get(tag_of(keyword), b"").strip(b" \0").decode("ascii", "replace")
    if not value:
        raise MissingUid(f"{keyword} is absent")
    if not valid_uid(value):
        raise BadUid(f"{keyword} is not a UID")
    return value


def _attributes(scanned: Scan, flags: set[str]) -> dict[str, Any]:
    used = _character_set(scanned.found, CharacterSet("ascii", True))
    kept = _decoded(scanned.found, used, scanned.encoding, flags)
    for keyword in UIDS:
        kept.pop(keyword, None)
    return kept


def _character_set(found: Found, inherited: CharacterSet) -> CharacterSet:
    value = found.values.get(_CHARACTER_SET)
    return character_set(value.decode("ascii", "replace").split("\\")) if value else inherited


def _decoded(
    found: Found, inherited: CharacterSet, encoding: Encoding, flags: set[str]
) -> dict[str, Any]:
    """Return the attributes of a data set or item; items may have their own set."""
    used = _character_set(found, inherited)
    kept: dict[str, Any] = {}
    for tag, value in found.values.items():
        decoded = _values(tag, value, used, encoding, flags)
        if decoded:
            kept[_TAGS[tag]] = decoded
    for tag, items in found.items.items():
        if items:
            kept[_TAGS[tag]] = [_decoded(item, used, encoding, flags) for item in items]
    return kept


def _values(
    tag: int, value: bytes, used: CharacterSet, encoding: Encoding, flags: set[str]
) -> list[Any]:
    vr = _VRS[tag]
    if vr == "US":
        order = "<" if encoding.little else ">"
        return list(struct.unpack(f"{order}{len(value) // 2}H", value[: len(value) // 2 * 2]))
    if vr in _TEXT:
        text, good = decode(value, used, name=vr == "PN")
        if not good:
            flags.add("charset")
    else:
        text = value.decode("ascii", "replace")
    # A database cannot hold NUL in text; in DICOM it is only ever padding.
    text = text.replace("\0", " ")
    values = [text.strip()] if vr in _SINGLE else [part.strip() for part in text.split("\\")]
    return values if any(values) else []
