"""What leaves: no identity, and everything that refers to something else still does."""

import hmac
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from adapters.dicom.deidentification.clean import cleaned
from adapters.dicom.deidentification.copies import Review, Source, copied
from adapters.dicom.deidentification.pixels import Blocked, Rectangle, blacked_out, check
from adapters.dicom.deidentification.profile import (
    CHOICES,
    CLEAN_DESCRIPTORS,
    DEVICE,
    FULL_DATES,
    INSTITUTION,
    PATIENT,
    SAFE_PRIVATE,
    UIDS,
    Action,
    action_of,
    actions,
)
from adapters.dicom.deidentification.project import Project, shifted
from adapters.dicom.query.backfill import stored_head
from tests.adapters.dicom import files

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.33"
KEY = bytes(range(32))
PROJECT = Project("T", KEY)
REVIEWED = Review(reviewed=True)


def item(**elements: Any) -> Dataset:
    found = Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def patient(**more: Any) -> Dataset:
    return item(
        SOPClassUID=CT,
        SOPInstanceUID="1.2.3.4",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.1",
        FrameOfReferenceUID="1.2.3.9",
        PatientID="MRN-4711",
        PatientName="Pardhi^Meena",
        PatientBirthDate="19610203",
        PatientSex="F",
        PatientAge="063Y",
        StudyDate="20240229",
        StudyTime="101112",
        AccessionNumber="ACC-77",
        Modality="CT",
        InstitutionName="General Hospital",
        DeviceSerialNumber="SN-5",
        StudyDescription="CT HEAD without contrast, Meena, Dr. Bose",
        **more,
    )


def options(*chosen: str) -> Project:
    return Project("T", KEY, frozenset(chosen))


def test_a_uid_is_the_first_128_bits_of_its_mac_below_2_25() -> None:
    number = int.from_bytes(hmac.digest(KEY, b"1.2.3", "sha256")[:16], "big")
    assert PROJECT.uid("1.2.3") == f"2.25.{number}"
    assert PROJECT.uid("1.2.3") != Project("U", bytes(32)).uid("1.2.3")
    assert PROJECT.uid(CT) == CT
    assert options(UIDS).uid("1.2.3") == "1.2.3"


def test_a_patient_moves_by_one_number_of_days_within_a_year() -> None:
    days = {PROJECT.shift(f"P{n}") for n in range(500)}
    assert min(days) >= -365
    assert max(days) <= -1
    assert len(days) > 100
    assert PROJECT.shift("P1") == PROJECT.shift("P1")
    assert options(FULL_DATES).shift("P1") == 0


@pytest.mark.parametrize(
    ("value", "vr", "expected"),
    [
        ("20240301", "DA", "20240229"),
        ("2024.03.01", "DA", "20240229"),
        ("20240100", "DA", ""),
        ("yesterday", "DA", ""),
        ("", "DA", ""),
        ("20240101120000.5+0530", "DT", "20231231120000.5+0530"),
        ("20240101-0500", "DT", "20231231-0500"),
        ("2024", "DT", ""),
        ("00010101", "DA", ""),
    ],
)
def test_dates_move_and_what_is_none_goes(value: str, vr: str, expected: str) -> None:
    assert shifted(value, vr, -1) == expected


def test_the_basic_profile() -> None:
    days = PROJECT.shift("MRN-4711")
    found = cleaned(patient(OperatorsName="Bose^A", ImageComments="x"), PROJECT)
    pseudonym = PROJECT.pseudonym("MRN-4711")
    assert (found.PatientID, str(found.PatientName)) == (pseudonym, pseudonym)
    assert found.StudyDate == shifted("20240229", "DA", days) != "20240229"
    assert found.StudyTime == "101112"
    emptied = (found.PatientBirthDate, found.PatientSex, found.AccessionNumber)
    assert emptied == (None, None, None)
    assert "PatientAge" not in found
    assert "ImageComments" not in found
    assert "StudyDescription" not in found
    assert (found.InstitutionName, found.DeviceSerialNumber) == ("ANONYMOUS", "ANONYMOUS")
    assert str(found.OperatorsName) == "ANONYMOUS"
    assert (found.SOPClassUID, found.SOPInstanceUID) == (CT, PROJECT.uid("1.2.3.4"))
    assert found.FrameOfReferenceUID == PROJECT.uid("1.2.3.9")
    assert (found.PatientIdentityRemoved, found.LongitudinalTemporalInformationModified) == (
        "YES",
        "MODIFIED",
    )
    codes = [one.CodeValue for one in found.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]


@pytest.mark.parametrize(
    ("option", "kept"),
    [
        (PATIENT, {"PatientSex": "F", "PatientAge": "063Y"}),
        (DEVICE, {"DeviceSerialNumber": "SN-5"}),
        (INSTITUTION, {"InstitutionName": "General Hospital"}),
        (FULL_DATES, {"StudyDate": "20240229"}),
        (UIDS, {"SOPInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.9"}),
        (CLEAN_DESCRIPTORS, {"StudyDescription": "CT HEAD without contrast"}),
    ],
)
def test_an_option_keeps_its_attributes_and_no_others(option: str, kept: dict[str, str]) -> None:
    everything = {
        name: value
        for name in ("PatientSex", "PatientAge", "DeviceSerialNumber", "InstitutionName")
        for value in [str(patient()[name].value)]
    } | {"StudyDate": "20240229", "SOPInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.9"}
    everything["StudyDescription"] = "CT HEAD without contrast"
    found = cleaned(patient(), options(option))
    assert {
        name: value for name, value in everything.items() if str(found.get(name)) == value
    } == kept
    assert option in [one.CodeValue for one in found.DeidentificationMethodCodeSequence]


def test_references_point_to_the_new_uids_at_any_depth() -> None:
    def reference() -> Dataset:
        return item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID="1.2.3.4")

    tree = item(
        ValueType="CONTAINER",
        ContentSequence=Items(
            [
                item(
                    ValueType="TEXT",
                    TextValue="seen by Meena",
                    ConceptNameCodeSequence=Items(
                        [item(CodeValue="121071", CodingSchemeDesignator="DCM", CodeMeaning="F")]
                    ),
                ),
                item(ValueType="PNAME", PersonName="Bose^A"),
                item(ValueType="UIDREF", UID="1.2.3.1"),
                item(ValueType="DATE", Date="20240229"),
                item(ValueType="IMAGE", ReferencedSOPSequence=Items([reference()])),
            ]
        ),
    )
    evidence = item(
        StudyInstanceUID="1.2.3",
        ReferencedSeriesSequence=Items(
            [item(SeriesInstanceUID="1.2.3.1", ReferencedSOPSequence=Items([reference()]))]
        ),
    )
    found = patient(
        ContentSequence=Items([tree]),
        CurrentRequestedProcedureEvidenceSequence=Items([evidence]),
    )
    found.SOPClassUID = SR
    cleaned(found, PROJECT)
    text, name, uid, date, image = found.ContentSequence[0].ContentSequence
    assert (text.TextValue, str(name.PersonName)) == ("ANONYMOUS", "ANONYMOUS")
    assert text.ConceptNameCodeSequence[0].CodeValue == "121071"
    assert uid.UID == PROJECT.uid("1.2.3.1") == found.SeriesInstanceUID
    assert date.Date == found.StudyDate
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == found.SOPInstanceUID
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == CT
    series = found.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == found.SeriesInstanceUID


def test_private_attributes_go_unless_they_are_known_to_be_safe() -> None:
    def with_private() -> Dataset:
        found = patient()
        for creator in ("GEMS_ACQU_01", "MAKER"):
            block = found.private_block(0x0019, creator, create=True)
            block.add_new(0x23, "DS", "1.5")
            block.add_new(0x24, "LO", "of Meena")
            block.add_new(0x25, "LO", "unknown")
        return found

    assert not [one for one in cleaned(with_private(), PROJECT) if one.tag.is_private]
    found = cleaned(with_private(), options(SAFE_PRIVATE))
    kept = {int(one.tag): str(one.value) for one in found if one.tag.is_private}
    assert kept == {0x00190010: "GEMS_ACQU_01", 0x00191023: "1.5", 0x00191024: ""}


def test_texts_and_bytes_that_tell_the_patient_go_although_they_might_stay() -> None:
    found = patient(
        ManufacturerModelName="Model of MEENA",
        SoftwareVersions=["1.0", "for mrn-4711"],
        ConvolutionKernel="ACC-77",
        ICCProfile=b"..Pardhi^Meena..",
        LUTData=b"plain",
    )
    cleaned(found, PROJECT)
    assert found.ManufacturerModelName == ""
    assert list(found.SoftwareVersions) == ["1.0", ""]
    assert found.ConvolutionKernel == ""
    assert "ICCProfile" not in found
    assert found.LUTData == b"plain"


def test_what_the_dictionary_does_not_know_goes() -> None:
    chosen = actions(())
    assert action_of(chosen, 0x00080099) is Action.REMOVE
    assert action_of(chosen, 0x50020010) is Action.REMOVE
    assert action_of(chosen, 0x60023000) is Action.REMOVE
    assert action_of(chosen, 0x00280010) is None


def test_every_option_says_what_it_keeps() -> None:
    changed = {
        option: {
            tag for tag, action in actions((option,)).items() if action != actions(()).get(tag)
        }
        for option in (PATIENT, DEVICE, INSTITUTION, CLEAN_DESCRIPTORS)
    }
    assert {option: len(tags) for option, tags in changed.items()} == {
        PATIENT: 10,
        DEVICE: 20,
        INSTITUTION: 5,
        CLEAN_DESCRIPTORS: 11,
    }
    assert {*changed, FULL_DATES, UIDS, SAFE_PRIVATE} == CHOICES


US = "1.2.840.10008.5.1.4.1.1.6.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


@pytest.mark.parametrize(
    ("elements", "blocked", "after_review"),
    [
        ({}, False, False),
        ({"BurnedInAnnotation": "NO"}, False, False),
        ({"BurnedInAnnotation": "YES"}, True, False),
        ({"BurnedInAnnotation": "MAYBE"}, True, False),
        ({"SOPClassUID": US}, True, False),
        ({"Modality": "OT"}, True, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, True, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, False, False),
        ({"SOPClassUID": PDF}, True, True),
        ({"EncapsulatedDocument": b"%PDF"}, True, True),
    ],
    ids=range(10),
)
def test_pixels_that_may_tell_are_held_back(
    elements: dict[str, Any], *, blocked: bool, after_review: bool
) -> None:
    found = item(**({"SOPClassUID": CT, "Modality": "CT"} | elements))
    for reviewed, expected in ((False, blocked), (True, after_review)):
        if expected:
            with pytest.raises(Blocked):
                check(found, reviewed=reviewed)
        else:
            check(found, reviewed=reviewed)


@pytest.mark.parametrize(("planar", "samples"), [(0, 1), (0, 3), (1, 3)])
def test_rectangles_become_black_in_each_frame(planar: int, samples: int) -> None:
    found = item(
        Rows=3,
        Columns=4,
        BitsAllocated=16,
        SamplesPerPixel=samples,
        PlanarConfiguration=planar,
        NumberOfFrames=2,
        PhotometricInterpretation="RGB" if samples == 3 else "MONOCHROME2",
    )
    pixels = bytearray(b"\xff" * (3 * 4 * 2 * samples * 2))
    blacked_out(found, pixels, [Rectangle(2, 1, 9, 1)])
    black = bytes(2 * 2 * (1 if planar else samples))
    row = b"\xff" * (4 * 2 * (1 if planar else samples))
    frame = row + row[: len(row) - len(black)] + black + row
    assert bytes(pixels) == frame * (2 * (samples if planar else 1))


def leaves(found: Dataset) -> Iterator[tuple[str, str]]:
    for element in found:
        if element.VR == "SQ":
            for one in element.value or ():
                yield from leaves(one)
        # The UID of a coding scheme names no thing of the patient.
        elif element.keyword == "CodingSchemeUID":
            continue
        elif element.VR in {"UI", "PN", "DA", "DT"} or element.keyword in {
            *("PatientID", "AccessionNumber", "OtherPatientIDs", "AdmissionID"),
        }:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            for value in values:
                yield element.VR, str(value or "")


def secret_texts(found: Dataset) -> set[str]:
    """Return what must not be found: UIDs of things, names, ids, dates of events."""
    texts = set()
    for vr, text in leaves(found):
        plain = text.strip(" ^=\0")
        if vr == "UI" and not plain.startswith("1.2.840.10008."):
            texts.add(plain)
        elif vr in {"DA", "DT"}:
            texts.add(plain[:8])
        elif vr != "UI":
            texts.add(plain)
    return {text for text in texts if len(text) >= 6 and text.isascii()}


def source_of(file: files.DicomFile) -> Source:
    raw = file.path.read_bytes()
    offset = len(raw) - len(file.data_set)
    head = stored_head(file.path, offset, len(file.data_set), file.transfer_syntax_uid)
    return Source(
        head.study_instance_uid,
        head.series_instance_uid,
        head.sop_instance_uid,
        file.transfer_syntax_uid,
        "",
        offset,
        head.pixel_offset,
    )


# Of no study, of two files in one, or cut off.
UNREADABLE = 0xA900


def indexable() -> list[files.DicomFile]:
    found = []
    for file in files.all_files():
        try:
            source_of(file)
        except Exception:  # noqa: BLE001  (such are refused when they come)
            continue
        found.append(file)
    return found


@pytest.mark.parametrize("apart", [True, False], ids=["pixels apart", "as a whole"])
def test_no_file_of_pydicom_tells_its_patient_and_each_keeps_its_pixels(*, apart: bool) -> None:
    outcomes = {"written": 0, "held back": 0}
    for file in indexable():
        source = source_of(file)
        if not apart:
            source = Source(*(getattr(source, n) for n in Source.__slots__[:-1]), None)
        try:
            content = b"".join(copied(file.path, source, PROJECT, REVIEWED).pieces)
        except Blocked:
            outcomes["held back"] += 1
            continue
        outcomes["written"] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = pydicom.dcmread(file.path)
            after = pydicom.dcmread(io.BytesIO(content))
            told = {text for text in secret_texts(before) if text.encode() in content}
            # `PixelData` may hold anything; nothing else does.
            assert (file.name, told) == (file.name, set())
            assert (file.name, after.get("PixelData")) == (file.name, before.get("PixelData"))
            assert after.PatientIdentityRemoved == "YES"
            assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
            assert content[:128] == bytes(128)
            assert "SourceApplicationEntityTitle" not in after.file_meta
    assert outcomes["written"] > 90
    assert outcomes["held back"] < 10


def test_compressed_pixels_cannot_be_blackened() -> None:
    file = files.one("JPEG2000.dcm")
    with pytest.raises(Blocked):
        copied(file.path, source_of(file), PROJECT, Review(rectangles=(Rectangle(0, 0, 1, 1),)))


def test_blackened_pixels_are_stated(tmp_path: Path) -> None:
    file = files.one("CT_small.dcm")
    review = Review(rectangles=(Rectangle(0, 0, 128, 2),))
    content = b"".join(copied(file.path, source_of(file), PROJECT, review).pieces)
    before, after = pydicom.dcmread(file.path), pydicom.dcmread(io.BytesIO(content))
    assert after.PixelData == bytes(512) + before.PixelData[512:]
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in [one.CodeValue for one in after.DeidentificationMethodCodeSequence]
