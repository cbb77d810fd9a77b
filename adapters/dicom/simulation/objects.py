"""Small synthetic instances: CT, MR, US, and the dose report of a CT.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#chapter_A
https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_CTRadiationDoseSRIODTemplates
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from adapters.dicom.dataset.encoded import encoded
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import phantom
from adapters.dicom.simulation.exam import Exam

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
MR: Final = "1.2.840.10008.5.1.4.1.1.4"
US: Final = "1.2.840.10008.5.1.4.1.1.6.1"
DOSE: Final = "1.2.840.10008.5.1.4.1.1.88.67"

_SPACING_MM = 0.7
_THICKNESS_MM = 1.25

Code = tuple[str, str, str]
_DOSE_REPORT: Code = ("113701", "DCM", "X-Ray Radiation Dose Report")
_ACCUMULATED: Code = ("113811", "DCM", "CT Accumulated Dose Data")
_EVENTS: Code = ("113812", "DCM", "Total Number of Irradiation Events")
_TOTAL_DLP: Code = ("113813", "DCM", "CT Dose Length Product Total")
_ACQUISITION: Code = ("113819", "DCM", "CT Acquisition")
_EVENT_UID: Code = ("113769", "DCM", "Irradiation Event UID")
_DOSE: Code = ("113829", "DCM", "CT Dose")
_CTDI: Code = ("113830", "DCM", "Mean CTDIvol")
_DLP: Code = ("113838", "DCM", "DLP")
_MGY: Code = ("mGy", "UCUM", "mGy")
_MGY_CM: Code = ("mGy.cm", "UCUM", "mGy.cm")
_COUNT: Code = ("{events}", "UCUM", "events")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of instance: its class, modality as written, and what fills a data set."""

    sop_class_uid: str
    modality: str
    fill: Callable[[Dataset, Exam, int], None]


def instances(exam: Exam) -> Iterator[Instance]:
    """Yield the instances of an examination, one series; a dose report is one alone."""
    kind = _KINDS[exam.modality]
    count = 1 if exam.modality == "SR" else exam.count
    for number in range(1, count + 1):
        uid = exam.uid("instance", number)
        made = _whole(exam, kind, uid, number)
        kind.fill(made, exam, number)
        yield Instance(kind.sop_class_uid, uid, EXPLICIT_LITTLE, encoded(made, EXPLICIT_LITTLE))


def _whole(exam: Exam, kind: Kind, uid: str, number: int) -> Dataset:
    """Return patient, study, series and identity, which all instances have."""
    day, clock = f"{exam.begun:%Y%m%d}", f"{exam.begun:%H%M%S}"
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = kind.sop_class_uid, uid
    made.StudyDate = made.SeriesDate = made.ContentDate = day
    made.StudyTime = made.SeriesTime = made.ContentTime = clock
    made.TimezoneOffsetFromUTC = f"{exam.begun:%z}"
    made.AccessionNumber, made.Modality = exam.accession_number, kind.modality
    made.Manufacturer, made.ManufacturerModelName = "Sangam", "Simulator"
    made.StationName, made.ReferringPhysicianName = exam.station, ""
    made.StudyDescription, made.SeriesDescription = exam.description, f"{exam.modality} 1"
    made.PatientName, made.PatientID = exam.patient_name, exam.patient_id
    made.PatientBirthDate, made.PatientSex = exam.birth_date, exam.sex
    made.StudyInstanceUID = exam.study_instance_uid
    made.SeriesInstanceUID = exam.series_instance_uid
    made.StudyID, made.SeriesNumber, made.InstanceNumber = f"S{exam.seed}", 1, number
    step = Dataset()
    step.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.3"
    step.ReferencedSOPInstanceUID = exam.step_uid
    made.ReferencedPerformedProcedureStepSequence = [step]
    return made


def _pixels(made: Dataset, exam: Exam, number: int, *, bits: int) -> None:
    """Add a picture of `size` rows and columns, each moved a little against the one before."""
    row = exam.size * 2
    moved = number * 7 % exam.size * row
    picture = phantom(exam.size, exam.seed)
    words = picture[moved:] + picture[:moved]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows = made.Columns = exam.size
    stored = 16 if bits > 8 else 8  # noqa: PLR2004  (bits of a byte)
    made.BitsAllocated, made.BitsStored, made.HighBit = stored, bits, bits - 1
    made.PixelRepresentation = 0
    # Of a little-endian word of 12 bits, the upper eight are a byte of grey.
    grey = bytes((high << 4 | low >> 4) & 0xFF for low, high in _pairs(words))
    made.PixelData = words if bits > 8 else grey + b"\0" * (len(grey) % 2)  # noqa: PLR2004
    made["PixelData"].VR = "OW" if bits > 8 else "OB"  # noqa: PLR2004


def _pairs(words: bytes) -> Iterator[tuple[int, int]]:
    return zip(words[::2], words[1::2], strict=True)


def _plane(made: Dataset, exam: Exam, number: int) -> None:
    edge = f"{-_SPACING_MM * exam.size / 2:.2f}"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = exam.uid("frame"), ""
    made.ImagePositionPatient = [edge, edge, f"{-_THICKNESS_MM * number:.2f}"]
    made.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    made.PixelSpacing, made.SliceThickness = [_SPACING_MM, _SPACING_MM], _THICKNESS_MM
    made.PatientPosition, made.BodyPartExamined = "HFS", "CHEST"


def _ct(made: Dataset, exam: Exam, number: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.KVP, made.AcquisitionNumber = "120", 1
    _plane(made, exam, number)
    _pixels(made, exam, number, bits=12)
    made.WindowCenter, made.WindowWidth = "40", "400"
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "-1024", "1", "HU"


def _mr(made: Dataset, exam: Exam, number: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    made.ScanningSequence, made.SequenceVariant, made.ScanOptions = "SE", "NONE", ""
    made.MRAcquisitionType, made.EchoTime, made.RepetitionTime = "2D", "15", "500"
    made.EchoTrainLength, made.MagneticFieldStrength = "1", "1.5"
    _plane(made, exam, number)
    _pixels(made, exam, number, bits=12)


def _us(made: Dataset, exam: Exam, number: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    made.BodyPartExamined = "ABDOMEN"
    _pixels(made, exam, number, bits=8)


def _dose(made: Dataset, exam: Exam, _place: int) -> None:
    """Fill a CT radiation dose report (TID 10011) of one acquisition."""
    ctdi, length = 8.4, 25.0
    dlp = f"{ctdi * length:.1f}"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.PerformedProcedureCodeSequence = []
    made.ReferencedPerformedProcedureStepSequence = []
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [_code(_DOSE_REPORT)]
    made.ContentSequence = [
        _container(
            _ACCUMULATED, [_number(_EVENTS, "1", _COUNT), _number(_TOTAL_DLP, dlp, _MGY_CM)]
        ),
        _container(
            _ACQUISITION,
            [
                _uid_reference(_EVENT_UID, exam.uid("irradiation")),
                _container(_DOSE, [_number(_CTDI, f"{ctdi}", _MGY), _number(_DLP, dlp, _MGY_CM)]),
            ],
        ),
    ]


def _code(code: Code) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = code
    return made


def _item(kind: str, name: Code) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", kind
    made.ConceptNameCodeSequence = [_code(name)]
    return made


def _container(name: Code, content: Sequence[Dataset]) -> Dataset:
    made = _item("CONTAINER", name)
    made.ContinuityOfContent, made.ContentSequence = "SEPARATE", list(content)
    return made


def _number(name: Code, value: str, unit: Code) -> Dataset:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, [_code(unit)]
    made = _item("NUM", name)
    made.MeasuredValueSequence = [measured]
    return made


def _uid_reference(name: Code, uid: str) -> Dataset:
    made = _item("UIDREF", name)
    made.UID = uid
    return made


_KINDS: Final = {
    "CT": Kind(CT, "CT", _ct),
    "MR": Kind(MR, "MR", _mr),
    "US": Kind(US, "US", _us),
    "SR": Kind(DOSE, "SR", _dose),
}
