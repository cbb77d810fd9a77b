import io
import json
import re
import tarfile
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from benchmarks.synthetic_loinc import write_tables
from fhir_server.main.cli import app

TERMS = 300
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/terminology-loading.md"


@pytest.fixture(scope="module")
def loinc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tables(tmp_path_factory.mktemp("loinc"), TERMS)


def run(database_url: str, tmp_path: Path, *arguments: str) -> Result:
    given = ["--database-url", database_url, "--data-dir", str(tmp_path / "data")]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["terminology", *arguments, *given])


def test_a_release_is_loaded_listed_and_removed(
    database_url: str, tmp_path: Path, loinc: Path
) -> None:
    wanted = ("load", str(loinc), "--version", "2.80", "--accept-license")
    loaded = run(database_url, tmp_path, *wanted)
    assert loaded.exit_code == 0, loaded.output
    assert "http://loinc.org|2.80: 320 concepts serve now" in loaded.output
    again = run(database_url, tmp_path, *wanted)
    assert "http://loinc.org|2.80 serves already, from the same files" in again.output
    listed = run(database_url, tmp_path, "list").output.splitlines()
    assert listed[0] == "http://loinc.org 2.80"
    assert listed[1].startswith("    320 concepts, ")
    removed = run(database_url, tmp_path, "remove", "http://loinc.org", "2.80")
    assert removed.output.splitlines()[-1] == "http://loinc.org|2.80 was removed."
    assert "2.80" not in run(database_url, tmp_path, "list").output


def test_licensed_content_is_not_loaded_without_a_word(
    database_url: str, tmp_path: Path, loinc: Path
) -> None:
    refused = run(database_url, tmp_path, "load", str(loinc), "--version", "2.80")
    assert refused.exit_code == 1
    assert "say --accept-license" in refused.output


def test_a_dry_run_writes_nothing_and_tells_what_is_missing(
    database_url: str, tmp_path: Path, loinc: Path
) -> None:
    tried = run(database_url, tmp_path, "load", str(loinc), "--version", "2.80", "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "320 concepts can be loaded" in tried.output
    assert "Not taken: 4 missing file" in tried.output
    assert "2.80" not in run(database_url, tmp_path, "list").output


def test_every_bad_row_is_listed(database_url: str, tmp_path: Path) -> None:
    header = '"LOINC_NUM","COMPONENT","CLASS","STATUS","LONG_COMMON_NAME"'
    path = tmp_path / "terms.csv"
    path.write_text("\n".join([header, *['"1-8","short"'] * 5]))
    refused = run(database_url, tmp_path, "load", str(path), "--version", "1", "--dry-run")
    assert refused.exit_code == 1
    lines = re.findall(r"bad row: terms\.csv:(\d+): 2 columns, the header has 5", refused.output)
    assert lines == ["2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("load", "{loinc}", "--accept-license"), "give --version"),
        (("remove", "http://loinc.org", "1"), "http://loinc.org|1 is not loaded"),
    ],
    ids=["no version", "not loaded"],
)
def test_a_refusal_is_a_line(
    database_url: str, tmp_path: Path, loinc: Path, arguments: tuple[str, ...], reason: str
) -> None:
    refused = run(database_url, tmp_path, *(one.format(loinc=loinc) for one in arguments))
    assert refused.exit_code == 1
    assert reason in refused.output
    assert "Traceback" not in refused.output


def test_resources_of_a_package_are_stored_once(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "guide.tgz"
    path.write_bytes(_package())
    outputs = [run(database_url, tmp_path, "load", str(path)) for _ in range(2)]
    assert [one.exit_code for one in outputs] == [0, 0], outputs[0].output
    assert "guide.tgz: 1 resources are stored" in outputs[0].output
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version FROM resource").fetchall() == [(1,)]


def _package() -> bytes:
    raw = json.dumps(
        {
            "resourceType": "CodeSystem",
            "url": "http://example.org/colours",
            "status": "active",
            "content": "complete",
            "concept": [{"code": "red"}],
        }
    ).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/CodeSystem-colours.json")
        info.size = len(raw)
        archive.addfile(info, io.BytesIO(raw))
    return made.getvalue()


def test_the_commands_of_the_page(database_url: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    commands = [line.split()[2:] for line in block.splitlines()]
    outputs = []
    for command in commands:
        paths = [str(ROOT / one) if one.startswith("docs/") else one for one in command]
        done = run(database_url, tmp_path, *paths)
        assert done.exit_code == 0, done.output
        outputs.append(done.output)
    tried, loaded, listed, removed = outputs
    assert "http://example.org/rooms|2026: 4 concepts can be loaded" in tried
    assert "http://example.org/rooms|2026: 4 concepts serve now" in loaded
    assert listed.startswith("http://example.org/rooms 2026\n")
    assert "http://example.org/rooms|2026 was removed." in removed
