import json
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from adapters.dicom.cli import app
from tests.adapters.dicom.documents import sr_samples as samples
from tests.adapters.dicom.documents.test_documents_apply import PDF, encapsulated

RUNNER = CliRunner()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.dcm"
    path.write_bytes(samples.file(samples.measurement_report()))
    return path


def run(*arguments: str) -> str:
    found = RUNNER.invoke(app, ["explain", *arguments], env={"COLUMNS": "160"})
    assert found.exit_code == 0, found.output
    return found.output


def test_each_content_item_of_a_report_is_explained(report: Path) -> None:
    lines = [line.split() for line in run(str(report)).splitlines()]
    assert ["36", "of", "38", "content", "items", "are", "in", "FHIR"] in [one[:8] for one in lines]
    assert ["1.9.1.10", "Length", "12.50", "mm", "Observation[2].valueQuantity"] in lines
    assert ["1.9", "Imaging", "Measurements", "in", "the", "rendering", "only"] in lines


def test_only_what_is_not_mapped_is_shown(report: Path) -> None:
    places = [line.split()[0] for line in run(str(report), "--only", "unmapped").splitlines()[3:]]
    assert places == ["1.9", "1.10"]


def test_a_program_gets_lines_and_resources(report: Path) -> None:
    [found] = json.loads(run(str(report), "--json"))
    assert len(found["lines"]) == 38
    assert found["resources"][0]["resourceType"] == "DiagnosticReport"


def test_elements_of_the_imaging_study_of_an_image_are_shown() -> None:
    found = run(str(get_testdata_file("CT_small.dcm")))
    lines = [line.split() for line in found.splitlines()]
    assert ["ImagingStudy.modality[0].code", "CT"] in lines
    assert ["ImagingStudy.identifier[1].value", "1CT1"] in lines


def test_elements_of_the_reference_to_an_encapsulated_document_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "letter.dcm"
    path.write_bytes(samples.file(encapsulated(1, PDF)))
    lines = [line.split() for line in run(str(path)).splitlines()]
    assert ["DocumentReference.content[0].attachment.size", str(len(PDF))] in lines


def test_a_rejection_note_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "note.dcm"
    note = samples.key_objects(samples.dcm("113001", "Rejected for Quality Reasons"))
    path.write_bytes(samples.file(note))
    assert "Rejects 1 instances (DCM:113001); it is no resource" in run(str(path))


def test_what_is_no_dicom_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<html>" * 50)
    found = RUNNER.invoke(app, ["explain", str(path)])
    assert found.exit_code == 1
    assert "page.html cannot be read as DICOM" in found.output
