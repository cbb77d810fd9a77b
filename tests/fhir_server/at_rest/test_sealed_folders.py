"""Sealed folders: opened whole, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_server.at_rest.folder import SUMS, Folder, new_key, unsealed
from fhir_server.at_rest.keys import Damaged
from fhir_server.errors import Conflict

FILES = {"a.ndjson": b'{"resourceType":"Patient"}\n' * 9000, "blobs/b": b"", "tenant.json": b"{}"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = Folder(tmp_path / "out", new_key(tmp_path / "key"))
    for name, content in FILES.items():
        with folder.create(name) as file:
            file.write(content[:100])
            file.write(content[100:])
    folder.close()
    return folder.root


def test_what_was_written_comes_back_and_is_not_there_meanwhile(made: Path, tmp_path: Path) -> None:
    raw = [path.read_bytes() for path in made.rglob("*") if path.is_file()]
    assert [one for one in raw if b"Patient" in one or b"ndjson" in one] == []
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o400
    assert unsealed(made, tmp_path / "key", tmp_path / "back") == len(FILES)
    assert {name: (tmp_path / "back" / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "a.ndjson").rename(root / "b.ndjson"), id="renamed"),
        pytest.param(lambda root: (root / "a.ndjson").unlink(), id="missing"),
        pytest.param(lambda root: (root / SUMS).unlink(), id="not to its end"),
        pytest.param(lambda root: (root / "more").write_bytes(b"{}"), id="one more"),
        pytest.param(
            lambda root: (root / "tenant.json").write_bytes((root / "blobs/b").read_bytes()),
            id="of another file",
        ),
    ],
)
def test_a_changed_folder_is_not_opened(
    made: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    change(made)
    with pytest.raises(Damaged):
        unsealed(made, tmp_path / "key", tmp_path / "back")


def test_the_key_of_another_folder_opens_nothing(made: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    with pytest.raises(Damaged, match="not sealed under this key"):
        unsealed(made, tmp_path / "other", tmp_path / "back")


def test_a_key_file_that_is_there_is_left_alone(made: Path, tmp_path: Path) -> None:
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(Conflict, match="there already"):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before
