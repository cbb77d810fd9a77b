"""The attributes of a document, read from the bytes of its data set.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_7
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from adapters.dicom.dataset.charset import CharacterSet, character_set, decode
from adapters.dicom.dataset.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    Broken,
    Encoding,
)
from adapters.dicom.dataset.identifier import tag_of
from adapters.dicom.dataset.syntaxes import DEFLATED
from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG as EXPLICIT_BIG_UID

Buffer = bytes | bytearray | memoryview

MAX_NESTING = 80
"""Sequences in sequences: 64 levels of content, and the codes of the innermost."""
MAX_ELEMENTS = 5_000_000
MAX_INFLATED = 256 << 20

# fmt: off
_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "SpecificCharacterSet", "StudyDate", "SeriesDate", "ContentDate", "AcquisitionDateTime",
    "StudyTime", "SeriesTime", "ContentTime", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "Modality", "Manufacturer", "InstitutionName",
    "ReferringPhysicianName", "TimezoneOffsetFromUTC", "StationName", "StudyDescription",
    "SeriesDescription", "ManufacturerModelName", "PatientName", "PatientID", "PatientBirthDate",
    "PatientSex", "QualityControlSubject", "PatientSpeciesDescription", "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence", "DeviceSerialNumber", "SeriesNumber",
    "InstanceNumber", "ConceptNameCodeSequence", "CompletionFlag", "CompletionFlagDescription",
    "VerificationFlag", "PreliminaryFlag", "VerifyingObserverSequence", "VerificationDateTime",
    "VerifyingObserverName", "VerifyingOrganization",
    "VerifyingObserverIdentificationCodeSequence", "AuthorObserverSequence", "ObserverType",
    "PersonName", "InstitutionCodeSequence", "PersonIdentificationCodeSequence",
    "PredecessorDocumentsSequence", "IdenticalDocumentsSequence",
    "CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence",
    "ReferencedPerformedProcedureStepSequence", "PerformedProcedureCodeSequence",
    "ReferencedRequestSequence", "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest", "RequestedProcedureID",
    "RequestedProcedureCodeSequence", "ReferencedSeriesSequence", "ReferencedSOPSequence",
    "ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "ReferencedFrameNumber",
    "ReferencedSegmentNumber", "ReferencedWaveformChannels", "PurposeOfReferenceCodeSequence",
    "CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeUID",
    "CodingSchemeVersion", "CodeMeaning", "LocalNamespaceEntityID", "UniversalEntityID",
    "UniversalEntityIDType", "ValueType", "RelationshipType", "ContentSequence", "TextValue",
    "ConceptCodeSequence", "MeasuredValueSequence", "NumericValue", "MeasurementUnitsCodeSequence",
    "NumericValueQualifierCodeSequence", "FloatingPointValue", "RationalNumeratorValue",
    "RationalDenominatorValue", "UID", "Date", "Time", "DateTime", "ObservationDateTime",
    "ObservationUID", "ContinuityOfContent", "GraphicType", "GraphicData",
    "PixelOriginInterpretation", "ReferencedFrameOfReferenceUID", "TemporalRangeType",
    "ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime",
    "ReferencedContentItemIdentifier", "TabulatedValuesSequence", "DocumentTitle",
    "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocument", "EncapsulatedDocumentLength",
    "HL7InstanceIdentifier", "SourceInstanceSequence", "DocumentClassCodeSequence",
    "BurnedInAnnotation",
)
# fmt: on

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXT = frozenset(("SH", "LO", "ST", "LT", "PN", "UC", "UT"))
_SINGLE = frozenset(("ST", "LT", "UT", "UR"))
_BINARY = frozenset(("OB", "OW", "UN", "OB or OW"))

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_HEADER = 8
_VRS = frozenset(str(one).encode() for one in VR if len(str(one)) == 2)  # noqa: PLR2004
_LONG = frozenset(str(one).encode() for one in EXPLICIT_VR_LENGTH_32)
_INFLATE_STEP = 1 << 20


_NAMES = {tag_of(keyword): (keyword, dictionary_VR(tag_of(keyword))) for keyword in _KEYWORDS}
_CHARACTER_SET = tag_of("SpecificCharacterSet")


@dataclass(frozen=True, slots=True)
class Span:
    """Where bytes lie in the data set: from `start`, as many as `size`."""

    start: int
    size: int


@dataclass(slots=True)
class _Frame:
    """A data set or item (`kept`), or a sequence (`items`), that is being read.

    It ends at `limit`, or before it at its delimiter where it is `open`.
    """

    encoding: Encoding
    limit: int
    open: bool
    used: CharacterSet
    kept: dict[str, Any] | None = None
    items: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class _Reader:
    data: Buffer
    offset: int = 0
    budget: int = MAX_ELEMENTS
    stack: list[_Frame] = field(default_factory=list)

    def read(self, encoding: Encoding) -> dict[str, Any]:
        root: dict[str, Any] = {}
        self.stack = [_Frame(encoding, len(self.data), False, CharacterSet("ascii", True), root)]
        while self.stack:
            frame = self.stack[-1]
            if self.offset >= frame.limit or self._padding(frame):
                if frame.open:
                    raise Broken("A sequence or item is cut off")
                self.stack.pop()
            elif frame.kept is None:
                self._item(frame)
            elif self._element(frame, frame.kept):
                return root
        return root

    def _padding(self, frame: _Frame) -> bool:
        """Return whether only NULs follow the last element, fewer than one needs."""
        if len(self.stack) > 1 or frame.limit - self.offset >= _HEADER:
            return False
        return not bytes(self.data[self.offset : frame.limit]).strip(b"\0")

    def _spend(self, frame: _Frame) -> None:
        self.budget -= 1
        if self.budget < 0:
            raise Broken("The document has too many elements")
        if self.offset + _HEADER > frame.limit:
            raise Broken("An element is cut off")

    def _item(self, frame: _Frame) -> None:
        self._spend(frame)
        group, element, length = frame.encoding.implicit_header.unpack_from(self.data, self.offset)
        tag = group << 16 | element
        self.offset += _HEADER
        if tag == _SEQUENCE_END and frame.open:
            self.stack.pop()
            return
        if tag != _ITEM:
            raise Broken("A sequence holds something that is not an item")
        kept: dict[str, Any] = {}
        assert frame.items is not None
        frame.items.append(kept)
        self._push(frame, length, kept=kept)

    def _element(self, frame: _Frame, kept: dict[str, Any]) -> bool:
        """Read an element; return whether the pixel data is reached."""
        self._spend(frame)
        tag, vr, length = self._header(frame)
        if tag == _ITEM_END and frame.open:
            self.stack.pop()
            return False
        if tag in PIXEL_DATA and len(self.stack) == 1:
            return True
        keyword, known = _NAMES.get(tag, ("", ""))
        sequence = vr == b"SQ" or known == "SQ" or length == _UNDEFINED
        if sequence and not (keyword and known != "SQ"):
            items: list[dict[str, Any]] = []
            if keyword and keyword not in kept:
                kept[keyword] = items
            self._push(frame, length, items=items, hidden=vr == b"UN")
            return False
        if length == _UNDEFINED or self.offset + length > frame.limit:
            raise Broken("An element is longer than what holds it")
        if keyword and keyword not in kept:
            self._value(frame, kept, tag, Span(self.offset, length))
        self.offset += length
        return False

    def _header(self, frame: _Frame) -> tuple[int, bytes, int]:
        encoding = frame.encoding
        group, element, length = encoding.implicit_header.unpack_from(self.data, self.offset)
        tag = group << 16 | element
        vr = bytes(self.data[self.offset + 4 : self.offset + 6]) if encoding.explicit else b""
        if vr not in _VRS:
            self.offset += _HEADER
            return tag, b"", length
        if vr not in _LONG:
            length = encoding.explicit_header.unpack_from(self.data, self.offset)[3]
            self.offset += _HEADER
            return tag, vr, length
        if self.offset + _HEADER + 4 > frame.limit:
            raise Broken("An element is cut off")
        length = encoding.length.unpack_from(self.data, self.offset + _HEADER)[0]
        self.offset += _HEADER + 4
        return tag, vr, length

    def _push(
        self,
        frame: _Frame,
        length: int,
        *,
        kept: dict[str, Any] | None = None,
        items: list[dict[str, Any]] | None = None,
        hidden: bool = False,
    ) -> None:
        """Enter a sequence or item; what is `hidden` in UN is Implicit VR (PS3.5, 6.2.2)."""
        is_open = length == _UNDEFINED
        limit = frame.limit if is_open else self.offset + length
        if limit > frame.limit:
            raise Broken("An item or sequence is longer than what holds it")
        if len(self.stack) > 2 * MAX_NESTING:
            raise Broken("Sequences are nested too deep")
        encoding = IMPLICIT_LITTLE if hidden else frame.encoding
        self.stack.append(_Frame(encoding, limit, is_open, frame.used, kept, items))

    def _value(self, frame: _Frame, kept: dict[str, Any], tag: int, span: Span) -> None:
        keyword, vr = _NAMES[tag]
        if vr in _BINARY:
            kept[keyword] = [span]
            return
        raw = bytes(self.data[span.start : span.start + span.size])
        if tag == _CHARACTER_SET:
            frame.used = character_set(raw.decode("ascii", "replace").split("\\"))
        values = _values(raw, vr, frame)
        if values:
            kept[keyword] = values


def _values(raw: bytes, vr: str, frame: _Frame) -> list[Any]:
    if vr in _NUMBERS:
        size = struct.calcsize(_NUMBERS[vr])
        count = len(raw) // size
        order = "<" if frame.encoding.little else ">"
        return list(struct.unpack(f"{order}{count}{_NUMBERS[vr]}", raw[: count * size]))
    if vr in _TEXT:
        text = decode(raw, frame.used, name=vr == "PN")[0]
    else:
        text = raw.decode("ascii", "replace")
    text = text.replace("\0", " ")
    values = [text.strip()] if vr in _SINGLE else [part.strip() for part in text.split("\\")]
    return values if any(values) else []


def read(data: Buffer, transfer_syntax: str) -> Mapping[str, Any]:
    """Return the attributes of a document's data set by keyword, as `dataset.attributes` has them.

    Bytes (the encapsulated document) are the Span at which they lie. What is no part of
    documents is passed over; nothing is read recursively. Raises Broken when the data set
    cannot be parsed.
    """
    encoding = EXPLICIT_BIG if transfer_syntax == EXPLICIT_BIG_UID else EXPLICIT_LITTLE
    if encoding.little and bytes(data[4:6]) not in _VRS:
        encoding = IMPLICIT_LITTLE
    return _Reader(data).read(encoding)


def plain(data: Buffer, transfer_syntax: str) -> Buffer:
    """Return a data set as it is read: inflated, where its syntax is the deflated one.

    Raises Broken when it is damaged, or inflates beyond `MAX_INFLATED` bytes.
    """
    if transfer_syntax != DEFLATED:
        return data
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces, size, pending = [], 0, bytes(data)
    try:
        while pending and not inflater.eof:
            piece = inflater.decompress(pending, _INFLATE_STEP)
            pending = inflater.unconsumed_tail
            size += len(piece)
            if size > MAX_INFLATED:
                raise Broken("The deflated data set inflates beyond the limit")
            pieces.append(piece)
    except zlib.error:
        raise Broken("The deflated data set is damaged") from None
    return b"".join(pieces)
