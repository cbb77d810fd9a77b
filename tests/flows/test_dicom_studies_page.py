"""docs/dicom-studies.md does what it says: its commands and settings are there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app
from fhir_server.dicom_settings import DicomSettings

PAGE = (Path(__file__).parents[2] / "docs" / "dicom-studies.md").read_text()
COMMANDS = sorted(set(re.findall(r"^    sangam dicom (\w+ \w+)", PAGE, re.MULTILINE)))
SETTINGS = sorted(set(re.findall(r"`dicom\.(\w+)", PAGE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0, result.output


def test_the_page_names_commands() -> None:
    assert len(COMMANDS) == 15


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_page_is_one(setting: str) -> None:
    assert setting in DicomSettings.model_fields
