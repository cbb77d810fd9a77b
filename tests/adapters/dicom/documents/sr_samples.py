"""Structured reports for tests: trees in a short notation, made into data sets by pydicom."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from adapters.dicom.network.scu import Instance

SR = "1.2.840.10008.5.1.4.1.1.88."
STUDY = "1.2.826.0.1.3680043.8.498.1"
SERIES = f"{STUDY}.2"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"

Code = tuple[str, str, str]


def dcm(value: str, meaning: str) -> Code:
    return value, "DCM", meaning


def sct(value: str, meaning: str) -> Code:
    return value, "SCT", meaning


def coded(code: Code) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = code
    return made


@dataclass
class Node:
    """A content item: relationship, type, name, attributes, children."""

    relationship: str
    kind: str
    name: Code | None
    values: dict[str, Any] = field(default_factory=dict)
    children: Sequence["Node"] = ()

    def dataset(self) -> Dataset:
        made = Dataset()
        if self.relationship:
            made.RelationshipType = self.relationship
        if self.kind:
            made.ValueType = self.kind
        if self.name:
            made.ConceptNameCodeSequence = Items([coded(self.name)])
        if self.kind == "CONTAINER":
            made.ContinuityOfContent = "SEPARATE"
        for keyword, value in self.values.items():
            setattr(made, keyword, value)
        if self.children:
            made.ContentSequence = Items([one.dataset() for one in self.children])
        return made


def container(name: Code, *children: Node, relationship: str = "CONTAINS") -> Node:
    return Node(relationship, "CONTAINER", name, {}, children)


def text(name: Code | None, value: str, *children: Node, rel: str = "CONTAINS") -> Node:
    return Node(rel, "TEXT", name, {"TextValue": value}, children)


def code(name: Code, value: Code, *children: Node, rel: str = "CONTAINS") -> Node:
    return Node(rel, "CODE", name, {"ConceptCodeSequence": Items([coded(value)])}, children)


def uid(name: Code, value: str, *children: Node, rel: str = "CONTAINS") -> Node:
    return Node(rel, "UIDREF", name, {"UID": value}, children)


def at(name: Code, value: str, *children: Node, rel: str = "CONTAINS") -> Node:
    return Node(rel, "DATETIME", name, {"DateTime": value}, children)


def person(name: Code, value: str, *children: Node, rel: str = "HAS OBS CONTEXT") -> Node:
    return Node(rel, "PNAME", name, {"PersonName": value}, children)


def num(
    name: Code,
    value: str | None,
    unit: Code | None = None,
    *children: Node,
    rel: str = "CONTAINS",
    qualifier: Code | None = None,
) -> Node:
    values: dict[str, Any] = {"MeasuredValueSequence": Items([])}
    if value is not None:
        measured = Dataset()
        measured.NumericValue = value
        if unit:
            measured.MeasurementUnitsCodeSequence = Items([coded(unit)])
        values["MeasuredValueSequence"] = Items([measured])
    if qualifier:
        values["NumericValueQualifierCodeSequence"] = Items([coded(qualifier)])
    return Node(rel, "NUM", name, values, children)


def image(
    sop: str, *children: Node, rel: str = "CONTAINS", name: Code | None = None, frame: int = 0
) -> Node:
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CT_CLASS, sop
    if frame:
        one.ReferencedFrameNumber = frame
    return Node(rel, "IMAGE", name, {"ReferencedSOPSequence": Items([one])}, children)


def scoord(points: Sequence[float], *children: Node, name: Code | None = None) -> Node:
    values = {"GraphicType": "POLYLINE", "GraphicData": list(points)}
    return Node("INFERRED FROM", "SCOORD", name, values, children)


def by_reference(*position: int, rel: str = "INFERRED FROM") -> Node:
    return Node(rel, "", None, {"ReferencedContentItemIdentifier": list(position)})


def mm(value: str = "mm") -> Code:
    return value, "UCUM", "millimeter"


def document(
    root: Node, *, sop: str = f"{STUDY}.3", sop_class: str = f"{SR}33", **changes: Any
) -> Dataset:
    """Return a complete, verified document; `changes` are attributes, None takes one away."""
    made = root.dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = sop_class, sop
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, SERIES
    made.StudyDate, made.StudyTime = "20240102", "101112"
    made.ContentDate, made.ContentTime = "20240102", "111213"
    made.TimezoneOffsetFromUTC = "+0530"
    made.AccessionNumber, made.Modality, made.StudyID = "A1", "SR", "1"
    made.SeriesNumber, made.InstanceNumber = 1, 1
    made.PatientName, made.PatientID = "Simulated^Person", "SIM1"
    made.PatientBirthDate, made.PatientSex = "19700101", "F"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "VERIFIED"
    verifying = Dataset()
    verifying.VerifyingObserverName = "Reader^First"
    verifying.VerifyingOrganization = "Example Hospital"
    verifying.VerificationDateTime = "20240102120000"
    verifying.VerifyingObserverIdentificationCodeSequence = Items([])
    made.VerifyingObserverSequence = Items([verifying])
    for keyword, value in changes.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def encoded(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the bytes of a data set."""
    buffer = io.BytesIO()
    made.save_as(
        buffer,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=False,
    )
    return buffer.getvalue()


def instance(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> Instance:
    """Return a data set as it is sent."""
    return Instance(
        str(made.SOPClassUID), str(made.SOPInstanceUID), str(syntax), encoded(made, syntax)
    )


def file(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a data set as a file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def related(study: str, series: str, sop: str, sop_class: str = CT_CLASS) -> Dataset:
    """Return an item of the evidence, or of the predecessors."""
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = sop_class, sop
    of_series = Dataset()
    of_series.SeriesInstanceUID = series
    of_series.ReferencedSOPSequence = Items([one])
    of_study = Dataset()
    of_study.StudyInstanceUID = study
    of_study.ReferencedSeriesSequence = Items([of_series])
    return of_study


METHOD = sct("370129005", "Measurement Method")
OBSERVER = (
    code(dcm("121005", "Observer Type"), dcm("121006", "Person"), rel="HAS OBS CONTEXT"),
    person(dcm("121008", "Person Observer Name"), "Reader^First"),
    text(
        dcm("121009", "Person Observer's Organization Name"),
        "Example Hospital",
        rel="HAS OBS CONTEXT",
    ),
    code(dcm("121005", "Observer Type"), dcm("121007", "Device"), rel="HAS OBS CONTEXT"),
    uid(dcm("121012", "Device Observer UID"), f"{STUDY}.77", rel="HAS OBS CONTEXT"),
    text(dcm("121013", "Device Observer Name"), "CAD One", rel="HAS OBS CONTEXT"),
    text(dcm("121016", "Device Observer Serial Number"), "SN7", rel="HAS OBS CONTEXT"),
)
SUBJECT = (
    person(dcm("121029", "Subject Name"), "SIMULATED^Person"),
    text(dcm("121030", "Subject ID"), "SIM1", rel="HAS OBS CONTEXT"),
    code(dcm("121032", "Subject Sex"), dcm("F", "Female"), rel="HAS OBS CONTEXT"),
)
LANGUAGE = code(
    dcm("121049", "Language of Content Item and Descendants"),
    ("en-US", "RFC5646", "English (United States)"),
    rel="HAS CONCEPT MOD",
)


def basic_report() -> Dataset:
    """TID 2000: sections, findings, impression, conclusion."""
    root = container(
        ("18782-3", "LN", "Radiology Study observation"),
        LANGUAGE,
        *OBSERVER,
        *SUBJECT,
        code(
            dcm("121058", "Procedure reported"),
            sct("169069000", "CT of chest"),
            rel="HAS CONCEPT MOD",
        ),
        container(dcm("121060", "History"), text(dcm("121060", "History"), "Cough <2 weeks>")),
        container(
            dcm("121070", "Findings"),
            text(
                dcm("121071", "Finding"),
                "Mass & effusion",
                image(f"{STUDY}.9", rel="INFERRED FROM"),
            ),
            code(dcm("121071", "Finding"), sct("4147007", "Mass")),
            num(sct("81827009", "Diameter"), "1.50", ("cm", "UCUM", "centimeter")),
        ),
        container(dcm("121072", "Impressions"), text(dcm("121073", "Impression"), "Tumour likely")),
        container(
            dcm("121076", "Conclusions"),
            text(dcm("121077", "Conclusion"), "Biopsy\nadvised"),
            code(dcm("121077", "Conclusion"), sct("363358000", "Malignant tumor of lung")),
        ),
        container(dcm("121180", "Key Images"), image(f"{STUDY}.9", frame=3)),
        relationship="",
    )
    evidence = Items([related(STUDY, f"{STUDY}.8", f"{STUDY}.9")])
    return document(root, sop_class=f"{SR}22", CurrentRequestedProcedureEvidenceSequence=evidence)


def measurement_report(sop: str = f"{STUDY}.4", **changes: Any) -> Dataset:
    """TID 1500: two groups with everything that TID 1411 and 1501 know, one derived."""
    group = container(
        dcm("125007", "Measurement Group"),
        text(dcm("112039", "Tracking Identifier"), "Lesion 1", rel="HAS OBS CONTEXT"),
        uid(dcm("112040", "Tracking Unique Identifier"), f"{STUDY}.50", rel="HAS OBS CONTEXT"),
        code(sct("276214006", "Finding category"), sct("49755003", "Morphological abnormality")),
        code(dcm("121071", "Finding"), sct("27925004", "Nodule")),
        code(
            sct("363698007", "Finding Site"),
            sct("39607008", "Lung"),
            code(sct("272741003", "Laterality"), sct("7771000", "Left"), rel="HAS CONCEPT MOD"),
            code(
                sct("106233006", "Topographical modifier"),
                sct("261183002", "Upper"),
                rel="HAS CONCEPT MOD",
            ),
            rel="HAS CONCEPT MOD",
        ),
        code(
            sct("370129005", "Measurement Method"),
            dcm("112022", "RECIST 1.1"),
            rel="HAS CONCEPT MOD",
        ),
        text(dcm("111001", "Algorithm Name"), "Nodule Finder", rel="HAS CONCEPT MOD"),
        text(dcm("111003", "Algorithm Version"), "2.1", rel="HAS CONCEPT MOD"),
        text(dcm("111002", "Algorithm Parameters"), "threshold=0.5", rel="HAS CONCEPT MOD"),
        num(
            ("G-D7FE", "SRT", "Length"),
            "12.50",
            mm(),
            code(dcm("121401", "Derivation"), sct("373098007", "Mean"), rel="HAS CONCEPT MOD"),
            scoord(
                [1.5, 2.5, 10.0, 20.25],
                image(f"{STUDY}.9", rel="SELECTED FROM", frame=2),
                name=dcm("111030", "Image Region"),
            ),
        ),
        num(
            sct("118565006", "Volume"),
            None,
            qualifier=dcm("114006", "Measurement failure"),
        ),
        code(sct("112233", "Margin"), sct("129742005", "Spiculated")),
        text(("99X", "99LOCAL", "Remark"), "seen before"),
        image(f"{STUDY}.10", name=dcm("121191", "Referenced Segment")),
    )
    old = container(
        dcm("125007", "Measurement Group"),
        text(dcm("112039", "Tracking Identifier"), "Lesion 2", rel="HAS OBS CONTEXT"),
        code(("G-C0E3", "SRT", "Finding Site"), ("T-62000", "SRT", "Liver"), rel="HAS CONCEPT MOD"),
        num(sct("410668003", "Length"), "7", mm()),
    )
    derived = container(
        dcm("126011", "Derived Imaging Measurements"),
        container(
            dcm("125007", "Measurement Group"),
            num(
                sct("118565006", "Sum of diameters"),
                "19.5",
                mm(),
                by_reference(1, 9, 1, 10),
            ),
        ),
    )
    root = container(
        dcm("126000", "Imaging Measurement Report"),
        LANGUAGE,
        *OBSERVER,
        container(dcm("126010", "Imaging Measurements"), group, old),
        derived,
        relationship="",
    )
    return document(root, sop=sop, **changes)


MGY_CM: Code = ("mGy.cm", "UCUM", "mGy.cm")
GY_M2: Code = ("Gy.m2", "UCUM", "Gy.m2")
EVENTS: Code = ("{events}", "UCUM", "events")
ONE: Code = ("1", "UCUM", "no units")


def ct_dose() -> Dataset:
    """TID 10011: accumulated figures, an acquisition with two sources."""
    source = [
        container(
            dcm("113831", "CT X-Ray Source Parameters"),
            text(dcm("113832", "Identification of the X-Ray Source"), name),
            num(dcm("113733", "KVP"), kvp, ("kV", "UCUM", "kV")),
            num(dcm("113734", "X-Ray Tube Current"), "210", ("mA", "UCUM", "mA")),
        )
        for name, kvp in (("A", "100"), ("B", "140"))
    ]
    acquisition = container(
        dcm("113819", "CT Acquisition"),
        text(dcm("125203", "Acquisition Protocol"), "Chest"),
        code(dcm("123014", "Target Region"), sct("816094009", "Chest")),
        code(dcm("113820", "CT Acquisition Type"), dcm("P5-08001", "Spiral")),
        uid(dcm("113769", "Irradiation Event UID"), f"{STUDY}.600"),
        container(
            dcm("113822", "CT Acquisition Parameters"),
            num(dcm("113824", "Exposure Time"), "5.2", ("s", "UCUM", "s")),
            num(dcm("113825", "Scanning Length"), "350", mm()),
            num(dcm("113828", "Pitch Factor"), "0.984", ("{ratio}", "UCUM", "ratio")),
            *source,
        ),
        container(
            dcm("113829", "CT Dose"),
            num(dcm("113830", "Mean CTDIvol"), "9.1", ("mGy", "UCUM", "mGy")),
            code(dcm("113835", "CTDIw Phantom Type"), dcm("113691", "IEC Body Dosimetry Phantom")),
            num(dcm("113838", "DLP"), "318.5", MGY_CM),
        ),
    )
    root = container(
        dcm("113701", "X-Ray Radiation Dose Report"),
        code(
            dcm("121058", "Procedure reported"),
            sct("77477000", "Computed Tomography X-Ray"),
            code(
                sct("363703001", "Has Intent"),
                sct("261004008", "Diagnostic Intent"),
                rel="HAS CONCEPT MOD",
            ),
            rel="HAS CONCEPT MOD",
        ),
        at(dcm("113809", "Start of X-Ray Irradiation"), "20240102101500", rel="HAS OBS CONTEXT"),
        code(
            dcm("113705", "Scope of Accumulation"),
            dcm("113014", "Study"),
            uid(dcm("110180", "Study Instance UID"), STUDY, rel="HAS PROPERTIES"),
            rel="HAS OBS CONTEXT",
        ),
        container(
            dcm("113811", "CT Accumulated Dose Data"),
            num(
                dcm("113812", "Total Number of Irradiation Events"),
                "1",
                ("{events}", "UCUM", "events"),
            ),
            num(dcm("113813", "CT Dose Length Product Total"), "318.50", MGY_CM),
        ),
        acquisition,
        code(
            dcm("113854", "Source of Dose Information"), dcm("113856", "Automated Data Collection")
        ),
        relationship="",
    )
    return document(
        root, sop=f"{STUDY}.5", sop_class=f"{SR}67", VerificationFlag="UNVERIFIED",
        VerifyingObserverSequence=None,
    )  # fmt: skip


def projection_dose() -> Dataset:
    """TID 10001: a biplane system, figures of both planes, one event each."""

    def accumulated(code_: str, name: str, dap: str) -> Node:
        return container(
            dcm("113702", "Accumulated X-Ray Dose Data"),
            code(dcm("113764", "Acquisition Plane"), dcm(code_, name), rel="HAS CONCEPT MOD"),
            num(dcm("113722", "Dose Area Product Total"), dap, GY_M2),
            num(dcm("113725", "Dose (RP) Total"), "0.02", ("Gy", "UCUM", "Gy")),
            num(dcm("113730", "Total Fluoro Time"), "61", ("s", "UCUM", "s")),
        )

    def event(code_: str, name: str, number: int) -> Node:
        return container(
            dcm("113706", "Irradiation Event X-Ray Data"),
            code(dcm("113764", "Acquisition Plane"), dcm(code_, name), rel="HAS CONCEPT MOD"),
            at(dcm("111526", "DateTime Started"), f"2024010210{number:02}00+0530"),
            uid(dcm("113769", "Irradiation Event UID"), f"{STUDY}.70{number}"),
            num(dcm("122130", "Dose Area Product"), "0.000012", GY_M2),
            num(dcm("113738", "Dose (RP)"), "1e-3", ("Gy", "UCUM", "Gy")),
            num(dcm("113733", "KVP"), "80", ("kV", "UCUM", "kV")),
            num(dcm("113768", "Number of Pulses"), "1", ONE),
        )

    root = container(
        dcm("113701", "X-Ray Radiation Dose Report"),
        accumulated("113620", "Plane A", "0.00012"),
        accumulated("113621", "Plane B", "0.00034"),
        event("113620", "Plane A", 1),
        event("113621", "Plane B", 2),
        relationship="",
    )
    return document(root, sop=f"{STUDY}.6", sop_class=f"{SR}67")


def radiopharmaceutical_dose() -> Dataset:
    """TID 10021: one administration."""
    root = container(
        dcm("113500", "Radiopharmaceutical Radiation Dose Report"),
        container(
            dcm("113502", "Radiopharmaceutical Administration"),
            code(dcm("F-61FDB", "Radiopharmaceutical agent"), sct("35321007", "FDG")),
            uid(dcm("113503", "Radiopharmaceutical Administration Event UID"), f"{STUDY}.801"),
            at(dcm("123003", "Radiopharmaceutical Start DateTime"), "20240102090000"),
            at(dcm("123004", "Radiopharmaceutical Stop DateTime"), "20240102090100"),
            num(dcm("113507", "Administered activity"), "370.0", ("MBq", "UCUM", "MBq")),
        ),
        relationship="",
    )
    return document(root, sop=f"{STUDY}.7", sop_class=f"{SR}68")


SELECTION = container(
    dcm("113000", "Of Interest"),
    text(dcm("113012", "Key Object Description"), "for the board"),
    image(f"{STUDY}.9"),
    relationship="",
)


def key_objects(title: Code = ("113000", "DCM", "Of Interest")) -> Dataset:
    """A Key Object Selection."""
    evidence = Items([related(STUDY, f"{STUDY}.8", f"{STUDY}.9")])
    root = container(title, *SELECTION.children, relationship="")
    return document(
        root, sop=f"{STUDY}.11", sop_class=f"{SR}59", CompletionFlag=None, VerificationFlag=None,
        VerifyingObserverSequence=None, CurrentRequestedProcedureEvidenceSequence=evidence,
    )  # fmt: skip


MADE: dict[str, Callable[[], Dataset]] = {
    "basic report": basic_report,
    "measurement report": measurement_report,
    "ct dose": ct_dose,
    "projection dose": projection_dose,
    "radiopharmaceutical dose": radiopharmaceutical_dose,
    "key objects": key_objects,
}
