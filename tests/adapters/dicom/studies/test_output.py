"""Data sets as they go out with a study's overlay."""

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.filereader import read_dataset

from adapters.dicom.studies.output import pieces, with_overlay
from adapters.dicom.studies.overlay import Overlay, corrected, made
from tests.adapters.dicom.studies.archive import image, instances

AT = "2024-01-31T11:27:00+00:00"
OVERLAY = Overlay({"PatientID": ["P7"], "PatientName": ["Right^Ann"], "PatientSex": []}, AT)
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


def read(data: bytes, syntax: str = EXPLICIT):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return read_dataset(BytesIO(data), syntax == IMPLICIT, is_little_endian=True)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_values_are_replaced_and_those_before_are_told(syntax: str) -> None:
    sent = image("1.2.3", syntax=syntax, PatientID="P1", PatientSex="M", PatientName="Wrong")
    found = read(with_overlay(sent.data_set, syntax, OVERLAY), syntax)
    assert (found.PatientID, found.PatientName, found.PatientSex) == ("P7", "Right^Ann", "")
    [item] = found.OriginalAttributesSequence
    [before] = item.ModifiedAttributesSequence
    assert (before.PatientID, before.PatientName, before.PatientSex) == ("P1", "Wrong", "M")
    assert item.AttributeModificationDateTime == "20240131112700.000000+0000"
    assert (item.ReasonForTheAttributeModification, item.ModifyingSystem) == ("CORRECT", "SANGAM")


def test_what_was_modified_before_stays_told() -> None:
    sent = image("1.2.3", PatientID="P1", PatientSex="M", PatientName="Wrong")
    once = with_overlay(sent.data_set, EXPLICIT, OVERLAY)
    twice = read(with_overlay(once, EXPLICIT, Overlay({"PatientID": ["P8"]}, AT)))
    earlier, later = twice.OriginalAttributesSequence
    assert earlier.ModifiedAttributesSequence[0].PatientID == "P1"
    assert later.ModifiedAttributesSequence[0].PatientID == "P7"


def test_a_deflated_data_set_stays_deflated() -> None:
    plain = image("1.2.3", PatientID="P1").data_set
    squeezed = zlib.compressobj(wbits=-15)
    sent = squeezed.compress(plain) + squeezed.flush()
    got = with_overlay(sent, DEFLATED, OVERLAY)
    assert read(zlib.decompress(got, -15)).PatientID == "P7"


def test_a_name_that_the_character_set_cannot_carry_widens_it() -> None:
    sent = image("1.2.3", SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
    found = read(with_overlay(sent.data_set, EXPLICIT, Overlay({"PatientID": ["राम"]}, AT)))
    assert (found.SpecificCharacterSet, found.PatientID) == ("ISO_IR 192", "राम")
    assert found.PatientName == "Müller"
    kept = read(with_overlay(sent.data_set, EXPLICIT, Overlay({"PatientID": ["é"]}, AT)))
    assert (kept.SpecificCharacterSet, kept.PatientID) == ("ISO_IR 100", "é")


def test_pixels_pass_as_they_are_stored(tmp_path: Path) -> None:
    [sent] = instances(slices=1)
    stored = tmp_path / "blob"
    stored.write_bytes(b"meta" + sent.data_set)
    at = sent.data_set.index(b"\xe0\x7f\x10\x00OW")
    got = b"".join(pieces(stored, 4, len(sent.data_set), EXPLICIT, at, OVERLAY))
    assert got.endswith(sent.data_set[at:])
    assert read(got).PatientID == "P7"
    assert got != sent.data_set


def test_what_is_not_corrected_keeps_its_bytes() -> None:
    sent = image("1.2.3", PatientWeight="1.55", StudyID="2").data_set.replace(b"1.55", b"1,55")
    got = with_overlay(sent, EXPLICIT, Overlay({"StudyID": ["1"]}, AT))
    assert b"\x10\x00\x30\x10DS\x04\x001,55" in got


def test_an_overlay_holds_what_differs_alone() -> None:
    received = {"PatientID": ["P1"], "PatientSex": ["M"]}
    same = made(received, {"PatientID": ["P1"]}, None, None, AT)
    assert same is None
    found = made(received, {"PatientID": ["P3"]}, {"PatientID": ["P2"], "PatientSex": []}, None, AT)
    assert found == Overlay({"PatientID": ["P3"], "PatientSex": []}, AT)
    assert corrected(received, found) == {"PatientID": ["P3"]}
    again = made(received, {"PatientID": ["P3"]}, {"PatientSex": []}, found, "later")
    assert again == found
