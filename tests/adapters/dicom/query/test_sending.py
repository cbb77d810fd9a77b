"""`sangam dicom send`."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.simulation.computed_tomography import Study, instances, write
from tests.adapters.dicom.conftest import Archive
from tests.flows.test_dicom_query_page import Target


def sent(archive: Archive, *arguments: str) -> tuple[int, str]:
    host, port = archive.address
    target = Target(archive.settings, archive.conninfo)
    command = ["send", f"SANGAM@{host}:{port}", *arguments]
    done = CliRunner().invoke(app, command, obj=target)
    return done.exit_code, done.stdout


def test_files_go_over_several_associations(archive: Archive, tmp_path: Path) -> None:
    write(tmp_path / "ct", Study(1, 5, size=8))
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM file")
    assert sent(archive, str(tmp_path), "--associations", "3") == (0, "5 sent, 0 refused\n")
    assert archive.rows("SELECT count(*) FROM dicom_instance") == [(5,)]


def test_a_refused_file_is_told_by_the_exit_code(archive: Archive, tmp_path: Path) -> None:
    [good, other] = instances(Study(1, 2, size=8))
    meta = file_meta(good.sop_class_uid, "1.2.3", good.transfer_syntax_uid)
    (tmp_path / "other.dcm").write_bytes(meta + other.data_set)
    meta = file_meta(good.sop_class_uid, good.sop_instance_uid, good.transfer_syntax_uid)
    (tmp_path / "good.dcm").write_bytes(meta + good.data_set)
    assert sent(archive, str(tmp_path)) == (1, "1 sent, 1 refused\n")


@pytest.mark.parametrize("arguments", [["--associations", "0"], []])
def test_nothing_to_send_is_an_error(archive: Archive, tmp_path: Path, arguments: Any) -> None:
    assert sent(archive, str(tmp_path), *arguments)[0] != 0


def test_a_path_that_is_not_there_is_an_error_of_usage(archive: Archive, tmp_path: Path) -> None:
    assert sent(archive, str(tmp_path / "absent.dcm")) == (2, "")
