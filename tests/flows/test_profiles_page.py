"""docs/hl7-profiles.md does what it says: its profile, its message and its commands."""

import asyncio
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.hl7.codes import follow
from adapters.hl7.operators.cli import app
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.model import Choices
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.laboratory.sending import take
from tests.cluster import no_others
from tests.flows.test_terminology_page import BASE, listening

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hl7-profiles.md").read_text()
FOLDER = DOCS / "examples" / "profiles"


def commands() -> list[tuple[str, list[str]]]:
    """Return the commands of the page, each with what it says of the output."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("# "):
                found[-1][1].append(line[2:])
            elif line.startswith(("curl", "sangam")):
                found.append((line, []))
            else:
                found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
    return found


def test_profile_of_the_page_is_the_example_and_can_be_used() -> None:
    (profile,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert profile == (FOLDER / "city-lab.toml").read_text()
    ((command, (expected,)), *_) = commands()
    words = command.replace("docs/", f"{DOCS}/").split()
    result = CliRunner().invoke(app, words[2:])
    assert result.exit_code == 0, result.output
    assert expected in result.output


async def test_commands_of_the_page_print_what_is_below_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SEEN_SECONDS", 0.0)
    agreed = with_hl7(server, profiles_dir=str(FOLDER))
    await agreements(agreed).refresh()
    await take(agreed, (DOCS / "examples" / "city-lab.hl7").read_bytes())
    await follow.run(agreed, {})
    _, *asked = commands()
    assert len(asked) == 6
    async with listening(agreed) as address:
        for command, expected in asked:
            process = await asyncio.create_subprocess_exec(
                "bash", "-ec", command.replace(BASE, address), stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await process.communicate()
            assert process.returncode == 0, command
            for one in expected:
                assert one in printed.decode(), (command, one, printed.decode()[:3000])
            await no_others(agreed.database)
            await follow.run(agreed, {})


def test_page_names_every_setting_that_a_profile_may_say_otherwise() -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `[mapping]`")]
    assert set(re.findall(r"`([a-z_0-9]+)`", row)) == set(Choices.model_fields)
