"""docs/critical-results.md does what it says: its message, its profile and its commands."""

import asyncio
import re
from pathlib import Path

from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.laboratory.sending import look, take
from tests.flows.test_terminology_page import BASE, listening

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "critical-results.md").read_text()


def commands() -> list[tuple[str, list[str]]]:
    """Return the commands of the page, each with what it says of the output."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("# "):
                found[-1][1].append(line[2:])
            elif line.startswith("curl"):
                found.append((line, []))
            else:
                found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
    return found


async def test_commands_of_the_page_print_what_is_below_them(
    server: Server, tmp_path: Path
) -> None:
    (profile,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "LIS-LAB.toml").write_text(profile)
    agreed = with_hl7(server, profiles_dir=str(tmp_path))
    await take(agreed, (DOCS / "examples" / "critical.hl7").read_bytes())
    assert len(commands()) == 5
    async with listening(agreed) as address:
        for command, expected in commands():
            changed = command.replace(BASE, address)
            process = await asyncio.create_subprocess_exec(
                "bash", "-ec", changed, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await process.communicate()
            assert process.returncode == 0, command
            for one in expected:
                assert one in printed.decode(), (command, one, printed.decode()[:3000])
            await look(agreed)
