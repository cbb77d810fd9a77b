import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from fhir_server.at_rest import envelope, folder
from fhir_server.errors import BadRequest, Conflict, NotFound
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.storage.test_quota import Target, sangam


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


def study_of(archive: Archive) -> str:
    [(study,)] = archive.rows("SELECT DISTINCT study_instance_uid FROM dicom_instance")
    return str(study)


def written(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())


def test_a_study_comes_out_as_it_was_stored(archive: Archive, tmp_path: Path) -> None:
    sent = slices(3)
    archive.send(*sent)
    study = study_of(archive)
    told = sangam(archive, "export", study, "--out", str(tmp_path / "out"))
    assert "3 instances in" in told
    found = {path.stem: path.read_bytes() for path in written(tmp_path / "out")}
    assert sorted(found) == sorted(one.sop_instance_uid for one in sent)
    assert [found[one.sop_instance_uid].endswith(one.data_set) for one in sent] == [True] * 3
    assert {path.parts[-3] for path in written(tmp_path / "out")} == {study}


def test_a_study_leaves_sealed_for_who_is_to_have_it(archive: Archive, tmp_path: Path) -> None:
    sent = slices(2)
    archive.send(*sent)
    (tmp_path / "pub").write_text(envelope.new_pair(tmp_path / "private"))
    out = tmp_path / "out"
    arguments = ("export", study_of(archive), "--out", str(out))
    assert "not sealed" in sangam(archive, *arguments[:-1], str(tmp_path / "plain"))
    assert "not sealed" not in sangam(archive, *arguments, "--recipient", str(tmp_path / "pub"))
    pixels = sent[0].data_set[-64:]
    assert [path for path in written(out) if pixels in path.read_bytes()] == []
    assert {path.stat().st_mode & 0o077 for path in written(tmp_path / "plain")} == {0}
    key = envelope.opened((out / "KEY").read_text(), private=tmp_path / "private")
    assert folder.write_out(folder.Reading(out, folder.named(key)), tmp_path / "back") == 2
    (tmp_path / "back" / folder.SUMS).unlink()
    plain, back = (
        {path.name: path.read_bytes() for path in written(tmp_path / name)}
        for name in ("plain", "back")
    )
    assert back == plain
    with pytest.raises(Conflict, match="new folder"):
        sangam(archive, *arguments, "--recipient", str(tmp_path / "pub"))


def test_copies_for_a_project_are_consistent_and_tell_nothing(
    archive: Archive, tmp_path: Path, dcmtk: Callable[[str], str]
) -> None:
    archive.send(*slices(3))
    study = study_of(archive)
    stored = archive.blobs.get(archive.files()[0].name)
    identity = pydicom.dcmread(BytesIO(stored), stop_before_pixels=True)
    assert "dates shifted" in sangam(archive, "projects", "add", "TRIAL")
    for out in ("one", "two"):
        place = str(tmp_path / out)
        sangam(archive, "export", study, "--out", place, "--deidentify", "--project", "TRIAL")
    first, second = (
        {str(path.relative_to(place)): path.read_bytes() for path in written(place)}
        for place in (tmp_path / "one", tmp_path / "two")
    )
    assert first == second
    assert len(first) == 3
    secrets = {
        *(study, identity.SeriesInstanceUID, identity.FrameOfReferenceUID, identity.PatientID),
        *(one.sop_instance_uid for one in slices(3)),
        *(str(identity.PatientName), identity.StudyDate, identity.AccessionNumber or "none at all"),
    }
    told = [text for content in first.values() for text in secrets if text.encode() in content]
    assert told == []
    [path, *_] = written(tmp_path / "one")
    subprocess.run([dcmtk("dcmdump"), "+sd", str(path)], check=True, capture_output=True)
    sangam(archive, "projects", "add", "OTHER", "--option", "113106")
    place = str(tmp_path / "three")
    sangam(archive, "export", study, "--out", place, "--deidentify", "--project", "OTHER")
    others = {str(one.relative_to(tmp_path / "three")) for one in written(tmp_path / "three")}
    assert others.isdisjoint(first)
    assert pydicom.dcmread(written(tmp_path / "three")[0]).StudyDate == identity.StudyDate


def test_what_may_show_text_is_held_back_until_it_was_reviewed(
    archive: Archive, tmp_path: Path
) -> None:
    us = "1.2.840.10008.5.1.4.1.1.6.1"
    [one] = slices(1)
    header = b"\x08\0\x16\0UI"
    at = one.data_set.index(header) + 8
    size = int.from_bytes(one.data_set[at - 2 : at], "little")
    padded = us.encode() + b"\0" * (len(us) % 2)
    data = (
        one.data_set[: at - 2]
        + len(padded).to_bytes(2, "little")
        + padded
        + one.data_set[at + size :]
    )
    assert archive.send(replace(one, sop_class_uid=us, data_set=data)) == [0]
    sangam(archive, "projects", "add", "TRIAL")
    arguments = ["export", study_of(archive), "--out", str(tmp_path / "out"), "--deidentify"]
    arguments += ["--project", "TRIAL"]
    result = CliRunner().invoke(app, arguments, obj=Target(archive))
    assert (result.exit_code, written(tmp_path / "out")) == (1, [])
    assert "1 held back: its class often has text burned in" in result.output
    assert "1 instances in" in sangam(archive, *arguments, "--pixels-reviewed")
    assert "1 instances in" in sangam(archive, *arguments, "--blacken", "0,0,16,2")


def test_uids_that_are_paths_lead_nowhere(archive: Archive, tmp_path: Path) -> None:
    [one] = slices(1)
    header = b"\x20\0\x0d\0UI"
    at = one.data_set.index(header) + 8
    size = int.from_bytes(one.data_set[at - 2 : at], "little")
    data = one.data_set[: at - 2] + (2).to_bytes(2, "little") + b".." + one.data_set[at + size :]
    assert archive.send(replace(one, data_set=data)) == [0]
    sangam(archive, "export", "..", "--out", str(tmp_path / "deep" / "out"))
    [path] = written(tmp_path / "deep")
    assert path.is_relative_to(tmp_path / "deep" / "out")
    assert len(path.relative_to(tmp_path / "deep" / "out").parts) == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("export", "1.2.3", "--out", "x"), NotFound),
        (("export", "1.2.3", "--out", "x", "--deidentify"), BadRequest),
        (("export", "1.2.3", "--out", "x", "--project", "P"), BadRequest),
        (("export", "1.2.3", "--out", "x", "--blacken", "1,2"), BadRequest),
        (("projects", "add", "a b"), BadRequest),
        (("projects", "add", "P", "--option", "113103"), BadRequest),
        (("projects", "add", "KNOWN"), Conflict),
    ],
    ids=range(7),
)
def test_what_cannot_be_exported_is_refused(
    archive: Archive, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    sangam(archive, "projects", "add", "KNOWN")
    assert "KNOWN" in sangam(archive, "projects", "list")
    with pytest.raises(error):
        sangam(archive, *arguments)
