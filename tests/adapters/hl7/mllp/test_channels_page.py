import re
import tomllib
from pathlib import Path

from typer.main import get_command

from fhir_server.hl7_settings import Hl7Settings
from fhir_server.main.cli import app

PAGE = (Path(__file__).parents[4] / "docs" / "hl7-channels.md").read_text()


def test_the_example_is_a_configuration() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    settings = Hl7Settings.model_validate(tomllib.loads(block)["hl7"])
    assert [(one.name, one.port, one.tls is not None) for one in settings.channels] == [
        ("laboratory", 2576, True),
        ("registration", 2577, True),
    ]
    assert not settings.plain_port
    assert settings.of("registration").sender == "his"


def test_the_commands_exist_with_their_options() -> None:
    commands = get_command(app)
    lines = re.findall(r"sangam [^#\n]*(?:\\\n[^#\n]*)*", PAGE)
    said = [line.replace("\\\n", " ").split() for line in lines if line.startswith("sangam ")]
    found = 0
    for _, *words in (line for line in said if line[1] in {"hl7", "send-hl7"}):
        place = commands
        while words and words[0] in getattr(place, "commands", {}):
            place = place.commands[words.pop(0)]  # type: ignore[attr-defined]
        known = {option for one in place.params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known
        assert not hasattr(place, "commands")
        found += 1
    assert found == 6
