"""Tables of the command line cut nothing."""

import pytest
from rich.table import Table

from adapters.dicom.listing import print_table

UID = "2.25.319999999999999999999999999999999999999"


def table() -> Table:
    found = Table("study", "description", "state")
    found.add_row(UID, "CT of the chest with contrast, " * 3, "linked")
    return found


def test_row_is_one_line_where_no_terminal_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(table())
    assert [UID in line for line in capsys.readouterr().out.splitlines()].count(True) == 1


def test_cell_goes_on_in_the_next_line_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    print_table(table())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert "".join(line.split("│")[1].strip() for line in lines) == UID
